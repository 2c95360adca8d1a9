package reconcile_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/state"
)

// heldStore takes its time for the commit that gives a removed credential's token up,
// and tells when a revocation is about to begin.
type heldStore struct {
	state.Store
	givesUp  *atomic.Int64 // nanoseconds
	revoking func(token string)
}

func (s heldStore) Commit(ctx context.Context, changes ...state.Change) error {
	for _, c := range changes {
		if r := c.Credential; r != nil && r.Grant == nil && len(r.Retiring) > 0 && (c.Intent == nil && !c.ClearIntent) {
			<-time.After(time.Duration(s.givesUp.Swap(0)))
		}
		if c.Intent != nil && c.Intent.Op == "revoke" {
			rec, _, err := s.Credential(ctx, c.IntentFor)
			if err == nil {
				for _, g := range rec.Retiring {
					s.revoking(g.AccessToken.Reveal())
				}
			}
		}
	}
	return s.Store.Commit(ctx, changes...)
}

// A block and its sink are added again in the very moment in which the removal of the
// credential gives its token up: the sink does not get the token that is about to be
// revoked.
func TestASinkWaitsForARemovalThatIsAtWork(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const guard = `max_revoked_percent = 100
    settle = "1s"`
		both := traders(guard, "x", "a b", "")
		held := heldStore{givesUp: new(atomic.Int64)}
		var revocations atomic.Int64
		held.revoking = func(token string) {
			if revocations.Add(1); w.places.get("b") == token {
				t.Error("a token is revoked while a sink holds it")
			}
		}
		w.halt()
		w.wrap = func(s state.Store) state.Store { held.Store = s; return held }
		w.start()
		w.set(both)
		time.Sleep(time.Minute)
		old := w.places.get("b")
		held.givesUp.Store(int64(5 * time.Second))
		if h := w.set(traders(guard, "x", "a", "")); h != nil {
			t.Fatalf("the removal is held: %+v", h)
		}
		time.Sleep(3 * time.Second)
		if held.givesUp.Load() != 0 {
			t.Fatal("nothing is being given up")
		}
		w.set(both)
		time.Sleep(time.Minute)
		if n := revocations.Load(); n != 1 {
			t.Errorf("%d revocations, want 1", n)
		}
		if got := w.places.get("b"); got == "" || got == old {
			t.Errorf("the place holds %q after it held %q", got, old)
		}
	})
}
