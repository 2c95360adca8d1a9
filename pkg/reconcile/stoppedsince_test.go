package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A grant that failed in passing for a while and is then refused for good is stopped since
// that refusal, not since the first failure; and what goes on again fails since then.
func TestStoppedIsSinceTheRefusal(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		passing := standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Times: -1}
		armed := w.server.Fail(passing)
		began := time.Now()
		w.set(trader("a@example.com", ""))
		<-time.After(35 * time.Second)
		look := func(state reconcile.State, from time.Time) {
			t.Helper()
			if l := w.line(traderCred); l.State != state || l.Since.Before(from) || l.Since.After(from.Add(10*time.Second)) {
				t.Errorf("at %s it is %s since %s, want %s since %s", time.Now(), l.State, l.Since, state, from)
			}
		}
		look(reconcile.Failing, began)
		armed.Clear()
		armed = w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 401, Code: "invalid_grant", Times: -1})
		refused := time.Now()
		order := func() {
			t.Helper()
			if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRetry}); err == nil {
				t.Fatal("it went through")
			}
		}
		order()
		<-time.After(time.Minute)
		look(reconcile.Stopped, refused)
		w.crash()
		w.set(trader("a@example.com", ""))
		<-time.After(time.Second)
		look(reconcile.Stopped, refused)
		order() // refused once more, it is stopped as before
		look(reconcile.Stopped, refused)
		armed.Clear()
		w.server.Fail(passing)
		again := time.Now()
		order()
		<-time.After(time.Second)
		look(reconcile.Failing, again)
	})
}
