package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// However many hooks a sink tells, no more than so many begin within a moment, and those
// that wait hold up no sink.
func TestHooksRunSomeAtATime(t *testing.T) {
	const n, atOnce = 200, 64
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		var blocks, names strings.Builder
		for i := range n {
			fmt.Fprintf(&blocks, "hook \"mem\" \"h%d\" {}\n", i)
			fmt.Fprintf(&names, "hook.mem.h%d,", i)
		}
		w.places.mu.Lock()
		w.places.slow = 10 * time.Second
		w.places.mu.Unlock()
		config := strings.Replace(trader("a@example.com", blocks.String()), "[hook.mem.tell]", "["+names.String()+"]", 1)
		w.set(config)
		time.Sleep(500 * time.Millisecond)
		w.set(config + "sink \"mem\" \"late\" {\n  place   = \"late\"\n  content = credential.coinify.trader.access_token\n}\n")
		time.Sleep(2 * time.Second)
		if got := w.places.count("write:late"); got != 1 {
			t.Errorf("a sink that is added while they run is written %d times within two seconds", got)
		}
		time.Sleep(9 * time.Second)
		for i := 1; i <= n/atOnce; i++ {
			if got := w.places.count("hook:1"); got != i*atOnce {
				t.Errorf("after %s %d have run, want %d", 11*time.Second+time.Duration(i)*time.Second, got, i*atOnce)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if got := w.places.count("hook:1"); got != n {
			t.Errorf("%d of %d hooks have run", got, n)
		}
	})
}

// Hooks that end at the same moment are each answered for, however long the disk
// takes to write that: all of them stand in the record of the same sink, and one whose
// answer the others kept from being written would be run again.
func TestHooksThatEndTogetherRunOnce(t *testing.T) {
	const n = 60
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.halt()
		w.wrap = func(s state.Store) state.Store { return tickingStore{s, time.Now(), 20 * time.Millisecond} }
		w.start()
		var blocks, names strings.Builder
		for i := range n {
			fmt.Fprintf(&blocks, "hook \"mem\" \"h%d\" {}\n", i)
			fmt.Fprintf(&names, "hook.mem.h%d,", i)
		}
		w.set(strings.Replace(trader("a@example.com", blocks.String()), "[hook.mem.tell]", "["+names.String()+"]", 1))
		time.Sleep(time.Minute)
		if got := w.places.count("hook:1"); got != n {
			t.Errorf("%d hooks have run %d times", n, got)
		}
		if rec, err := w.store.Sink(t.Context(), "sink.mem.trader"); err != nil || len(rec.Notify) > 0 {
			t.Errorf("the record says that %v have still to run (%v)", rec.Notify, err)
		}
	})
}

// count is how often something stands in the log.
func (p *places) count(event string) int {
	n := 0
	for _, e := range strings.Fields(p.events()) {
		if e == event {
			n++
		}
	}
	return n
}
