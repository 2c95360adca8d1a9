package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// A refusal by a status alone may have taken the place of an answer that brought a
// token, of which nobody knows then: it is counted. The
// API's own words, and those by which nothing can have acted, bring nothing.
func TestWhatARefusalMayHaveBroughtIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		word   string
		counts bool
	}{
		"a gateway":           {http.StatusForbidden, `{"message":"Forbidden"}`, true},
		"a conflict":          {http.StatusConflict, `{}`, true},
		"too large":           {http.StatusRequestEntityTooLarge, `{}`, true},
		"locked":              {http.StatusLocked, `{}`, true},
		"the standard's code": {http.StatusForbidden, `{"error":"invalid_grant"}`, false},
		"a bad request":       {http.StatusBadRequest, `{}`, false},
		"not authorised":      {http.StatusUnauthorized, `{}`, false},
		"not found":           {http.StatusNotFound, `{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &pages{refusal: c.status, word: c.word, life: 3600}
				w.serveAlso(x, "pages.localhost")
				w.set(x.config("a@example.com", "true"))
				time.Sleep(time.Minute)
				_ = w.loop.Do(t.Context(), "credential.pages.a", reconcile.Order{Kind: reconcile.OrderRefresh})
				time.Sleep(5 * time.Minute)
				l := w.line("credential.pages.a")
				if x.refreshes.Load() == 0 || (l.Orphans > 0) != c.counts {
					t.Errorf("%d refreshes, %d orphans: %+v", x.refreshes.Load(), l.Orphans, l)
				}
			})
		})
	}
}

// Where the replacement of a token is held back, nothing but its refresh token leads to
// another before a person decides, as little as where a login is needed: a gateway's bad
// minute does not cost it.
func TestABareRefusalWhileTheReplacementIsHeldBack(t *testing.T) {
	for _, single := range []bool{false, true} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			x := &pages{refusal: http.StatusForbidden, word: `{"message":"Forbidden"}`, single: single}
			w.serveAlso(x, "pages.localhost")
			config := func(email string) string {
				return strings.Replace(x.config(email, "false"), `{ email = "`+email+`" }`, `{
  email = "`+email+`"
  lifecycle { prevent_destroy = true }
}`, 1)
			}
			w.set(config("a@example.com"))
			time.Sleep(time.Minute)
			w.set(config("b@example.com"))
			w.pass(8*time.Minute, time.Minute, nil)
			if n := x.refreshes.Load(); n == 0 {
				t.Fatal("nothing was refreshed")
			}
			if c, _, _, err := w.loop.Record(t.Context(), "credential.pages.a"); err != nil || c.Grant.RefreshState == state.RefreshRefused {
				t.Fatalf("single %v: its refresh token was given up (%v): %+v", single, err, w.line("credential.pages.a"))
			}
			x.open.Store(true)
			w.pass(5*time.Minute, time.Second, nil)
			if got := w.places.get("a"); got == "at1" {
				t.Errorf("single %v: the place still holds the token that has ended: %+v", single, w.line("credential.pages.a"))
			}
		})
	}
}
