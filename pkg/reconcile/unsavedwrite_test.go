package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// A place was away for several tokens, then took one that a full disk kept from the
// record, and was away again for more tokens than are kept of one place. It still
// holds the one that it took, and once its sink is removed it is cleaned; also where it
// was away again before the disk had room.
func TestAWriteThatAFullDiskKeptFromTheRecordIsNotForgotten(t *testing.T) {
	for name, meanwhile := range map[string]int{"the disk has room first": 0, "the place is away first": 1} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				refresh := func(times int) {
					t.Helper()
					for range times {
						if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
							t.Fatal(err)
						}
						w.wait(time.Minute)
					}
				}
				away := errors.New("the place is away")
				full := w.onDisk(ofSinks)
				w.set(trader("a@example.com", ""))
				w.wait(time.Minute)
				recorded := w.places.get("trader")
				w.places.failWith(away)
				refresh(5)
				full.Store(true)
				w.places.failWith(nil)
				w.until("the place holds a token that is not recorded", func() bool { return w.places.get("trader") != recorded })
				w.wait(2 * time.Second) // for the disk to refuse its record
				w.places.failWith(away)
				unrecorded := w.places.get("trader")
				refresh(meanwhile)
				full.Store(false)
				refresh(9)
				if got := w.places.get("trader"); got != unrecorded {
					t.Fatalf("it holds %q, and was away since it took %q", got, unrecorded)
				}
				w.set("")
				if h, err := w.loop.Held(t.Context()); err != nil {
					t.Fatal(err)
				} else if h != nil {
					if err := w.loop.Approve(t.Context(), h); err != nil {
						t.Fatal(err)
					}
				}
				w.places.failWith(nil)
				w.wait(time.Hour)
				if got := w.places.get("trader"); got != "" {
					t.Errorf("it still holds %q; log: %s", got, w.places.events())
				}
			})
		})
	}
}
