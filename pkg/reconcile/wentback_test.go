package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// A whole state directory was put back, its mark included: the places know that
// it had come further. No refresh token that was spent since is sent again, what
// became of it is counted, and the credential heals by its grant.
func TestAPlaceKnowsThatTheStateWentBack(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const addr = "credential.coinify.trader"
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		old, _, err := w.store.Credential(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		oldSink, err := w.store.Sink(t.Context(), traderSink)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		w.halt()
		now, _, err := w.store.Credential(t.Context(), addr)
		if err != nil || now.Head.Generation <= old.Head.Generation {
			t.Fatalf("generation %d after %d: %v", now.Head.Generation, old.Head.Generation, err)
		}
		nowSink, err := w.store.Sink(t.Context(), traderSink)
		if err != nil {
			t.Fatal(err)
		}
		old.Head.Version, oldSink.Head.Version = now.Head.Version, nowSink.Head.Version
		if err := w.store.Commit(t.Context(), state.Change{Credential: &old}, state.Change{Sink: &oldSink}); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		c := w.server.Counts(standin.Coinify)
		if c.Reuses != 0 || c.Grants != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d reuses, %d grants; works %v", c.Reuses, c.Grants, w.works(standin.Coinify, "trader"))
		}
		if n := w.line(addr).Orphans; n != 1 {
			t.Errorf("%d orphans", n)
		}
		// It is noticed once: what was obtained since is in no doubt.
		w.crash()
		w.set(trader("a@example.com", ""))
		w.pass(3*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if after := w.server.Counts(standin.Coinify); after.Grants != 2 || after.Reuses != 0 || w.line(addr).Orphans != 1 {
			t.Errorf("later %d grants, %d reuses, %d orphans", after.Grants, after.Reuses, w.line(addr).Orphans)
		}
	})
}
