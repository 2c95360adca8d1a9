package main

import (
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
	h := diskHost(t)
	d := h.start("--log-level", "warn")
	h.refreshed(1)
	if out, status := h.tokend("", "state", "backup", h.path("saved")); status != 0 {
		t.Fatalf("tokend state backup: exit status %d\n%s", status, out)
	}
	h.refreshed(2)
	older, err := os.ReadFile(h.path("saved"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path("state", "state.db"), older, 0o600); err != nil {
		t.Fatal(err)
	}
	h.until("it to be noticed", h.logged("the state was written over by something else"))
	before := h.calls()
	h.watched(3*time.Second, func() {
		if n := h.calls(); n > before+1 { // one may have been under way
			t.Fatalf("%d calls are made with a state that is another's", n-before)
		}
	})
	out, status := h.tokend("", "status")
	if status != exitFailed || !strings.Contains(out, "The state takes no writes: ") || !strings.Contains(out, "was written over while it was open") {
		t.Errorf("status ends with %d and says\n%s", status, out)
	}
	d.stop()
	if now, err := os.ReadFile(h.path("state", "state.db")); err != nil || string(now) != string(older) {
		t.Errorf("what was put there is not as it was: %v", err)
	}
	d = h.start("--log-level", "warn")
	h.until("everything to be ready", func(context.Context) string {
		out, status := h.tokend("", "status")
		if status != 0 {
			return out
		}
		return ""
	})
	if c := h.api.Counts(standin.Apirone); c.Reuses != 0 {
		t.Errorf("%d refresh tokens were used again", c.Reuses)
	}
	d.stop()
}
