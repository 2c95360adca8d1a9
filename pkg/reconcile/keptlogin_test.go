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

// ailing is the API whose refresh tokens work once. From the first refresh on all of its
// replies are in another form, and those of its grant are none at all until it is well.
type ailing struct {
	shifter
	well bool
}

func (a *ailing) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	ill := r.URL.Path == "/grant" && a.n >= 2 && !a.well
	a.mu.Unlock()
	if ill {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, "not json")
		return
	}
	a.shifter.ServeHTTP(rw, r)
}

// What a kept reply brought is the newest of the login in force where nothing was
// refreshed since: it lives on after a retry as long as that login, and goes with it,
// whatever its API wants to be told of tokens that a refresh replaced.
func TestWhatAKeptReplyBroughtLastIsRevokedWithItsLogin(t *testing.T) {
	for name, more := range map[string]string{"nothing is revoked after a refresh": "", "a refresh ends the token before": "\n    invalidates_access_token = true", "by the refresh token": "refresh_token"} {
		for _, removed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", removed: ", removed), func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					api := &ailing{shifter: shifter{spent: map[string]bool{}}}
					w.serveAlso(api, "shift.localhost")
					config := func(mended bool) string {
						if more == "refresh_token" {
							return strings.Replace(shifted(mended, ""), "{ token = token.access_token }", "{ token = token.refresh_token }", 1)
						}
						return strings.Replace(shifted(mended, ""), "rotates = true", "rotates = true"+more, 1)
					}
					last, next := "a2", "a3"
					if more == "refresh_token" {
						last, next = "r2", "r3"
					}
					w.set(config(false))
					w.until("it has its first token", func() bool { return w.places.get("a") == "a1" })
					for range 600 {
						if rec, _ := w.recordOf(shiftedCred); len(rec.Kept) == 1 {
							break
						}
						w.wait(time.Second)
					}
					w.set(config(true))
					if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderRetry}); err == nil {
						t.Fatal("the grant could be read")
					}
					w.crash()
					w.set(config(true))
					w.wait(40 * time.Second)
					rec, _ := w.recordOf(shiftedCred)
					if _, ended := api.seen(); len(ended) > 0 || len(rec.Kept) > 0 || rec.Grant == nil || rec.Grant.AccessToken.Reveal() != "a1" || len(rec.Retiring) != 1 {
						t.Errorf("%v were revoked; %d replies are kept, %d wait for their revocation", ended, len(rec.Kept), len(rec.Retiring))
					}
					if removed {
						away, _, _ := strings.Cut(config(true), "credential \"shift\"")
						w.set(away)
						h, err := w.loop.Held(t.Context())
						if err != nil || h == nil {
							t.Fatalf("%v is held: %v", h, err)
						}
						if err := w.loop.Approve(t.Context(), h); err != nil {
							t.Fatal(err)
						}
					} else {
						api.mu.Lock()
						api.well = true
						api.mu.Unlock()
						if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
							t.Fatal(err)
						}
					}
					w.wait(5 * time.Minute)
					if _, ended := api.seen(); !slices.Contains(ended, last) || slices.Contains(ended, next) {
						t.Errorf("%v were revoked", ended)
					}
				})
			})
		}
	}
}
