package main

import (
	"bytes"
	"context"
	"fmt"
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

// A pipe that a shell opened is named as it was given, and not at all in a command
// that a person types next: it ends with this one.
func TestAPipeOfTheShellIsNamedAsGiven(t *testing.T) {
	dir := configOf(t, withVariable)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("x = [1]\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	pipe := fmt.Sprintf("/dev/fd/%d", r.Fd())
	var out, errs bytes.Buffer
	status := run(t.Context(), process{args: []string{"validate", "--config", dir, "--var-file", pipe}, out: &out, err: &errs})
	if said := errs.String(); status != exitFailed || !strings.Contains(said, "that "+pipe+" gives does not fit") {
		t.Errorf("exit status %d: %s%s", status, out.String(), said)
	}
	g := &globals{varFiles: []string{pipe, "/dev/stdin", "a b"}, varContents: map[string][]byte{pipe: nil, "/dev/stdin": nil}}
	if got := strings.Join(g.inputFlags(), " "); got != "--var-file FILE --var-file /dev/stdin --var-file 'a b'" {
		t.Errorf("the flags of what is suggested: %s", got)
	}
}

// A variable file with one fault is one error: what lacks its values only follows.
func TestABrokenVariableFileIsOneError(t *testing.T) {
	dir := configOf(t, withVariable)
	for name, text := range map[string]string{
		"comma.json": `{"x": "a",}`, "open.json": `{"x": "a"`, "word.json": `{"x": a}`, "root.json": `"x"`, "list.json": `["x"]`, "no.tfvars": "{", "none.tfvars": "", "none.json": "",
	} {
		file := filepath.Join(t.TempDir(), name)
		if text != "" {
			write(t, file, text)
		}
		var out, errs bytes.Buffer
		status := run(t.Context(), process{args: []string{"validate", "--config", dir, "--var-file", file}, out: &out, err: &errs})
		if said := errs.String(); status != exitFailed || !strings.Contains(said, "cannot be used: 1 error\n") || !strings.Contains(said, file) {
			t.Errorf("%s: exit status %d: %s%s", name, status, out.String(), said)
		}
	}
}
