package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A refresh that may have ended the token held is tried again by its back-off
// until one gives an answer, whatever befalls the tries after it.
func TestALostRefreshIsRememberedWhileOthersFail(t *testing.T) {
	const addr = "credential.coinify.trader"
	for name, then := range map[string]standin.Fault{
		"throttled":   {Kind: standin.FaultThrottle, Times: 3},
		"unavailable": {Kind: standin.FaultStatus, Status: 503, Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				own := replaying(t, "1s")
				for old, ended := range map[string]string{
					"    replay_window = \"1s\"\n": "    invalidates_access_token = true\n",
					"\"observe\"":                  "false",
				} {
					if !strings.Contains(own, old) {
						t.Fatalf("the type has no %s", old)
					}
					own = strings.Replace(own, old, ended, 1)
				}
				w.set(trader("a@example.com", own))
				<-time.After(time.Minute)
				held, _, _, err := w.loop.Record(t.Context(), addr)
				if err != nil {
					t.Fatal(err)
				}
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
				then.API, then.Grant = standin.Coinify, "refresh_token"
				w.server.Fail(then)
				if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderRefresh}); err == nil {
					t.Fatal("the refresh was not lost")
				}
				<-time.After(5 * time.Minute)
				now, _, _, err := w.loop.Record(t.Context(), addr)
				if err != nil {
					t.Fatal(err)
				}
				if c := w.server.Counts(standin.Coinify); c.Faulted != 4 {
					t.Errorf("%d calls failed, want 4", c.Faulted)
				}
				if now.Head.Generation == held.Head.Generation || now.Grant.LostRefresh || !w.works(standin.Coinify, "trader") {
					t.Errorf("generation %d is held on to, lost %v, failure %+v", now.Head.Generation, now.Grant.LostRefresh, now.Failure)
				}
			})
		})
	}
}

// A refresh token whose reply was lost is not sent again because a person says so
// while the call is still under way: an API that notices would end the access token
// with it. What is tried is the grant.
func TestARetryDuringALostRefreshAsksTheGrant(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		w.pass(time.Minute, time.Second, nil)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStall, Acts: true, Grant: "refresh_token"})
		ordered := func(kind reconcile.OrderKind) <-chan error {
			done := make(chan error, 1)
			go func() { done <- w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: kind}) }()
			return done
		}
		lost := ordered(reconcile.OrderRefresh)
		<-time.After(time.Second)
		again := ordered(reconcile.OrderRetry)
		if err := <-lost; err == nil {
			t.Fatal("the refresh was not lost")
		}
		if err := <-again; err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute, time.Second, nil)
		if c := w.server.Counts(standin.Coinify); c.Reuses != 0 || c.Grants != 2 {
			t.Errorf("%d reuses, want none; %d grants, want 2", c.Reuses, c.Grants)
		}
		if l := w.line(traderCred); l.State != reconcile.Ready || !w.works(standin.Coinify, "trader") {
			t.Errorf("what is delivered does not work; it is %s: %s", l.State, l.Why)
		}
	})
}
