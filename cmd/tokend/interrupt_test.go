package main

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// untilSaid ends a context once a text was written.
type untilSaid struct {
	bytes.Buffer
	text string
	end  func()
}

func (u *untilSaid) Write(b []byte) (int, error) {
	n, err := u.Buffer.Write(b)
	if strings.Contains(u.String(), u.text) {
		u.end()
	}
	return n, err
}

func TestAnApplyThatIsEndedAtItsQuestionHasChangedNothing(t *testing.T) {
	dir, state := configOf(t, `
secret "file" "key" { path = "key" }
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.file.key.value
}
`), t.TempDir()
	write(t, filepath.Join(dir, "key"), "a-key")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pty := newTerminal(t) // not closed: its reading ends with the process
	var errs bytes.Buffer
	status := run(ctx, process{
		args: []string{"apply", "--config", dir, "--state", state, "--control", filepath.Join(state, "none.sock")},
		in:   pty.File, out: &untilSaid{text: "goes ahead: ", end: cancel}, err: &errs,
	})
	if want := "error: tokend apply: ended by a signal while it waited for an answer\nhint: nothing was changed\n"; status != exitFailed || errs.String() != want {
		t.Errorf("exit status %d, said:\n%s\nwant %d and:\n%s", status, errs.String(), exitFailed, want)
	}
}

func TestTheSignalThatEndsACommandIsNamed(t *testing.T) {
	for s, want := range map[syscall.Signal]string{syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM"} {
		ctx, stop := signal.NotifyContext(t.Context(), s)
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if got := signalOf(ctx); got != want {
			t.Errorf("signalOf after %s: %q", want, got)
		}
		stop()
	}
}
