package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// rotating is a type of its own whose refresh tokens work once, with no window in
// which a refresh may be repeated.
func rotating() string {
	return strings.Replace(misread("access_token"), "  refresh {\n", "  refresh {\n    rotates = true\n", 1)
}

// A person's retry has the call tried that fails: the grant. A refresh token that may
// be spent, or that was refused, is not what gets another try, however often.
func TestARetryHasTheFailingCallTried(t *testing.T) {
	for name, c := range map[string]struct {
		first  standin.Fault // of the refresh
		orders []reconcile.OrderKind
	}{
		"not carried out":         {standin.Fault{Kind: standin.FaultStatus}, []reconcile.OrderKind{reconcile.OrderRetry}},
		"carried out":             {standin.Fault{Kind: standin.FaultStatus, Acts: true}, []reconcile.OrderKind{reconcile.OrderRetry}},
		"lost":                    {standin.Fault{Kind: standin.FaultLost}, []reconcile.OrderKind{reconcile.OrderRetry}},
		"refused":                 {standin.Fault{Kind: standin.FaultRefuse}, []reconcile.OrderKind{reconcile.OrderRetry}},
		"lost, tainted and asked": {standin.Fault{Kind: standin.FaultLost}, []reconcile.OrderKind{reconcile.OrderTaint, reconcile.OrderRetry}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(rotating())
				w.pass(time.Minute, time.Second, nil)
				c.first.API, c.first.Grant = standin.Coinify, "refresh_token"
				w.server.Fail(c.first)
				down := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Grant: "password", Times: -1})
				before := w.server.Counts(standin.Coinify)
				_ = w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh})
				w.pass(20*time.Minute, time.Second, nil)
				if l := w.line(traderCred); l.State != reconcile.Failing || !strings.Contains(l.Why, "status 500") || !strings.Contains(l.Why, "logins in a row may count against its account") {
					t.Errorf("it is %s: %s; want why it fails, and why it waits", l.State, l.Why)
				}
				for range 2 { // the provider still fails
					if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRetry}); err == nil {
						t.Fatal("what the provider does not answer is done")
					}
					w.pass(time.Second, time.Second, nil)
				}
				down.Clear()
				for _, kind := range c.orders {
					if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: kind}); err != nil {
						t.Errorf("%s: %v", kind, err)
					}
				}
				w.pass(time.Second, time.Second, nil)
				after := w.server.Counts(standin.Coinify)
				if n := after.Grants - before.Grants; n != 1 || after.Reuses != 0 || after.Refreshes-before.Refreshes > 1 {
					t.Errorf("%d grants, want 1; %d refreshes, want at most the first; %d reuses", n, after.Refreshes-before.Refreshes, after.Reuses)
				}
				if l := w.line(traderCred); l.State != reconcile.Ready || !w.works(standin.Coinify, "trader") {
					t.Errorf("what is delivered does not work; it is %s: %s", l.State, l.Why)
				}
			})
		})
	}
}

// A refresh that goes through ends what failed before it. The tries that count against
// the account are kept: they are what a grant that is wanted then waits for, and status
// says so, and not that the call fails that failed before. A retry need not wait.
func TestARefreshEndsTheFailureOfTheGrant(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(strings.Replace(misread("access_token"), "  refresh {\n", "  refresh {\n    rotates = false\n", 1))
		w.pass(time.Minute, time.Second, nil)
		wall := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultHTML, Status: 403, Grant: "refresh_token", Times: -1})
		down := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Grant: "password", Times: -1})
		failure := func() *state.Failure {
			rec, _, _, err := w.loop.Record(t.Context(), traderCred)
			if err != nil {
				t.Fatal(err)
			}
			return rec.Failure
		}
		for range 7200 {
			if f := failure(); f != nil && f.Op == "grant" && f.Reached >= 3 {
				break
			}
			w.pass(time.Second, time.Second, nil)
		}
		down.Clear()
		wall.Clear()
		w.pass(time.Minute, time.Second, nil)
		if l := w.line(traderCred); l.State != reconcile.Ready {
			t.Fatalf("it is %s: %s", l.State, l.Why)
		}
		asked := time.Now()
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second, time.Second, nil)
		if l := w.line(traderCred); l.State != reconcile.Failing || strings.Contains(l.Why, "500") || !strings.Contains(l.Why, "3 logins in a row") || l.Since.Before(asked) {
			t.Errorf("it is %s since %s: %s; want that only the account is spared", l.State, l.Since, l.Why)
		}
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Error(err)
		}
		if f := failure(); f != nil {
			t.Errorf("after a login %+v is kept", f)
		}
	})
}

// Of a grant that counts against an account the tries are spread over what is left of
// the token held: a provider that fails for seconds does not have it wait.
func TestTriesAreSpreadOverWhatIsLeft(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(rotating())
		w.pass(time.Minute, time.Second, nil)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
		down := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Grant: "password", Times: -1})
		_ = w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh})
		w.pass(3*time.Second, time.Second, nil)
		if n := down.Hits(); n != 1 {
			t.Errorf("%d logins within 3s, want 1", n)
		}
		down.Clear()
		w.pass(15*time.Minute, time.Second, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatal("what is delivered does not work")
			}
		})
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Reuses != 0 {
			t.Errorf("%d grants, want 2; %d reuses", c.Grants, c.Reuses)
		}
	})
}

// So it is with a token that lives for seconds: the three are spread over what is left of
// it, and the last comes before its end.
func TestTriesAreSpreadOverAShortLife(t *testing.T) {
	short := strict()
	short.Rules.AccessLifetime = 40 * time.Second
	inWorld(t, short, func(t *testing.T, w *world) {
		w.set(rotating())
		w.pass(5*time.Second, time.Second, nil)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Grant: "refresh_token", Times: -1})
		down := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Grant: "password", Times: -1})
		obtained, ends := time.Now(), w.line(traderCred).ExpiresAt
		var at []time.Duration
		w.pass(time.Until(ends), time.Second/4, func() {
			for len(at) < down.Hits() {
				at = append(at, time.Since(obtained))
			}
		})
		if len(at) != 3 || at[1]-at[0] < 5*time.Second || at[2]-at[1] < 5*time.Second || at[2] > ends.Sub(obtained) {
			t.Errorf("of a token that had %s left there were logins after %s", ends.Sub(obtained), at)
		}
	})
}
