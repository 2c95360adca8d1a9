package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// A secret changes, which replaces tokens, past the guard, while the disk of the state
// is full: nothing goes ahead, and what waits for a person is shown all the same.
func TestWhatIsJudgedAgainOnAFullDiskIsShownAsHeld(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(nil)
		config := strings.Replace(traders("max_revocations = 0", "x", "a b", `secret "mem" "partner" { value = "from-the-loop" }`),
			`partner_id = "p"`, `partner_id = nonsensitive(secret.mem.partner.value)`, 1)
		partner := "one"
		w.values.Store(&partner)
		w.set(config)
		<-time.After(time.Minute)
		full.Store(true)
		other := "two"
		w.values.Store(&other)
		if err := w.loop.Touched(t.Context(), nil, true); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		held, err := w.loop.Held(t.Context())
		if err != nil || held == nil || len(held.Revocations) != 2 {
			t.Errorf("held back is %+v, %v", held, err)
		}
		if err := w.loop.Approve(t.Context(), held); err == nil {
			t.Error("what cannot be recorded is approved")
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Revocations != 0 {
			t.Errorf("%d grants, %d revocations", c.Grants, c.Revocations)
		}
		full.Store(false)
		<-time.After(2 * time.Minute)
		held, err = w.loop.Held(t.Context())
		if err != nil || held == nil {
			t.Fatalf("once the disk takes it, held back is %+v, %v", held, err)
		}
		if err := w.loop.Approve(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		if c := w.server.Counts(standin.Coinify); c.Grants != 4 || c.Revocations != 2 {
			t.Errorf("after the approval: %d grants, %d revocations", c.Grants, c.Revocations)
		}
	})
}
