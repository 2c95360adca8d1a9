package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const withVariable = `
variable "x" { type = string }
locals { x = var.x }
`

// A pipe is what a shell gives for --var-file <(…): it is read once.
func TestAVariableFileMayBeAPipe(t *testing.T) {
	dir := configOf(t, withVariable)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { _ = os.WriteFile(pipe, []byte("x = \"a value\"\n"), 0) }()
	var out, errs bytes.Buffer
	status := run(t.Context(), process{args: []string{"validate", "--config", dir, "--var-file", pipe, "--var-file", "/dev/null"}, in: nil, out: &out, err: &errs})
	if status != exitOK {
		t.Errorf("exit status %d: %s%s", status, out.String(), errs.String())
	}
}

// What is too large to be read is shown no more than what can be.
func TestATooLargeVariableFileIsNotShown(t *testing.T) {
	dir := configOf(t, withVariable)
	file := filepath.Join(t.TempDir(), "vars")
	write(t, file, "x = \"a-secret-value\"\n"+strings.Repeat("# \n", 2<<20))
	var out, errs bytes.Buffer
	status := run(t.Context(), process{args: []string{"validate", "--config", dir, "--var-file", file}, out: &out, err: &errs})
	if said := out.String() + errs.String(); status != exitFailed || !strings.Contains(said, "File too large") || strings.Contains(said, "a-secret-value") {
		t.Errorf("exit status %d: %.500s", status, said)
	}
}

// A pipe into which nobody writes holds no command that a signal ends.
func TestAVariableFileThatNobodyWritesIsNotWaitedForBeyondASignal(t *testing.T) {
	dir := configOf(t, withVariable)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out, errs bytes.Buffer
	status := run(ctx, process{args: []string{"validate", "--config", dir, "--var-file", pipe}, out: &out, err: &errs})
	if status != exitFailed || !strings.Contains(errs.String(), "ended by") {
		t.Errorf("exit status %d: %s%s", status, out.String(), errs.String())
	}
	if w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		_ = w.Close() // lets the reader that was left behind go
	}
}
