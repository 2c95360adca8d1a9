package reconcile_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/state"
)

// A hook that has run for what was written while the disk took no record of that
// is owed nothing once there is room, and does not run at the next start.
func TestAHookThatRanOnAFullDiskIsNotOwed(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.halt()
		var named, full atomic.Bool
		w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func(changes []state.Change) error {
			if !slices.ContainsFunc(changes, func(c state.Change) bool { return c.Sink != nil }) {
				return nil
			}
			if !named.Swap(true) {
				full.Store(true)
				return nil // that it is about to be written
			}
			if full.Load() {
				return unix.ENOSPC
			}
			return nil
		}})
		w.start()
		hooks := func() int { return strings.Count(w.places.events(), "hook:") }
		w.set(trader("a@example.com", ""))
		<-time.After(10 * time.Minute)
		if n := hooks(); n != 1 {
			t.Errorf("within ten minutes its hook ran %d times, want once", n)
		}
		full.Store(false)
		<-time.After(time.Minute)
		if n := hooks(); n != 1 {
			t.Errorf("once there is room its hook has run %d times, want once", n)
		}
		if rec, err := w.store.Sink(t.Context(), "sink.mem.trader"); err != nil || len(rec.Notify) > 0 {
			t.Errorf("the record says that %v have still to run: %v", rec.Notify, err)
		}
		w.halt()
		w.start()
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		if n := hooks(); n != 1 {
			t.Errorf("after a restart its hook has run %d times, want once", n)
		}
	})
}
