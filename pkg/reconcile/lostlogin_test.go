package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// A login whose reply was lost may have taken place: where an account has one
// session it has ended the token in force, so a person has to log in again.
// Elsewhere the token in force is as good as it was.
func TestALostLoginMayHaveEndedTheTokenInForce(t *testing.T) {
	const addr = "credential.hand.a"
	for session, want := range map[string]reconcile.State{"one_per_account": reconcile.NeedsLogin, "independent": reconcile.Ready} {
		t.Run(session, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				config := strings.Replace(byHand, "provider_type \"hand\" {", "provider_type \"hand\" {\n  session = \""+session+"\"", 1)
				login := func() {
					if err := w.loop.Login(t.Context(), addr, reconcile.LoginCode{Flow: providers.Flow{Code: secret.New("the-code")}}); err != nil {
						t.Fatal(err)
					}
				}
				w.set(config)
				login()
				w.halt()
				if err := w.store.Commit(t.Context(), state.Change{IntentFor: addr, Intent: &state.Intent{Op: "exchange", At: time.Now()}}); err != nil {
					t.Fatal(err)
				}
				w.start()
				w.set(config)
				w.pass(time.Minute, 10*time.Second, nil)
				if l := w.line(addr); l.State != want {
					t.Errorf("it is %s: %s; want %s", l.State, l.Why, want)
				}
				login()
				w.pass(time.Minute, 10*time.Second, nil)
				if l := w.line(addr); l.State != reconcile.Ready {
					t.Errorf("after the next login it is %s: %s", l.State, l.Why)
				}
			})
		})
	}
}
