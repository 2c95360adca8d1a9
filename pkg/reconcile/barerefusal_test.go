package reconcile_test

import (
	"net/http"
	"testing"
	"time"

	"tokend/pkg/reconcile"
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
