package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// lasting is the API whose refresh tokens work again and again, and whose first refresh
// is answered in another form than all else.
type lasting struct {
	shifter
	refreshes int
}

func (l *lasting) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/refresh" {
		l.shifter.ServeHTTP(rw, r)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	form := `{"access_token":"a%d","expires_in":600}`
	if l.refreshes++; l.refreshes == 1 {
		form = `{"token":"a%d","ttl":7200}`
	}
	rw.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(rw, form, l.n)
}

// What a kept reply to a refresh brought is of the login that is refreshed on, and to
// revoke it may end all of that: it goes as what a refresh replaced while that login is
// in force, and where it is given up, not before its overlap is over.
func TestAKeptReplyGoesAsItsLoginDoes(t *testing.T) {
	for name, replaced := range map[string]bool{"its login is in force": false, "its login waits for its overlap": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				api := &lasting{shifter: shifter{spent: map[string]bool{}}}
				w.serveAlso(api, "shift.localhost")
				config := func(mended bool) string {
					return strings.NewReplacer("rotates = true", "rotates = false", `user     = "a"`, "user     = \"a\"\n  lifecycle {\n    overlap         = \"3m\"\n    prevent_destroy = true\n  }").Replace(shifted(mended, ""))
				}
				w.set(config(false))
				w.until("it has its first token", func() bool { return w.places.get("a") == "a1" })
				if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err == nil {
					t.Fatal("the reply could be read")
				}
				away, _, _ := strings.Cut(config(false), "credential \"shift\"")
				w.set(away) // its removal is held, and it is refreshed on
				w.wait(10 * time.Minute)
				w.set(config(true))
				w.wait(time.Second)
				held := w.places.get("a")
				if rec, _ := w.recordOf(shiftedCred); len(rec.Kept) != 1 || held == "a1" || rec.Grant == nil || rec.Grant.RefreshToken.Reveal() != "r1" {
					t.Fatalf("%d replies are kept, and its place holds %s", len(rec.Kept), held)
				}
				if replaced {
					if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
						t.Fatal(err)
					}
					w.until("it has another login", func() bool { return w.places.get("a") != held })
				}
				if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
					t.Fatal(err)
				}
				w.wait(time.Minute)
				rec, _ := w.recordOf(shiftedCred)
				if _, ended := api.seen(); len(ended) > 0 || len(rec.Kept) > 0 || rec.Orphans.Total() > 0 {
					t.Errorf("%v were revoked; %d replies are kept, %d orphans counted", ended, len(rec.Kept), rec.Orphans.Total())
				}
				w.wait(3 * time.Minute)
				if _, ended := api.seen(); slices.Contains(ended, "a2") != replaced || slices.Contains(ended, held) != replaced {
					t.Errorf("later, %v were revoked", ended)
				}
			})
		})
	}
}
