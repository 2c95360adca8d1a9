package reconcile_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
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

// The repetition that has to come before a person's order is not tried for ever at once
// where the disk takes no intent: that is said, and the next look is a while later.
func TestAnOrderBehindAReplayAsksAFullDiskOnce(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		var full atomic.Bool
		var asked atomic.Int64
		w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func([]state.Change) error {
			if full.Load() && asked.Add(1) < 1000 { // or the test would never end
				return unix.ENOSPC
			}
			return nil
		}})
		b := &blipServer{life: time.Hour, lasts: 100 * time.Millisecond, window: time.Minute, revocable: true}
		b.begins(t, w, false)
		<-time.After(200 * time.Millisecond)
		full.Store(true)
		if err := w.loop.Do(t.Context(), onceCred, reconcile.Order{Kind: reconcile.OrderRevoke}); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("a revocation on a full disk: %v", err)
		}
		<-time.After(time.Millisecond)
		if n := asked.Load(); n > 3 {
			t.Errorf("the disk was asked %d times at once", n)
		}
		full.Store(false)
		<-time.After(time.Minute)
		if b.refreshedBy() != 1 {
			t.Errorf("once there is room the lost refresh was not repeated: %+v", w.line(onceCred))
		}
	})
}
