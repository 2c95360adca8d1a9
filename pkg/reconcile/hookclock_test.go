package reconcile_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/reconcile"
)

// A place is written again while its hook runs, and the clock is set back before that
// run ends: the run has told of the first write only, also after a crash.
func TestARunningHookTellsOfNoLaterWriteWhereTheClockIsSetBack(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.restartBySteppedClock()
		w.places.mu.Lock()
		w.places.slow = 10 * time.Second
		w.places.mu.Unlock()
		declared := trader("a@example.com", "")
		w.set(declared)
		time.Sleep(5 * time.Second)
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wrong.Add(-int64(time.Minute))
		time.Sleep(10 * time.Second)
		if got := w.places.events(); !strings.HasSuffix(got, "write:trader write:trader hook:1") {
			t.Fatalf("events %q: the first run was to end after the second write, and the second run not yet", got)
		}
		w.crash() // and the second run with it, which goes on as if it were killed
		told := w.places.count("hook:1")
		w.set(declared)
		time.Sleep(2 * time.Minute)
		if w.places.count("hook:1") == told {
			t.Errorf("events %q: since the start nobody was told of the second write", w.places.events())
		}
	})
}
