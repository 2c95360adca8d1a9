package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// What has asked its provider all that there is to ask is done with it: the rate
// limit keeps nobody waiting who has nothing to ask.
func TestWhatIsDoneDoesNotWaitForTheRateLimit(t *testing.T) {
	limited := func(email string) string {
		return strings.Replace(trader(email, ""), "allow_insecure_http = true", `allow_insecure_http = true
  rate_limit {
    requests = 3
    per      = "5m"
  }`, 1)
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(limited("a@example.com"))
		<-time.After(time.Minute)
		w.set(limited("b@example.com"))
		for n := 0; w.server.Counts(standin.Coinify).Revocations == 0; n++ {
			if <-time.After(time.Second); n > 3600 {
				t.Fatal("the old token was not revoked")
			}
		}
		<-time.After(time.Second)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready {
			t.Errorf("it is %s: %s", l.State, l.Why)
		}
	})
}
