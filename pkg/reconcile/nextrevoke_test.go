package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// What comes next of a credential whose old token is given up before its own is
// refreshed is that revocation, and the refresh after it.
func TestStatusSaysWhenAnOldTokenIsRevoked(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := strings.Replace(trader("a@example.com", ""), "  partner_id", "  lifecycle { overlap = \"30s\" }\n  partner_id", 1)
		w.set(config)
		<-time.After(time.Minute)
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		l := w.line(traderCred)
		if left := time.Until(l.NextAt); l.State != reconcile.Ready || l.Retiring != 1 || l.Next != "revoke" || left < 20*time.Second || left > 30*time.Second {
			t.Errorf("while the old token lives it is %+v, next in %s", l, left)
		}
		<-time.After(time.Minute)
		if l := w.line(traderCred); l.Retiring != 0 || l.Next != "refresh" {
			t.Errorf("after its end it is %+v", l)
		}
	})
}
