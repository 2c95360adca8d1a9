package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// remarked looks at what status says of a credential that is ready all the same; why is
// "" where there shall be nothing.
func (w *world) remarked(when, addr, why, mend, next string) {
	w.t.Helper()
	l := w.line(addr)
	if l.State != reconcile.Ready || (l.Why == "") != (why == "") || !strings.Contains(l.Why, why) || l.Mend != mend || next != "" && l.Next != next {
		w.t.Errorf("%s it is %+v; want it ready, why %q, mend %q, next %q", when, l, why, mend, next)
	}
}

// Once the grant was refused for good, status and plan say so while the token held is
// good, also after a restart; and what they tell a person to do is tried at once.
func TestAStoppedGrantIsSaidWhileItsTokenIsGood(t *testing.T) {
	const cred, mend = "credential.pages.a", "mend the inputs, then: tokend retry pages.a"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &pages{refusal: http.StatusForbidden, life: 7200}
		w.serveAlso(x, "pages.localhost")
		hcl := before(x.config("a@example.com", "true"), "  refresh {") + "}\ncredential" + after(x.config("a@example.com", "true"), "\ncredential")
		w.set(hcl)
		<-time.After(time.Minute)
		w.remarked("with a new token", cred, "", "", "refresh")
		order := func(o reconcile.OrderKind) error { return w.loop.Do(t.Context(), cred, reconcile.Order{Kind: o}) }
		x.walled.Store(true)
		if err := order(reconcile.OrderRefresh); err == nil {
			t.Fatal("it was refreshed")
		}
		tried := x.grants.Load()
		const why = "obtaining a new token is stopped since 2000-01-01T00:01:00Z: obtaining a token at http://pages.localhost/token: status 403"
		w.remarked("at once", cred, why, mend, "stop")
		<-time.After(10 * time.Minute)
		w.remarked("after a while", cred, why, mend, "stop")
		w.crash()
		w.set(hcl)
		<-time.After(time.Minute)
		w.remarked("after a crash", cred, why, mend, "stop")

		p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
		if err != nil || len(p.Steps) != 1 || !strings.Contains(p.Steps[0].Reason, why) || p.Steps[0].Mend != mend {
			t.Errorf("the plan is %+v, %v", p.Steps, err)
		}
		if v, err := w.loop.Survey(t.Context(), cred); err != nil || v.Credentials[0].State != reconcile.Ready || !strings.Contains(v.Credentials[0].Why, why) || v.Credentials[0].Mend != mend {
			t.Errorf("without a daemon it is %+v, %v", v.Credentials, err)
		}
		if n := x.grants.Load(); n != tried {
			t.Errorf("it was tried %d times more by itself", n-tried)
		}
		if err := order(reconcile.OrderRetry); err == nil || x.grants.Load() != tried+1 {
			t.Errorf("tried again: %v, %d times", err, x.grants.Load()-tried)
		}
		w.remarked("refused again", cred, "obtaining a new token is stopped since 2000-01-01T00:12:00Z", mend, "stop")
		x.walled.Store(false)
		if err := order(reconcile.OrderRetry); err != nil {
			t.Error(err)
		}
		<-time.After(time.Minute)
		w.remarked("obtained", cred, "", "", "refresh")
		if l := w.line(cred); l.Generation != 2 {
			t.Errorf("obtained, it is %+v", l)
		}
	})
}

// Once the refresh token of a login was refused, status and plan say that a person has to
// log in again while the token held is good, also after a restart.
func TestARefusedRefreshTokenIsSaidWhileItsTokenIsGood(t *testing.T) {
	const why, mend = "its refresh token was refused: refreshing the token", "tokend login hand.a"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(byHand)
		if err := w.handLogin(t); err != nil {
			t.Fatal(err)
		}
		w.remarked("with a new token", handCred, "", "", "refresh")
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 401, Code: "invalid_grant", Grant: "refresh_token"})
		if err := w.loop.Do(t.Context(), handCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err == nil {
			t.Fatal("it was refreshed")
		}
		<-time.After(time.Second)
		w.remarked("at once", handCred, why, mend, "stop")
		w.crash()
		w.set(byHand)
		<-time.After(time.Second)
		w.remarked("after a crash", handCred, why, mend, "stop")
		p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
		if err != nil || len(p.Steps) != 1 || !strings.Contains(p.Steps[0].Reason, why) || p.Steps[0].Mend != mend {
			t.Errorf("the plan is %+v, %v", p.Steps, err)
		}
		if err := w.handLogin(t); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		w.remarked("after a login", handCred, "", "", "refresh")
	})
}

// after is what follows the first time that something is said.
func after(s, said string) string {
	_, rest, _ := strings.Cut(s, said)
	return rest
}

// Where an account has one session, a login whose answer was lost may have ended the
// token held. Nobody is asked to log in for that; but status says it, also after a
// restart, until a refresh, a login or the API itself shows what is true.
func TestALoginThatMayHaveEndedATokenIsSaid(t *testing.T) {
	const why, mend = "a login whose answer was lost may have ended its token", "tokend login tv.a"
	single := strings.Replace(byDevice, `provider_type "tv" {`, "provider_type \"tv\" {\n  session = \"one_per_account\"", 1)
	loses := func(t *testing.T, w *world, hcl string) {
		t.Helper()
		w.set(hcl)
		code, userCode := w.askDevice()
		w.server.DecideDevice(userCode, true)
		if e := w.asks(code); e != nil {
			t.Fatal(e)
		}
		<-time.After(time.Minute)
		w.remarked("with a new token", tv, "", "", "")
		code, _ = w.askDevice()
		w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 1})
		if e := w.asks(code); e == nil || e.Class != providers.ClassUnknown {
			t.Fatalf("it is answered %v", e)
		}
	}
	for name, c := range map[string]struct {
		hcl    string
		remark bool
		then   func(w *world) error
	}{
		"independent": {hcl: byDevice},
		"a refresh": {single, true, func(w *world) error {
			return w.loop.Do(w.t.Context(), tv, reconcile.Order{Kind: reconcile.OrderRefresh})
		}},
		"a login": {single, true, func(w *world) error {
			code, userCode := w.askDevice()
			w.server.DecideDevice(userCode, true)
			if e := w.asks(code); e != nil {
				return e
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				loses(t, w, c.hcl)
				if !c.remark {
					w.remarked("lost", tv, "", "", "")
					return
				}
				w.remarked("lost", tv, why, mend, "refresh")
				w.crash()
				w.set(c.hcl)
				<-time.After(time.Minute)
				w.remarked("after a crash", tv, why, mend, "refresh")
				if err := c.then(w); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Minute)
				w.remarked("then", tv, "", "", "")
			})
		})
	}
}

// Where a token can be asked about it is, at once after such a loss and after a restart:
// honoured, there is nothing to be said any more; refused twice, it is renewed.
func TestATokenThatALoginMayHaveEndedIsAskedAbout(t *testing.T) {
	asked := strings.NewReplacer(`provider_type "tv" {`, "provider_type \"tv\" {\n  session = \"one_per_account\"", `credential "tv" "a" { client_id = "a" }`,
		"credential \"tv\" \"a\" {\n  client_id = \"a\"\n  verify {\n    path  = \"/api/me\"\n    every = \"6h\"\n  }\n}").Replace(byDevice)
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(asked)
		code, userCode := w.askDevice()
		w.server.DecideDevice(userCode, true)
		if e := w.asks(code); e != nil {
			t.Fatal(e)
		}
		questions := func() int { return w.calls(standin.OAuth2, "/api/me", 0) }
		was := questions()
		code, userCode = w.askDevice()
		for n := range 2 {
			w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 1})
			if e := w.asks(code); e == nil || e.Class != providers.ClassUnknown {
				t.Fatalf("it is answered %v", e)
			}
			if got := questions(); got != was+n+1 {
				t.Errorf("after %d lost answers it was asked about %d times", n+1, got-was)
			}
			w.remarked("honoured", tv, "", "", "")
		}
		w.crash()
		w.set(asked)
		<-time.After(time.Second)
		if got := questions(); got != was+3 {
			t.Errorf("after a crash it was asked about %d times in all", got-was)
		}
		w.remarked("after a crash", tv, "", "", "")

		w.server.DecideDevice(userCode, true)
		w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 1})
		if e := w.asks(code); e == nil || e.Class != providers.ClassUnknown {
			t.Fatalf("it is answered %v", e)
		}
		w.server.RevokeAccount(standin.OAuth2, "")
		<-time.After(10 * time.Minute)
		w.crash()
		w.set(asked)
		<-time.After(time.Minute)
		if l := w.line(tv); l.State != reconcile.NeedsLogin || !strings.Contains(l.Why, "no longer honours its token") {
			t.Errorf("ended, it is %+v", l)
		}
	})
}

// A refresh that succeeds shows that such a login brought nothing: no orphan is counted
// for it any more, however the questions about its code go on.
func TestARefreshShowsThatALostLoginBroughtNothing(t *testing.T) {
	single := strings.Replace(byDevice, `provider_type "tv" {`, "provider_type \"tv\" {\n  session = \"one_per_account\"", 1)
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(single)
		code, userCode := w.askDevice()
		w.server.DecideDevice(userCode, true)
		if e := w.asks(code); e != nil {
			t.Fatal(e)
		}
		<-time.After(time.Minute)
		code, userCode = w.askDevice()
		counts := func(when string, want int) {
			t.Helper()
			if l := w.line(tv); l.State != reconcile.Ready || l.Orphans != want {
				t.Errorf("%s, %d orphans are counted, want %d: %+v", when, l.Orphans, want, l)
			}
		}
		for range 2 {
			w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 1})
			if e := w.asks(code); e == nil || e.Class != providers.ClassUnknown {
				t.Fatalf("it is answered %v", e)
			}
			counts("lost", 1)
			if err := w.loop.Do(t.Context(), tv, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
				t.Fatal(err)
			}
			counts("refreshed", 0)
		}
		if e := w.asks(code); e == nil || !e.Waits() {
			t.Fatalf("it is answered %v", e)
		}
		counts("not approved yet", 0)
		w.server.DecideDevice(userCode, true)
		if e := w.asks(code); e != nil {
			t.Fatal(e)
		}
		counts("with its token", 0)
	})
}
