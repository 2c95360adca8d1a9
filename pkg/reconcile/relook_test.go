package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// While the disk takes nothing a sink is looked at again and again, but not more
// and more often for whatever else has it looked at meanwhile.
func TestAFullDiskAddsNoLooks(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofSinks)
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		full.Store(true)
		if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			<-time.After(1100 * time.Millisecond)
			if err := w.loop.Wake(t.Context(), []string{"sink.mem.trader"}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Minute)
		full.asked.Store(0)
		<-time.After(10 * time.Minute)
		if n := full.asked.Load(); n < 20 || n > 100 {
			t.Errorf("within ten minutes its record was tried %d times, want about 40", n)
		}
		full.Store(false)
		<-time.After(time.Minute)
		if full.asked.Store(0); !w.works(standin.Coinify, "trader") {
			t.Errorf("the place holds %q", w.places.get("trader"))
		}
	})
}
