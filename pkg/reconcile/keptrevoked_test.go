package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// Where a revocation ends all that an account has, it takes along what a reply
// brought that could not be read. Read at last, that is not put in force: a new
// token is obtained.
func TestAKeptReplyDoesNotOutliveARevocationOfItsSession(t *testing.T) {
	o := strict()
	o.Rules.Session = standin.SharedGrant
	shared := func(member string) string {
		return strings.NewReplacer(`session = "independent"`, `session = "shared_grant"`, "  response {", `  revoke {
    on = ["remove", "replace"]
    request {
      method = "POST"
      url    = "${config.base_url}/auth/revoke"
      json   = { token_type_hint = "refresh_token", token = token.refresh_token }
    }
  }
  response {`).Replace(misread(member))
	}
	inWorld(t, o, func(t *testing.T, w *world) {
		w.set(shared("access_token"))
		<-time.After(time.Minute)
		w.set(shared("token"))
		for _, kind := range []reconcile.OrderKind{reconcile.OrderTaint, reconcile.OrderRevoke} {
			if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: kind}); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Second)
		}
		if l := w.line(traderCred); l.State != reconcile.Unread {
			t.Fatalf("no reply is kept: %+v", l)
		}
		w.set(shared("access_token"))
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		if c := w.server.Counts(standin.Coinify); c.Grants != 3 || !w.works(standin.Coinify, "trader") {
			t.Errorf("there is no token that works after %d grants: %+v", c.Grants, w.line(traderCred))
		}
	})
}
