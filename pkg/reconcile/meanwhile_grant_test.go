package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// While the grant that would replace a token fails, for whatever time and reason,
// the token in force is refreshed as ever.
func TestAFailingReplacementLetsNoTokenEnd(t *testing.T) {
	for name, fails := range map[string]func(w *world){
		"throttled":             func(w *world) { w.grantsFail(429, "slow_down") },
		"failing":               func(w *world) { w.grantsFail(503, "unavailable") },
		"a secret is not there": func(w *world) { w.unreadable.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", ""))
				w.pass(time.Minute, time.Second, nil)
				fails(w)
				w.set(trader("b@example.com", ""))
				w.pass(3*time.Hour, 10*time.Second, func() {
					if !w.works(standin.Coinify, "trader") {
						t.Fatalf("the token in force ended: %+v", w.line(traderCred))
					}
				})
				if l := w.line(traderCred); l.State != reconcile.Failing {
					t.Errorf("it is %s: %s", l.State, l.Why)
				}
				w.server.ClearFaults()
				w.unreadable.Store(false)
				w.pass(10*time.Minute, time.Second, nil)
				if l := w.line(traderCred); l.State != reconcile.Ready || len(w.server.Live(standin.Coinify, "b@example.com")) == 0 {
					t.Errorf("once it works again it is %s: %s", l.State, l.Why)
				}
			})
		})
	}
}

// So it is where the grant's reply could not be read, and waits for a person.
func TestAKeptReplyOfAReplacementLetsNoTokenEnd(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		w.pass(time.Minute, time.Second, nil)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultMissingToken, Grant: "password", Times: 1})
		w.set(trader("b@example.com", ""))
		w.pass(3*time.Hour, 10*time.Second, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("the token in force ended: %+v", w.line(traderCred))
			}
		})
		if l := w.line(traderCred); l.State != reconcile.Unread {
			t.Errorf("it is %s: %s", l.State, l.Why)
		}
	})
}

// grantsFail has all grants but refreshes fail.
func (w *world) grantsFail(status int, code string) {
	w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: status, Code: code, Grant: "password", Times: -1})
}
