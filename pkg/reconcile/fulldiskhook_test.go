package reconcile_test

import (
	"testing"
)

// A hook that has run for what was written while the disk took no record of that
// is owed nothing once there is room, and does not run at the next start.
func TestAHookThatRanOnAFullDiskIsNotOwed(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.tellsOnAFullDisk()
		if rec, err := w.store.Sink(t.Context(), "sink.mem.trader"); err != nil || len(rec.Notify) > 0 {
			t.Errorf("the record says that %v have still to run: %v", rec.Notify, err)
		}
		w.startsAgain(1)
	})
}
