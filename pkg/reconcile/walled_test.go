package reconcile_test

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// pages is an API that answers refreshes, and revocations where it is told so, with
// pages of HTML. Its tokens live for ten minutes, but where it is told otherwise.
type pages struct {
	grants, refreshes, revocations atomic.Int64
	open                           atomic.Bool // refreshes are carried out
	walled                         atomic.Bool // grants are refused by the same pages
	single                         bool        // a refresh token works once
	window                         string      // in which a refresh may be repeated
	refusal                        int         // the status of a page that refuses a refresh
	word                           string      // a JSON object to refuse it with instead
	revoked                        string      // the page that answers a revocation; "": none does
	life                           int         // of a token, in seconds; 0: ten minutes
	last                           atomic.Pointer[string]
}

func (x *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	switch {
	case r.URL.Path == "/revoke":
		x.revocations.Add(1)
		token := r.Form.Get("token")
		x.last.Store(&token)
		if x.revoked != "" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, x.revoked)
		}
	case r.Form.Get("grant_type") == "refresh_token" && !x.open.Load(), x.walled.Load():
		if x.refreshes.Add(1); r.Form.Get("grant_type") != "refresh_token" {
			x.refreshes.Add(-1)
			x.grants.Add(1)
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(x.refusal)
		_, _ = fmt.Fprint(w, cmp.Or(x.word, "<html>Forbidden</html>"))
	default:
		n := x.grants.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"at%d","refresh_token":"rt%d","expires_in":%d,"token_type":"bearer"}`, n, n, cmp.Or(x.life, 600))
	}
}

func (x *pages) config(email, lockout string) string {
	refresh := fmt.Sprintf("rotates = %t", x.single)
	if x.window != "" {
		refresh += fmt.Sprintf("\n    replay_window = %q", x.window)
	}
	return strings.NewReplacer("EMAIL", email, "LOCKOUT", lockout, "ROTATES", refresh).Replace(`
provider "pages" { allow_insecure_http = true }
provider_type "pages" {
  grant "plain" {
    lockout = LOCKOUT
    input "email" { type = string }
    request {
      method = "POST"
      url    = "http://pages.localhost/token"
      form   = { grant_type = "x", email = input.email }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    ROTATES
    request {
      method = "POST"
      url    = "http://pages.localhost/token"
      form   = { grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
  }
  revoke {
    request {
      method = "POST"
      url    = "http://pages.localhost/revoke"
      form   = { token = token.refresh_token }
    }
  }
}
credential "pages" "a" { email = "EMAIL" }
sink "mem" "a" {
  place   = "a"
  content = credential.pages.a.access_token
}
`)
}

// A refresh token that a page refuses is kept, but no expired token is: a new one is
// obtained by the grant in time, and the old refresh token is revoked as one that may live.
func TestARefusalByAPageKeepsNoExpiredToken(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusGone} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			x := &pages{refusal: status}
			w.serveAlso(x, "pages.localhost")
			w.set(x.config("a@example.com", "false"))
			time.Sleep(8 * time.Minute)
			if got := w.places.get("a"); got != "at1" || x.refreshes.Load() == 0 {
				t.Errorf("%d: while its token lives, the place holds %q after %d refreshes", status, got, x.refreshes.Load())
			}
			c, _, _, err := w.loop.Record(t.Context(), "credential.pages.a")
			if err != nil || c.Grant.RefreshState != state.RefreshUsable {
				t.Errorf("%d: its refresh token was given up (%v)", status, err)
			}
			time.Sleep(2*time.Minute - time.Second) // it ends within this second
			if got := w.places.get("a"); got != "at2" {
				t.Errorf("%d: the place holds %q: %+v", status, got, w.line("credential.pages.a"))
			}
			time.Sleep(time.Minute)
			if last := x.last.Load(); last == nil || *last != "rt1" {
				t.Errorf("%d: the old refresh token was not revoked: %+v", status, w.line("credential.pages.a"))
			}
			time.Sleep(49 * time.Minute)
			if n, got := x.grants.Load(), w.places.get("a"); n > 8 || got != fmt.Sprintf("at%d", n) {
				t.Errorf("%d: after an hour the place holds %q, after %d grants", status, got, n)
			}
		})
	}
}

// A grant that counts against an account is tried once the token has ended, and no
// sooner; where pages refuse it, too, it is tried three times, and then every quarter
// of an hour, and is not stopped by what is no refusal of the API's.
func TestARefusalByAPageRisksNoAccount(t *testing.T) {
	for name, walled := range map[string]bool{"the grant is let through": false, "the grant is refused, too": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &pages{refusal: http.StatusForbidden}
				w.serveAlso(x, "pages.localhost")
				w.set(x.config("a@example.com", "true"))
				time.Sleep(10*time.Minute - 2*time.Second)
				if n := x.grants.Load(); n != 1 || x.refreshes.Load() == 0 {
					t.Errorf("while its token lives: %d grants, %d refreshes", n, x.refreshes.Load())
				}
				x.walled.Store(walled)
				time.Sleep(5 * time.Second)
				if got := w.places.get("a"); !walled && got != "at2" {
					t.Errorf("the place holds %q: %+v", got, w.line("credential.pages.a"))
				}
				time.Sleep(time.Hour)
				if n := x.grants.Load(); !walled && n > 8 || walled && (n < 6 || n > 8) || x.refreshes.Load() < 60 {
					t.Errorf("%d grants, %d refreshes", n, x.refreshes.Load())
				}
				x.walled.Store(false)
				x.open.Store(true)
				time.Sleep(35 * time.Second)
				if l := w.line("credential.pages.a"); walled && l.State != reconcile.Ready {
					t.Errorf("once the wall has fallen: %+v", l)
				}
			})
		})
	}
}

// A grant that pages refuse where nothing is known of a wall is stopped, where it
// counts against an account: the page may stand for a wrong password.
func TestAGrantThatAPageRefusesIsStopped(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &pages{refusal: http.StatusForbidden}
		x.walled.Store(true)
		w.serveAlso(x, "pages.localhost")
		w.set(x.config("a@example.com", "true"))
		time.Sleep(time.Hour)
		if n := x.grants.Load(); n != 1 {
			t.Errorf("%d grants", n)
		}
	})
}

// A page may stand in the place of an API's own answer: a refresh token that works
// once is not sent again, but once inside the window in which its API allows that.
func TestARefusalByAPageMaySpend(t *testing.T) {
	for name, c := range map[string]struct {
		window    string
		atMost    int64
		atLeast   int64
		walled    bool
		newTokens bool
	}{
		"no window":                    {"", 1, 1, false, true},
		"a window":                     {"60s", 2, 2, false, true},
		"no window, the grant refused": {"", 1, 1, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &pages{refusal: http.StatusForbidden, single: true, window: c.window}
				w.serveAlso(x, "pages.localhost")
				w.halt()
				w.stepped = true // so that the clock of the window goes with the bubble's
				w.start()
				w.set(x.config("a@example.com", "true"))
				time.Sleep(time.Minute)
				x.walled.Store(c.walled)
				w.pass(8*time.Minute+50*time.Second, time.Second, nil)
				n := x.refreshes.Load()
				if n < c.atLeast || n > c.atMost {
					t.Errorf("%d refreshes by one refresh token", n)
				}
				if got := w.places.get("a"); (got == "at2") != c.newTokens {
					t.Errorf("the place holds %q after %d refreshes: %+v", got, n, w.line("credential.pages.a"))
				}
				if x.walled.Store(false); c.walled {
					time.Sleep(30 * time.Minute)
					if got := w.places.get("a"); got == "at1" {
						t.Errorf("with the wall gone the place holds %q: %+v", got, w.line("credential.pages.a"))
					}
				}
			})
		})
	}
}

// loginConfig is config with a grant that needs a person, and a token of it taken over.
func (x *pages) loginConfig(t *testing.T) string {
	asks := strings.Replace(x.config("a@example.com", "false"), `    request {
      method = "POST"
      url    = "http://pages.localhost/token"
      form   = { grant_type = "x", email = input.email }
    }`, `    authorize {
      url   = "http://pages.localhost/authorize"
      query = { state = flow.state, email = input.email }
    }
    request {
      method = "POST"
      url    = "http://pages.localhost/token"
      form   = { grant_type = "x", code = flow.code }
    }`, 1)
	if !strings.Contains(asks, "authorize {") {
		t.Fatal("the grant reads differently")
	}
	return asks + `
secret "mem" "rt" { value = "rt0" }
import {
  to            = credential.pages.a
  refresh_token = secret.mem.rt.value
}
`
}

// A token that only a login gives is refreshed on behind a wall, be that of pages or
// of a gateway that says no more than no; but once it has ended, status asks for the
// login and says why.
func TestALoginIsAskedForBehindAWall(t *testing.T) {
	for name, x := range map[string]*pages{
		"pages":                   {refusal: http.StatusForbidden},
		"a gateway":               {refusal: http.StatusForbidden, word: `{"message":"Forbidden"}`},
		"an error's name":         {refusal: http.StatusForbidden, word: `{"status":403,"error":"Forbidden"}`},
		"a conflict":              {refusal: http.StatusConflict, word: `{}`},
		"too large":               {refusal: http.StatusRequestEntityTooLarge, word: `{}`},
		"locked":                  {refusal: http.StatusLocked, word: `{}`},
		"no authority":            {refusal: http.StatusUnauthorized, word: `{"message":"Unauthorized"}`},
		"a page for a 400":        {refusal: http.StatusBadRequest},
		"an error with a success": {refusal: http.StatusOK, word: `{"error":"it did not work"}`},
		"a bad request":           {refusal: http.StatusBadRequest, word: `{"error":"invalid_request"}`},
	} {
		t.Run(name, func(t *testing.T) { loginIsAskedForBehind(t, x) })
	}
}

func loginIsAskedForBehind(t *testing.T, x *pages) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x.open.Store(true)
		w.serveAlso(x, "pages.localhost")
		w.set(x.loginConfig(t))
		time.Sleep(time.Minute)
		if got := w.places.get("a"); got != "at1" {
			t.Fatalf("the place holds %q: %+v", got, w.line("credential.pages.a"))
		}
		x.open.Store(false)
		time.Sleep(8 * time.Minute)
		if l := w.line("credential.pages.a"); l.State != reconcile.Failing {
			t.Errorf("while its token lives: %+v", l)
		}
		time.Sleep(2 * time.Minute)
		before := x.refreshes.Load()
		w.pass(10*time.Minute, 7*time.Second, func() {
			if l := w.line("credential.pages.a"); l.State != reconcile.NeedsLogin || !strings.Contains(l.Why, fmt.Sprintf("status %d", x.refusal)) || !strings.Contains(l.Mend, "tokend login") {
				t.Fatalf("once its token has ended: %+v", l)
			}
		})
		if n := x.refreshes.Load() - before; n < 15 {
			t.Errorf("%d refreshes meanwhile", n)
		}
		x.open.Store(true)
		time.Sleep(35 * time.Second)
		if l := w.line("credential.pages.a"); l.State != reconcile.Ready {
			t.Errorf("once the wall has fallen: %+v", l)
		}
	})
}

// Of a refresh token that works once nobody knows what a gateway's word did to it: it is
// sent again once in its window, and once more before the token held ends; then a login
// is asked for. A gateway that is gone by then has cost nothing.
func TestAGatewaysWordMaySpend(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		window string
		opens  bool // before the last try
		sent   int64
		state  reconcile.State
	}{
		"for ever":              {http.StatusForbidden, "", false, 2, reconcile.NeedsLogin},
		"for ever, in a window": {http.StatusForbidden, "60s", false, 3, reconcile.NeedsLogin},
		"for a minute":          {http.StatusForbidden, "", true, 1, reconcile.Ready},
		"401 for ever":          {http.StatusUnauthorized, "", false, 2, reconcile.NeedsLogin},
		"401 for a minute":      {http.StatusUnauthorized, "", true, 1, reconcile.Ready},
		"an error in a success": {http.StatusOK, "", true, 1, reconcile.Ready},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &pages{refusal: c.status, word: `{"error":"Forbidden"}`, single: true, window: c.window}
				x.open.Store(true)
				w.serveAlso(x, "pages.localhost")
				w.halt()
				w.stepped = true // so that the clock of the window goes with the bubble's
				w.start()
				w.set(x.loginConfig(t))
				time.Sleep(time.Minute)
				x.open.Store(false)
				w.pass(7*time.Minute, time.Second, nil)
				if l := w.line("credential.pages.a"); l.State != reconcile.Indeterminate || !strings.Contains(l.Why, "the answer to a refresh does not tell") {
					t.Errorf("while its token lives: %+v", l)
				}
				x.open.Store(c.opens)
				w.pass(5*time.Minute, time.Second, nil)
				l := w.line("credential.pages.a")
				if x.refreshes.Load() != c.sent || l.State != c.state {
					t.Errorf("%d refreshes refused: %+v", x.refreshes.Load(), l)
				}
				if l.State == reconcile.NeedsLogin && (strings.Contains(l.Why, "was refused") || !strings.Contains(l.Why, "may be spent")) {
					t.Errorf("nobody refused it for certain: %+v", l)
				}
			})
		})
	}
}

// What refuses a refresh token by the standard's words, or by the type's own, refuses it
// for good: it is not sent again, and a login is asked for at once.
func TestARefusalOfARefreshTokenIsNoWall(t *testing.T) {
	for name, c := range map[string]struct {
		x   *pages
		own string
	}{
		"the standard's code":   {&pages{refusal: http.StatusForbidden, word: `{"error":"invalid_grant"}`}, ""},
		"the standard's status": {&pages{refusal: http.StatusBadRequest, word: `{}`}, ""},
		"the type's own word":   {&pages{refusal: http.StatusForbidden, word: `{"message":"Forbidden"}`}, "\n  error { permanent = status == 403 }"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := c.x
				x.open.Store(true)
				w.serveAlso(x, "pages.localhost")
				w.set(strings.Replace(x.loginConfig(t), `provider_type "pages" {`, `provider_type "pages" {`+c.own, 1))
				time.Sleep(time.Minute)
				x.open.Store(false)
				w.pass(20*time.Minute, time.Minute, func() {})
				if l := w.line("credential.pages.a"); x.refreshes.Load() != 1 || l.State != reconcile.NeedsLogin {
					t.Errorf("%d refreshes: %+v", x.refreshes.Load(), l)
				}
			})
		})
	}
}

// A refresh token that was taken over waits behind no wall either, where a grant
// gives another token.
func TestAnImportedTokenBehindAWall(t *testing.T) {
	for _, lockout := range []string{"false", "true"} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			x := &pages{refusal: http.StatusForbidden}
			w.serveAlso(x, "pages.localhost")
			w.set(x.config("a@example.com", lockout) + `
secret "mem" "rt" { value = "rt0" }
import {
  to            = credential.pages.a
  refresh_token = secret.mem.rt.value
}
`)
			time.Sleep(35 * time.Second)
			if got := w.places.get("a"); got != "at1" || x.refreshes.Load() == 0 {
				t.Errorf("lockout %s: the place holds %q after %d refreshes: %+v", lockout, got, x.refreshes.Load(), w.line("credential.pages.a"))
			}
		})
	}
}

// A revocation that pages answer is repeated, since they may be of something on the
// way; but not for ever, since they may be the API's.
func TestARevocationAnsweredByPages(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &pages{refusal: http.StatusBadRequest, revoked: "<html>You are logged out</html>", life: 24 * 60 * 60}
		w.serveAlso(x, "pages.localhost")
		w.set(x.config("a@example.com", "false"))
		time.Sleep(time.Minute)
		w.set(x.config("b@example.com", "false"))
		time.Sleep(45 * time.Second) // its overlap is over
		holds := func(retiring, orphans int) {
			t.Helper()
			if c, _, _, err := w.loop.Record(t.Context(), "credential.pages.a"); err != nil || len(c.Retiring) != retiring || c.Orphans.Total() != orphans {
				t.Errorf("after %d tries: %d old tokens, %d orphans (%v)", x.revocations.Load(), len(c.Retiring), c.Orphans.Total(), err)
			}
		}
		holds(1, 0)
		if x.revocations.Load() == 0 {
			t.Error("it was not revoked yet")
		}
		time.Sleep(3 * time.Hour)
		holds(0, 1)
		if n := x.revocations.Load(); n != 10 {
			t.Errorf("%d tries", n)
		}
	})
}
