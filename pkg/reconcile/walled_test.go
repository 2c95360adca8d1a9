package reconcile_test

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/state"
)

// pages is an API that answers refreshes, and revocations where it is told so, with
// pages of HTML. Its tokens live for ten minutes, but where it is told otherwise.
type pages struct {
	grants, refreshes, revocations atomic.Int64
	refusal                        int    // the status of a page that refuses a refresh
	revoked                        string // the page that answers a revocation; "": none does
	life                           int    // of a token, in seconds; 0: ten minutes
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
	case r.Form.Get("grant_type") == "refresh_token":
		x.refreshes.Add(1)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(x.refusal)
		_, _ = fmt.Fprint(w, "<html>Forbidden</html>")
	default:
		n := x.grants.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"at%d","refresh_token":"rt%d","expires_in":%d,"token_type":"bearer"}`, n, n, cmp.Or(x.life, 600))
	}
}

func (x *pages) config(email, lockout string) string {
	return strings.NewReplacer("EMAIL", email, "LOCKOUT", lockout).Replace(`
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

// No account is locked for a wall's sake.
func TestARefusalByAPageRisksNoAccount(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &pages{refusal: http.StatusForbidden}
		w.serveAlso(x, "pages.localhost")
		w.set(x.config("a@example.com", "true"))
		time.Sleep(time.Hour)
		if n := x.grants.Load(); n != 1 || x.refreshes.Load() < 60 {
			t.Errorf("%d grants, %d refreshes", n, x.refreshes.Load())
		}
	})
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
			if c, _, _, err := w.loop.Record(t.Context(), "credential.pages.a"); err != nil || len(c.Retiring) != retiring || c.Orphans != orphans {
				t.Errorf("after %d tries: %d old tokens, %d orphans (%v)", x.revocations.Load(), len(c.Retiring), c.Orphans, err)
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
