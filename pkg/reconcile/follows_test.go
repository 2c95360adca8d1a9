package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// nextOf is what an order's failure says comes next.
func nextOf(t *testing.T, err error) string {
	t.Helper()
	f, ok := errors.AsType[*reconcile.FailedError](err)
	if !ok {
		t.Fatalf("%v says nothing of what comes next", err)
	}
	return f.Next
}

// A refresh token that was refused leaves a trace where no person is needed, too: status
// and plan say since when and why, and that the grant brings the next token, which it does.
func TestARefusedRefreshTokenIsSaidThoughTheGrantGoesOn(t *testing.T) {
	const (
		why  = "its refresh token was refused at 2000-01-01T00:01:00Z (refreshing the token"
		then = "; a new token is obtained by the grant at 2000-01-01T0"
		mend = "tokend refresh coinify.trader, which obtains it at once"
	)
	inWorld(t, strict(), func(t *testing.T, w *world) {
		hcl := trader("a@example.com", "")
		w.set(hcl)
		<-time.After(time.Minute)
		w.remarked("with a new token", traderCred, "", "", "refresh")
		refuse := standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 401, Code: "invalid_grant", Grant: "refresh_token"}
		w.server.Fail(refuse)
		err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh})
		if err == nil {
			t.Fatal("it was refreshed")
		}
		if next := nextOf(t, err); !strings.Contains(next, then[2:]) || !strings.Contains(next, "at once by: tokend refresh coinify.trader") {
			t.Errorf("next %q", next)
		}
		<-time.After(time.Second)
		look := func(when string) {
			t.Helper()
			w.remarked(when, traderCred, why, mend, "grant")
			w.remarked(when, traderCred, then, mend, "grant")
		}
		look("at once")
		w.crash()
		w.set(hcl)
		<-time.After(time.Second)
		look("after a crash")
		p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
		if err != nil || len(p.Steps) != 1 || p.Steps[0].Action != reconcile.ActWait || !strings.Contains(p.Steps[0].Reason, why) {
			t.Errorf("the plan is %+v, %v", p.Steps, err)
		}
		if v, err := w.loop.Survey(t.Context(), traderCred); err != nil || !strings.Contains(v.Credentials[0].Why, why) {
			t.Errorf("without a daemon it is %+v, %v", v.Credentials, err)
		}
		due := w.line(traderCred).NextAt
		<-time.After(time.Until(due) + time.Second)
		w.remarked("when it was due", traderCred, "", "", "")
		if l, c := w.line(traderCred), w.server.Counts(standin.Coinify); l.Generation != 2 || c.Grants != 2 || c.Refreshes != 0 {
			t.Errorf("%d grants, %d refreshes: %+v", c.Grants, c.Refreshes, l)
		}
		// What is to mend it does.
		w.server.Fail(refuse)
		order := func() error {
			return w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh})
		}
		if order() == nil || order() != nil {
			t.Error("it was refreshed, or not obtained anew")
		}
		<-time.After(time.Second)
		w.remarked("obtained anew", traderCred, "", "", "")
	})
}

// A call that fails which a person has ordered says what comes next.
func TestAFailedOrderSaysWhatComesNext(t *testing.T) {
	for name, c := range map[string]struct {
		fault standin.Fault
		order reconcile.OrderKind
		next  string
		lost  int // orphans
	}{
		"a refresh with an unknown outcome": {standin.Fault{Kind: standin.FaultStatus, Grant: "refresh_token"}, reconcile.OrderRefresh,
			"a token that it may have brought is counted as an orphan; that, and what comes next, says: tokend status coinify.trader", 1},
		"a refresh in a maintenance": {standin.Fault{Kind: standin.FaultStatus, Status: 503, Grant: "refresh_token"}, reconcile.OrderRefresh,
			"a running daemon tries it again at 2000-01-01T00:01:0", 0},
		"a revocation": {standin.Fault{Kind: standin.FaultStatus, Path: "/auth/revoke"}, reconcile.OrderRevoke,
			"; at once: tokend retry coinify.trader; it is given up by: tokend revoke --forget coinify.trader", 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", ""))
				<-time.After(time.Minute)
				c.fault.API = standin.Coinify
				w.server.Fail(c.fault)
				err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: c.order})
				if err == nil {
					t.Fatal("it did not fail")
				}
				if next := nextOf(t, err); !strings.Contains(next, c.next) {
					t.Errorf("next %q, want %q", next, c.next)
				}
				<-time.After(time.Second)
				if n := w.line(traderCred).Orphans; n != c.lost {
					t.Errorf("%d orphans, want %d", n, c.lost)
				}
			})
		})
	}
}
