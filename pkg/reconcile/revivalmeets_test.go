package reconcile_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// slowRevivals takes ten seconds for the intent of each refresh of an old token.
type slowRevivals struct {
	state.Store
	begun *atomic.Int64
}

func (s slowRevivals) Commit(ctx context.Context, changes ...state.Change) error {
	for _, c := range changes {
		if c.Intent != nil && c.Intent.Op == "revive" {
			s.begun.Add(1)
			<-time.After(10 * time.Second)
		}
	}
	return s.Store.Commit(ctx, changes...)
}

// An old token is refreshed to be revoked; not where another credential has got its refresh
// token in force since that was decided, unless a person wants it revoked whoever has it:
// then that one obtains another.
func TestARevivalSpendsNothingThatAnotherHasInForce(t *testing.T) {
	for name, ordered := range map[string]bool{"by itself": false, "a person orders it": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &together{one: true, spends: true, live: map[string]string{}, until: map[string]time.Time{}, refresh: map[string]string{}}
				var refreshes atomic.Int64
				w.serveAlso(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					_ = r.ParseForm()
					if r.Form.Get("refresh") != "" {
						refreshes.Add(1)
					}
					x.ServeHTTP(rw, r)
				}), "cached.localhost")
				slow := slowRevivals{begun: new(atomic.Int64)}
				w.halt()
				w.wrap = func(s state.Store) state.Store { slow.Store = s; return slow }
				w.start()
				config := func(of ...string) string {
					c := strings.Replace(togetherConfig(true, of...), "rotates = false", "rotates = true", 1)
					c = strings.Replace(c, "  revoke {\n", "  revoke {\n    needs = \"access_token\"\n", 1)
					return strings.Replace(c, "{ token = token.refresh_token }", "{ token = token.access_token }", 1)
				}
				w.set(config("a=me"))
				time.Sleep(time.Second)
				x.takesNone(true)
				w.set(config() + "\n# a is removed\n")
				time.Sleep(55 * time.Minute)
				for range 15 * 60 {
					if time.Sleep(time.Second); slow.begun.Load() > 0 {
						break
					}
				}
				w.until("its old token is about to be refreshed", func() bool { return slow.begun.Load() > 0 })
				x.takesNone(false)
				w.set(config("b=me"))
				w.until("b has the same refresh token", func() bool { return w.places.get("b") != "" })
				first := w.places.get("b")
				if !ordered {
					time.Sleep(time.Minute)
					if l := w.line("credential.cached.a"); refreshes.Load() > 0 || !strings.Contains(l.Why, "credential.cached.b holds the same refresh token") {
						t.Errorf("%d refreshes; it says %+v", refreshes.Load(), l)
					}
					if got := w.places.get("b"); got != first || !x.works(got) {
						t.Errorf("b holds %q, and held %q; revoked %q", got, first, x.revocations())
					}
					return
				}
				if err := w.loop.Do(t.Context(), "credential.cached.a", reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if got := w.places.get("b"); got == first || !x.works(got) || x.revocations() == "" {
					t.Errorf("b holds %q, and held %q; revoked %q; %+v", got, first, x.revocations(), w.line("credential.cached.b"))
				}
			})
		})
	}
}
