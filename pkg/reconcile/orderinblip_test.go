package reconcile_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// While a lost refresh waits to be repeated, a person's revocation or taint is of the
// token that comes of it, or of the one that is left where nothing comes: it is not said
// that there is none, and the order is not forgotten.
func TestAnOrderInABlipIsCarriedOut(t *testing.T) {
	for _, lasts := range []time.Duration{100 * time.Millisecond, 30 * time.Second} {
		for _, kind := range []reconcile.OrderKind{reconcile.OrderRevoke, reconcile.OrderTaint} {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				b := &blipServer{life: time.Hour, lasts: lasts, window: time.Minute, revocable: true}
				var revoked atomic.Int32
				w.serveAlso(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { revoked.Add(1) }), "revoke.localhost")
				b.begins(t, w, false)
				<-time.After(200 * time.Millisecond)
				if err := w.loop.Do(t.Context(), onceCred, reconcile.Order{Kind: kind}); err != nil {
					t.Errorf("a blip of %s, %s: %v", lasts, kind, err)
				}
				<-time.After(time.Millisecond) // and what follows is looked at
				want := int32(0)
				if kind == reconcile.OrderRevoke {
					want = 1
				}
				if n, after := b.sends(); n != 2 || revoked.Load() != want {
					t.Errorf("a blip of %s, %s: sent %v after the first; %d revocations, want %d", lasts, kind, after, revoked.Load(), want)
				}
				state := reconcile.NeedsLogin
				if kind == reconcile.OrderTaint && b.refreshedBy() == 0 {
					state = reconcile.Indeterminate // that there is a person to wait for is said already
				}
				if l := w.line(onceCred); l.State != state {
					t.Errorf("a blip of %s, %s: %+v, want %s", lasts, kind, l, state)
				}
			})
		}
	}
}
