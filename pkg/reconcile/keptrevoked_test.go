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

// A reply that could not be read brought a token by a grant that is wanted no more, and
// an account has one session: the token held has ended with it. Read at last, the newer
// one takes its place until one is there by the grant that is wanted.
func TestAKeptReplyOfAnotherGrantEndedTheTokenHeld(t *testing.T) {
	o := strict()
	o.Rules.Session = standin.OnePerAccount
	inWorld(t, o, func(t *testing.T, w *world) {
		config := func(member, grant string) string {
			all := misread(member)
			from, to := strings.Index(all, `  grant "password"`), strings.Index(all, "  response {")
			second := strings.Replace(all[from:to], "password", "other", 1)
			all = all[:to] + second + all[to:]
			return strings.NewReplacer(`session = "independent"`, `session = "one_per_account"`, `grant      = "password"`, `grant      = "`+grant+`"`).Replace(all)
		}
		w.set(config("access_token", "password"))
		<-time.After(time.Minute)
		first := w.places.get("trader")
		w.set(config("token", "other"))
		<-time.After(time.Minute)
		w.set(config("access_token", "password"))
		<-time.After(time.Minute)
		if l := w.line(traderCred); l.State != reconcile.Unread || w.places.get("trader") != first || w.works(standin.Coinify, "trader") {
			t.Fatalf("no reply is kept that ended the token before: %+v", l)
		}
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		l := w.line(traderCred)
		if !w.works(standin.Coinify, "trader") || l.State != reconcile.Ready || l.Orphans > 0 {
			t.Errorf("the token at the place works: %v; %+v", w.works(standin.Coinify, "trader"), l)
		}
		rec, _, _, err := w.loop.Record(t.Context(), traderCred)
		if err != nil || rec.Grant == nil || rec.Grant.GrantType != "password" {
			t.Errorf("its token is by the grant %+v (%v)", rec.Grant, err)
		}
	})
}
