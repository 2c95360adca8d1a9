package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// What a kept reply brought of a grant that a person had revoked meanwhile is not
// put in force: the API may have ended it with the rest.
func TestAKeptReplyOfWhatWasRevokedIsGivenUp(t *testing.T) {
	config := func(member string) string {
		return strings.Replace(misread(member), "  refresh {\n    request", `  revoke {
    on    = ["remove", "replace"]
    needs = "refresh_token"
    request {
      method = "POST"
      url    = "${config.base_url}/auth/revoke"
      json   = { token_type_hint = "refresh_token", token = token.refresh_token }
    }
  }
  refresh {
    request`, 1)
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		order := func(kind reconcile.OrderKind) error {
			return w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: kind})
		}
		w.set(config("access_token"))
		<-time.After(time.Minute)
		w.set(config("token"))
		_ = order(reconcile.OrderRefresh)
		<-time.After(time.Second)
		if l := w.line(traderCred); l.State != reconcile.Unread {
			t.Fatalf("no reply is kept: %+v", l)
		}
		if err := order(reconcile.OrderRevoke); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		w.set(config("access_token"))
		if err := order(reconcile.OrderRetry); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Reuses != 0 {
			t.Errorf("%d grants, want 2, and %d reuses", c.Grants, c.Reuses)
		}
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("the place holds %q, which does not work", w.places.get("trader"))
		}
	})
}
