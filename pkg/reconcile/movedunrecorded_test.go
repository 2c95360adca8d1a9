package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A token was written, the disk took no record of that, a crash came, and at the
// next start the sink has another place: the earlier one is clean all the same.
func TestAPlaceLeftWithATokenThatWasNotRecorded(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofSinks)
		w.set(placed("", "here"))
		time.Sleep(time.Minute)
		first := w.places.get("here")
		full.Store(true)
		for i := 0; i < 240 && w.places.get("here") == first; i++ {
			time.Sleep(time.Minute)
		}
		second := w.places.get("here")
		if second == first || second == "" {
			t.Fatalf("it holds %q, after %q", second, first)
		}
		w.crash()
		full.Store(false)
		if h := w.set(placed("", "there")); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(2 * time.Minute)
		if !w.works(standin.Coinify, "there") {
			t.Errorf("there is %q, which does not work", w.places.get("there"))
		}
		if left := w.places.get("here"); left != "" {
			t.Errorf("%q was left at the earlier place", left)
		}
	})
}

// A token is being written when the place of its sink changes, and the process dies
// before any record of that write: the start after it, by whichever configuration,
// knows the earlier place for its own, and cleans it.
func TestAPlaceThatWasBeingWrittenWhenItsSinkMoved(t *testing.T) {
	for name, next := range map[string]string{"to the same place": placed("", "there"), "to another": placed("", "elsewhere")} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				full := w.onDisk(ofSinks)
				w.set(placed("", "here"))
				time.Sleep(time.Minute)
				first, slow := w.places.get("here"), make(chan struct{})
				w.places.blockBy(slow)
				if err := w.loop.Do(t.Context(), `credential.coinify.trader["a"]`, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if h := w.set(placed("", "there")); h != nil {
					t.Fatalf("held %+v", h)
				}
				full.Store(true)
				w.places.blockBy(nil)
				close(slow)
				w.until("it is written", func() bool { return w.places.get("here") != first })
				w.crash()
				full.Store(false)
				if h := w.set(next); h != nil {
					t.Fatalf("held %+v", h)
				}
				time.Sleep(2 * time.Minute)
				if left := w.places.get("here"); left != "" {
					t.Errorf("%q was left at the earlier place", left)
				}
			})
		})
	}
}

// What declared a sink at its earlier place is kept for as long as that may be needed,
// and not mistaken later for what declares it: a token that was written at its place of
// now, and not recorded, is cleaned when its block is gone at the next start.
func TestWhatASinkHasLeftIsNotWhatItLeavesNext(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofSinks)
		w.set(placed("", "here"))
		time.Sleep(time.Minute)
		w.set(placed("", "there"))
		time.Sleep(time.Minute)
		first := w.places.get("there")
		full.Store(true)
		if err := w.loop.Do(t.Context(), `credential.coinify.trader["a"]`, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		w.until("it is written", func() bool { return w.places.get("there") != first && first != "" })
		w.crash()
		full.Store(false)
		w.set(before(placed("", "there"), "sink"))
		time.Sleep(2 * time.Minute)
		if left := w.places.get("there"); left != "" {
			t.Errorf("%q was left at its place", left)
		}
	})
}
