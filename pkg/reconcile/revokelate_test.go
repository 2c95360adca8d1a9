package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers/catalog"
	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A revocation that is there when the access token has just ended revokes nothing,
// and the refresh token lives on: it is refreshed, and revoked then. Long before its
// end an API that does not know a token has none.
func TestARevocationThatComesTooLateIsMadeOnceMore(t *testing.T) {
	own, err := catalog.FS.ReadFile("coinify.hcl")
	if err != nil {
		t.Fatal(err)
	}
	needs := strings.Replace(string(own), `needs = "refresh_token"`, `needs = "access_token"`, 1)
	for name, c := range map[string]struct {
		at                     time.Duration
		refreshes, revocations int
	}{
		"about to end":        {75 * time.Second, 1, 1},
		"long before its end": {30 * time.Second, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := strict()
			o.Rules.AccessLifetime = 80 * time.Second
			inWorld(t, o, func(t *testing.T, w *world) {
				late := strings.Replace(trader("a@example.com", needs), "  password   =", "  refresh {\n    min_remaining = \"1s\"\n    at            = 0.99\n  }\n  password   =", 1)
				w.set(late)
				time.Sleep(c.at)
				w.server.Fail(standin.Fault{API: standin.Coinify, Path: "/auth/revoke", Kind: standin.FaultStatus, Status: 410})
				if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
					t.Fatal(err)
				}
				n := w.server.Counts(standin.Coinify)
				if n.Faulted != 1 || n.Refreshes != c.refreshes || n.Revocations != c.revocations {
					t.Errorf("%d refused, %d refreshes, %d revocations; want 1, %d, %d", n.Faulted, n.Refreshes, n.Revocations, c.refreshes, c.revocations)
				}
			})
		})
	}
}
