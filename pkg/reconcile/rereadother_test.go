package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// twoWays is an API with two grants that take the same inputs, and a block that
// names one of them. Its replies are read from a member.
func twoWays(member, grant string) string {
	way := func(name string) string {
		return fmt.Sprintf(`
  grant %q {
    input "email" { type = string }
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "password", email = input.email, partnerId = "p", password = "a-password" }
    }
  }`, name)
	}
	return fmt.Sprintf(`
provider "mine" { allow_insecure_http = true }
provider_type "mine" {%s%s
  response {
    access_token  = body.%s
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  revoke {
    on = ["remove", "replace"]
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth/revoke"
      json   = { token_type_hint = "refresh_token", token = token.refresh_token }
    }
  }
}
credential "mine" "a" {
  grant = %q
  email = "a@example.com"
}
`, way("one"), way("two"), member, grant)
}

// A kept reply of a grant that the block does not name any more gives no token of
// the one that it names now: what it brought is given up.
func TestAKeptReplyOfAnotherGrantIsGivenUp(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const addr = "credential.mine.a"
		w.set(twoWays("nowhere", "one"))
		w.pass(time.Minute, time.Second, nil)
		w.set(twoWays("access_token", "two"))
		if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute, time.Second, nil)
		rec, _, err := w.store.Credential(t.Context(), addr)
		if err != nil || rec.Grant == nil {
			t.Fatalf("%+v, %v", rec, err)
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Revocations != 1 {
			t.Errorf("%d grants and %d revocations; want one by each grant, the first revoked", c.Grants, c.Revocations)
		}
		if len(rec.Grant.Origins) == 0 || rec.Grant.GrantType != "two" || len(rec.Retiring) != 0 {
			t.Errorf("in force is %+v, %d wait", rec.Grant, len(rec.Retiring))
		}
	})
}
