package reconcile_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// A refresh whose reply was lost may have brought an access token that nobody saw. Where
// an API ends each access token by itself, revoking the one before it leaves the refresh
// token alive, which nobody knows any more: it is counted.
func TestARefreshTokenThatOutlivesItsRevocationIsCounted(t *testing.T) {
	const each = "on = [\"remove\", \"replace\", \"refresh\"]\n"
	for name, c := range map[string]struct {
		on, names string
		lost      bool
		more      int // orphans, for its revocation
	}{
		"each by itself":                {each, "access_token", true, 1},
		"each by itself, none was lost": {each, "access_token", false, 0},
		"the refresh token is named":    {each, "refresh_token", true, 0},
		"all with the access token":     {"", "access_token", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &pages{refusal: http.StatusOK}
				x.open.Store(!c.lost)
				w.serveAlso(x, "pages.localhost")
				w.set(strings.NewReplacer("revoke {\n", "revoke {\n    "+c.on, "token.refresh_token }\n    }\n  }\n}\ncredential", "token."+c.names+" }\n    }\n  }\n}\ncredential").Replace(x.config("a@example.com", "false")))
				<-time.After(8 * time.Minute)
				if lost := x.refreshes.Load() > 0; lost != c.lost {
					t.Fatalf("%d refreshes were lost", x.refreshes.Load())
				}
				was := w.line("credential.pages.a").Orphans
				for _, o := range []reconcile.OrderKind{reconcile.OrderTaint, reconcile.OrderRetry} { // which waits for no back-off
					if err := w.loop.Do(t.Context(), "credential.pages.a", reconcile.Order{Kind: o}); err != nil && !(o == reconcile.OrderRetry && errors.Is(err, reconcile.ErrNothingFailed)) {
						t.Fatal(err)
					}
				}
				<-time.After(80 * time.Second)
				if l := w.line("credential.pages.a"); x.revocations.Load() == 0 || l.Retiring != 0 || l.Orphans != was+c.more {
					t.Errorf("after %d revocations it is %+v; %d orphans were counted before", x.revocations.Load(), l, was)
				}
			})
		})
	}
}
