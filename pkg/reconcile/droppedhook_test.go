package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// A sink is no longer declared while the hook for its last write still runs, and its
// place is not cleaned: another sink has it by now, or a removed block leaves it alone.
// Then tokend is killed. Whoever reads there is told all the same.
func TestTheHooksOfASinkThatGoesWithoutItsPlaceOutliveACrash(t *testing.T) {
	const sink = `sink "mem" "trader"`
	told := trader("a@example.com", "tokend {\n  guard { settle = \"5s\" }\n}\n")
	untold := strings.Replace(told, "  notify  = [hook.mem.tell]\n", "", 1)
	for name, steps := range map[string][]string{
		"another sink has its place":         {told, strings.Replace(untold, sink, `sink "mem" "heir"`, 1)},
		"one that it took its place from":    {untold, strings.Replace(told, sink, `sink "mem" "heir"`, 1), untold},
		"a removed block leaves it as it is": {told, cutOut(told, sink) + "removed { from = sink.mem.trader }\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.places.stuck = "sink.mem.trader"
				if len(steps) > 2 {
					w.places.stuck = "sink.mem.heir"
				}
				w.set(steps[0])
				time.Sleep(time.Minute)
				before := w.hooks()
				w.places.blockBy(make(chan struct{}))
				if len(steps) > 2 {
					w.set(steps[1])
					time.Sleep(100 * time.Millisecond)
				}
				if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
					t.Fatal(err)
				}
				last := steps[len(steps)-1]
				w.set(last)
				time.Sleep(time.Minute)
				if n := w.hooks(); n != before {
					t.Fatalf("events %s: no hook was to end yet", w.places.events())
				}
				w.crash()
				w.places.blockBy(nil)
				w.set(last)
				time.Sleep(time.Minute)
				w.told(before+1, "after the crash")
				if v, err := w.loop.Status(t.Context(), ""); err != nil || !v.Ready {
					t.Errorf("afterwards: %+v (%v)", v, err)
				}
				w.startsAgainAs(last, before+1)
			})
		})
	}
}

// The disk takes no record of a write, whose hook is told and still runs when there is
// room again; the sink may get another name then. After that tokend is killed: the hook
// is run after the next start.
func TestTheHookOfAWriteThatIsRecordedLateOutlivesACrash(t *testing.T) {
	declared := trader("a@example.com", "")
	renamed := strings.Replace(declared, `sink "mem" "trader"`, `sink "mem" "other"`, 1) + "moved {\n  from = sink.mem.trader\n  to   = sink.mem.other\n}\n"
	for name, after := range map[string]string{"as it is": declared, "by another name": renamed} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				full := w.onDisk(ofSinks)
				w.set(declared)
				time.Sleep(time.Minute)
				w.told(1, "at first")
				full.Store(true)
				w.places.mu.Lock()
				w.places.stuck = "sink.mem.trader"
				w.places.mu.Unlock()
				if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
					t.Fatal(err)
				}
				w.places.blockBy(make(chan struct{}))
				time.Sleep(5 * time.Second)
				full.Store(false)
				w.set(after)
				time.Sleep(time.Minute)
				w.told(1, "while it is held up")
				w.crash()
				w.places.blockBy(nil)
				w.set(after)
				time.Sleep(time.Minute)
				w.told(2, "after the crash")
				w.startsAgainAs(after, 2)
			})
		})
	}
}
