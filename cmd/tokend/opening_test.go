package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/control"
)

// A daemon that can begin with no configuration at all says so at its socket, and what
// to do; whoever asked before it knew that has waited.
func TestADaemonThatCannotBeginSaysWhy(t *testing.T) {
	dir, err := os.MkdirTemp("", "tokend") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "tokend.sock")
	ln, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	d := &service{engine: &engine{g: &globals{}, conf: configurationView{Directory: "/etc/there", Valid: true}}, opening: newOpening()}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- control.Serve(ctx, ln, d.answers(), slog.New(slog.DiscardHandler)) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	command := func(args ...string) (string, int) {
		var out bytes.Buffer
		status := run(t.Context(), process{args: append(args, "--control", socket), in: strings.NewReader(""), out: &out, err: &out})
		return out.String(), status
	}

	early := make(chan error, 1)
	go func() {
		_, err := ask[statusReply](t.Context(), &remote{control.Dial(socket)}, "status", addressRequest{noAddress})
		early <- err
	}()
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := ask[statusReply](short, &remote{control.Dial(socket)}, "status", addressRequest{noAddress}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it answers before there is anything to say: %v", err)
	}

	d.opening.is(errors.Join(errors.New("writing the record"), unix.ENOSPC))
	if err := <-early; err != nil {
		t.Error(err)
	}
	out, status := command("status")
	if want := "Nothing is in force, and nothing is done: writing the record\nno space left on device\n    to mend: make room for the state, or mend its disk; it is tried again every 5s, with what /etc/there says then\n"; status != exitFailed || out != want {
		t.Errorf("status ends with %d and says\n%s", status, out)
	}
	if out, status := command("status", "--json"); status != exitFailed || !strings.Contains(out, `"nothing_in_force"`) {
		t.Errorf("status --json ends with %d and says\n%s", status, out)
	}
	for _, args := range [][]string{{"refresh", "coinify.trader"}, {"plan"}, {"apply", "--auto-approve"}, {"state", "list"}, {"approve"}} {
		out, status := command(args...)
		if status != exitFailed || !strings.Contains(out, "error: the daemon has no configuration in force yet: writing the record") || !strings.Contains(out, "hint: make room for the state") {
			t.Errorf("%v ends with %d and says\n%s", args, status, out)
		}
	}
}
