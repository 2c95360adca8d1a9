package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A sink that changes again while its hook runs has the hook run once more: the
// run under way may have looked before the change.
func TestAHookRunsAgainForWhatChangedWhileItRan(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.places.slow = time.Minute
		w.set(trader("a@example.com", ""))
		time.Sleep(10 * time.Second) // the hook runs
		if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if got := w.places.events(); got != "write:trader write:trader hook:1 hook:1" {
			t.Errorf("events %s", got)
		}
		if !w.works(standin.Coinify, "trader") {
			t.Error("the place holds a token that does not work")
		}
	})
}
