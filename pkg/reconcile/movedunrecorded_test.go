package reconcile_test

import (
	"testing"
	"time"

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
