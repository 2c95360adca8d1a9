package reconcile_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/standin"
)

const handCred = "credential.hand.a"

// handLogin logs in with a code, which the API takes as long as it has no fault.
func (w *world) handLogin(t *testing.T) error {
	t.Helper()
	return w.loop.Login(t.Context(), handCred, reconcile.LoginCode{Flow: providers.Flow{Code: secret.New("the-code")}})
}

// What a person asked for is why a login is needed, and no failure from before that;
// what became of the last login is said beside it.
func TestATaintIsWhyALoginIsNeeded(t *testing.T) {
	const taint = "a person tainted it; the old token stays in force until then"
	for name, c := range map[string]struct {
		grant string // of the call that is refused before
		why   string
	}{
		"a refresh that was refused": {"refresh_token", taint},
		"a login that was refused":   {"password", taint + " (the last login failed: "},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(byHand)
				if err := w.handLogin(t); err != nil {
					t.Fatal(err)
				}
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 401, Code: "invalid_grant", Grant: c.grant, Times: -1})
				order := reconcile.Order{Kind: reconcile.OrderRefresh}
				if c.grant == "refresh_token" {
					if err := w.loop.Do(t.Context(), handCred, order); err == nil {
						t.Fatal("the refresh was not refused")
					}
				} else if err := w.handLogin(t); err == nil {
					t.Fatal("the login was not refused")
				}
				order.Kind = reconcile.OrderTaint
				if err := w.loop.Do(t.Context(), handCred, order); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				l := w.line(handCred)
				if exact := c.why == taint; l.State != reconcile.NeedsLogin || exact && l.Why != taint || !strings.HasPrefix(l.Why, c.why) {
					t.Errorf("it is %s: %s", l.State, l.Why)
				}
			})
		})
	}
}

// That its refresh token was refused, and how, is said with what a login is needed for.
func TestARefusedRefreshIsWhyALoginIsNeeded(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(byHand)
		if err := w.handLogin(t); err != nil {
			t.Fatal(err)
		}
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 400, Code: "invalid_grant", Grant: "refresh_token", Times: -1})
		for range 1000 {
			if <-time.After(10 * time.Second); w.line(handCred).State == reconcile.NeedsLogin {
				break
			}
		}
		before := w.line(handCred)
		<-time.After(24 * time.Hour)
		for _, l := range []reconcile.Line{before, w.line(handCred)} {
			if l.State != reconcile.NeedsLogin || !strings.Contains(l.Why, "a login gives a new one") && !strings.Contains(l.Why, "expired") ||
				!strings.Contains(l.Why, " (its refresh token was refused: ") || !strings.Contains(l.Why, "invalid_grant") || !strings.Contains(l.Why, "400") {
				t.Errorf("it is %s: %s", l.State, l.Why)
			}
		}
	})
}

// Nothing is tried again by itself after a code or a refresh token that was refused
// where a person has to log in, so the log names no time for it; of a call that is
// repeated it does.
func TestTheLogNamesNoTimeForWhatIsNotTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		grant, code string
		login       bool
		again       bool
	}{
		"a code":                      {"password", "invalid_grant", true, false},
		"a refresh token":             {"refresh_token", "invalid_grant", false, false},
		"a refresh by a wrong client": {"refresh_token", "invalid_client", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				said := &logLines{}
				w.halt()
				w.log = slog.New(slog.NewTextHandler(said, nil))
				w.start()
				w.set(byHand)
				if err := w.handLogin(t); err != nil {
					t.Fatal(err)
				}
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 401, Code: c.code, Grant: c.grant, Times: -1})
				var err error
				if c.login {
					err = w.handLogin(t)
				} else {
					err = w.loop.Do(t.Context(), handCred, reconcile.Order{Kind: reconcile.OrderRefresh})
				}
				if err == nil || said.count("a call failed") != 1 {
					t.Fatalf("it was not refused (%v), or that was said %d times", err, said.count("a call failed"))
				}
				if n := said.count("again_at"); (n > 0) != c.again {
					t.Errorf("a time to try again is named %d times", n)
				}
			})
		})
	}
}

// Of a token that a login brought and that was given up, nobody is told that there never
// was one.
func TestALoginWhoseTokenWasRevokedIsNotForgotten(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(byHand)
		needs := func(when, why string) {
			t.Helper()
			w.pass(time.Second, time.Second, nil)
			if l := w.line(handCred); l.State != reconcile.NeedsLogin || l.Why != why || l.Mend != "tokend login hand.a" {
				t.Errorf("%s it is %+v, want that %s", when, l, why)
			}
		}
		needs("at first", "nobody has logged in yet")
		if err := w.handLogin(t); err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Do(t.Context(), handCred, reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
			t.Fatal(err)
		}
		needs("revoked", "its token was given up")
		w.crash()
		w.set(byHand)
		needs("after a crash", "its token was given up")
	})
}
