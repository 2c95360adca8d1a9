package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// While the disk takes nothing, it is asked now and then, however many reasons to
// look somewhere come together meanwhile; and what waits goes on soon after there
// is room.
func TestAFullDiskIsAskedNowAndThen(t *testing.T) {
	const hour = 3600 / 15 // every lookAgain
	for name, refuses := range map[string]func(state.Change) bool{
		"what a sink holds": ofSinks,
		"an intent":         func(c state.Change) bool { return c.Intent != nil },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				full := w.onDisk(refuses)
				w.set(trader("a@example.com", ""))
				<-time.After(time.Minute)
				full.Store(true)
				for w.pass(time.Hour, time.Minute, nil); full.asked.Load() == 0; {
					w.pass(time.Hour, time.Minute, nil)
				}
				for range 20 {
					<-time.After(700 * time.Millisecond)
					if err := w.loop.Wake(t.Context(), []string{"sink.mem.trader"}); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(time.Minute)
				full.asked.Store(0)
				<-time.After(time.Hour)
				if n := full.asked.Load(); n == 0 || n > hour+10 {
					t.Errorf("within an hour the disk was asked %d times, want some %d", n, hour)
				}
				full.Store(false)
				<-time.After(25 * time.Second)
				if !w.works(standin.Coinify, "trader") {
					t.Errorf("once there is room the place holds %q", w.places.get("trader"))
				}
			})
		})
	}
}
