package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// An order is carried out with the secrets as they are when it is given, also where one
// was read a moment before, and no event has told yet that it has changed.
func TestAnOrderReadsSecretsAnew(t *testing.T) {
	const addr = "credential.coinify.trader"
	for _, kind := range []reconcile.OrderKind{reconcile.OrderRevoke, reconcile.OrderTaint} {
		t.Run(string(kind), func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				password := func(p string) {
					w.values.Store(&p)
					w.server.Register(standin.Account{API: standin.Coinify, Login: "a@example.com", Password: p})
				}
				password("the-first")
				w.set(strings.Replace(trader("a@example.com", ""), `"a-password"`, `"from-the-loop"`, 1))
				<-time.After(5 * time.Second)
				// The old one is read for this.
				if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
					t.Fatal(err)
				}
				<-time.After(20 * time.Millisecond)
				password("the-second")
				before := w.server.Counts(standin.Coinify)
				if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: kind}); err != nil {
					t.Fatal(err)
				}
				<-time.After(500 * time.Millisecond)
				after := w.server.Counts(standin.Coinify)
				if after.RefusedLogins != 0 {
					t.Errorf("it logged in with the secret as it was: %+v", after)
				}
				if after.Grants != before.Grants+1 {
					t.Errorf("%d logins, want one after %d", after.Grants, before.Grants)
				}
			})
		})
	}
}
