package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// A state that somebody copies an older one over, in its place: nothing is spent any
// more, status says so, and the next start goes on with the copy, as with any older one.
func TestAStateThatIsWrittenOver(t *testing.T) {
	t.Parallel()
	h := newHost(t, build(t), standin.Options{AnyAccount: true, Rules: standin.Rules{
		AccessLifetime: time.Hour, RefreshLifetime: 24 * time.Hour, Rotate: standin.RotateSingleUse, DetectReuse: true, ExpiresIn: standin.ExpiryNumber,
	}})
	h.write("password", "one-password\n")
	h.write("main.hcl", diskConfig)
	d := h.start("--log-level", "warn")
	does := func(args ...string) {
		t.Helper()
		if out, status := h.tokend("", args...); status != 0 {
			t.Fatalf("tokend %s: exit status %d\n%s", strings.Join(args, " "), status, out)
		}
	}
	ready := func(context.Context) string {
		out, status := h.tokend("", "status")
		if status != 0 {
			return out
		}
		return ""
	}
	h.until("everything to be ready", ready)
	does("state", "backup", h.path("saved"))
	does("refresh", "apirone.account")
	does("refresh", "apirone.account")
	h.still("state", "state.db") // a copy that comes while it is written is noticed, too, but is not left whole
	older, err := os.ReadFile(h.path("saved"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path("state", "state.db"), older, 0o600); err != nil {
		t.Fatal(err)
	}
	before := h.calls()
	if out, status := h.tokend("", "refresh", "apirone.account"); status != exitFailed {
		t.Errorf("tokend refresh ends with %d and says\n%s", status, out)
	}
	if n := h.calls() - before; n != 0 {
		t.Errorf("%d calls are made with a state that is another's", n)
	}
	h.until("it to be logged", h.logged("the state was written over by something else"))
	out, status := h.tokend("", "status")
	if status != exitFailed || !strings.Contains(out, "The state takes no writes: ") || !strings.Contains(out, "was written over while it was open") {
		t.Errorf("status ends with %d and says\n%s", status, out)
	}
	d.stop()
	if now, err := os.ReadFile(h.path("state", "state.db")); err != nil || string(now) != string(older) {
		t.Errorf("what was put there is not as it was: %v", err)
	}
	d = h.start("--log-level", "warn")
	h.until("everything to be ready", ready)
	if c := h.api.Counts(standin.Apirone); c.Reuses != 0 {
		t.Errorf("%d refresh tokens were used again", c.Reuses)
	}
	d.stop()
}

// still waits until a file has not been written for a while.
func (h *host) still(elem ...string) {
	h.t.Helper()
	const quiet = 2 * time.Second
	var was []byte
	var since time.Time
	h.until("nothing to be written", func(context.Context) string {
		b, err := os.ReadFile(h.path(elem...))
		if err != nil {
			return err.Error()
		}
		if !bytes.Equal(b, was) {
			was, since = b, time.Now()
		}
		if time.Since(since) < quiet {
			return "something was"
		}
		return ""
	})
}
