package reconcile_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A token that the API refused twice while the disk was full is renewed once there
// is room, although what was found out then could not be recorded.
func TestARefusalThatCouldNotBeRecordedIsHealed(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(nil)
		w.set(asked(every))
		w.pass(30*time.Second, time.Second, nil)
		w.server.ExpireAccess(standin.Coinify, "a@example.com")
		full.Store(true)
		w.pass(2*time.Minute, time.Second, nil)
		full.Store(false)
		w.pass(2*time.Minute, time.Second, nil)
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("the sink holds a dead token; it is %+v", w.line(traderCred))
		}
	})
}

// Who orders something of a credential whose removal is under way is not told that
// it was done, but for a revocation.
func TestAnOrderOfWhatIsBeingRemoved(t *testing.T) {
	for _, kind := range []reconcile.OrderKind{reconcile.OrderRefresh, reconcile.OrderRevoke} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", ""))
				w.pass(30*time.Second, time.Second, nil)
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultDelay, Path: "/auth/revoke", Delay: 10 * time.Second, Times: 1})
				held := w.set(withoutAll)
				if err := w.loop.Approve(t.Context(), held); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second) // its revocation is under way
				if w.server.Counts(standin.Coinify).Revocations != 1 || w.places.get("trader") != "" {
					t.Fatal("its revocation is not under way")
				}
				err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: kind})
				var refused *reconcile.OrderError
				if kind == reconcile.OrderRevoke {
					if err != nil {
						t.Errorf("revoke: %v", err)
					}
				} else if !errors.As(err, &refused) {
					t.Errorf("%s: %v", kind, err)
				}
			})
		})
	}
}

const withoutAll = `secret "mem" "pw" { value = "a-password" }`
