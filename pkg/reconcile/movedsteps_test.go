package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A record that is moved to an address that the configuration in force declares, and
// then on to another one, takes that declaration along, as it would in a daemon: also
// where both moves are on disk before any configuration is taken over, and a start
// onto a broken directory goes on with that one.
func TestARecordIsFoundThroughMovesOneAfterTheOther(t *testing.T) {
	trader, seller, dealer := "credential.coinify.trader", "credential.coinify.seller", "credential.coinify.dealer"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(namedTrader("trader", "a@example.com", "s", "1", ""))
		time.Sleep(time.Minute)
		w.down.Store(true)
		if w.set(namedTrader("seller", "a@example.com", "s", "1", "")) == nil {
			t.Fatal("the removal of trader is not held")
		}
		time.Sleep(time.Minute)
		for _, m := range [][2]string{{trader, seller}, {seller, dealer}} {
			w.store = w.store.Crash()
			w.halt()
			w.begin(true)
			if moved, err := w.loop.Move(t.Context(), m[0], m[1]); err != nil || len(moved) != 1 {
				t.Fatalf("%v, %v", moved, err)
			}
		}
		w.crash()
		w.down.Store(false)
		last, err := w.loop.Accepted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if held, err := w.loop.Set(t.Context(), last, reconcile.SetOptions{}); held != nil || err != nil {
			t.Fatalf("held %+v, %v", held, err)
		}
		w.stays("1")
		if l := w.line(dealer); l.State != reconcile.Ready {
			t.Errorf("%+v", l)
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Revocations != 0 {
			t.Errorf("%d grants, %d revocations", c.Grants, c.Revocations)
		}
	})
}
