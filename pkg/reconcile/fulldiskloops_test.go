package reconcile_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// A refresh token that an import block brings, and that the disk does not take, is
// tried again in a while, and not for ever at once.
func TestAnImportAsksAFullDiskNowAndThen(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := importing(w.elsewhere(), delivered)
		w.halt()
		var full atomic.Bool
		var asked atomic.Int64
		w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func(changes []state.Change) error {
			if !full.Load() || !slices.ContainsFunc(changes, func(c state.Change) bool { return c.Credential != nil }) {
				return nil
			}
			if asked.Add(1) > 1000 {
				full.Store(false) // or the test would never end
			}
			return unix.ENOSPC
		}})
		w.start()
		full.Store(true)
		w.set(config)
		<-time.After(10 * time.Minute)
		if n := asked.Load(); n == 0 || n > 45 {
			t.Errorf("within ten minutes the disk was asked %d times, want about 40", n)
		}
		full.Store(false)
		<-time.After(time.Minute)
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("once there is room the place holds %q", w.places.get("trader"))
		}
	})
}

// The disk has taken that a sink is about to be written, and nothing after it; then
// the guard holds the sink's removal back. Its hook is not run again for having run.
func TestAFullDiskRunsNoHookInALoop(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.onDiskFullOnceNamed()
		guard := "tokend {\n guard {\n " + strings.ReplaceAll(holdsAll, "\n", "\n ") + "\n }\n}\n"
		w.set(trader("a@example.com", guard))
		<-time.After(time.Minute)
		if h := w.set(cutOut(trader("a@example.com", guard), `sink "mem" "trader"`)); h == nil || len(h.Sinks) != 1 {
			t.Fatalf("held %+v", h)
		}
		<-time.After(time.Minute)
		before := w.hooks()
		<-time.After(10 * time.Minute)
		if n := w.hooks() - before; n > 45 {
			t.Errorf("within ten minutes its hook ran %d times, want no more than the place is looked at", n)
		}
	})
}

// The disk has taken that a sink is about to be written, and nothing after it: its
// hook runs once for what was written, and not again for each try to record that.
// What is written later is told again.
func TestAFullDiskRunsAHookOnceForAContent(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.tellsOnAFullDisk()
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		w.told(2, "after the next write")
		w.startsAgain(2)
	})
}

// tellsOnAFullDisk begins with a disk that takes of the trader's sink that it is about
// to be written, and nothing after that for ten minutes, in which its hook runs once.
func (w *world) tellsOnAFullDisk() {
	w.t.Helper()
	full := w.onDiskFullOnceNamed()
	w.set(trader("a@example.com", ""))
	<-time.After(10 * time.Minute)
	w.told(1, "within ten minutes")
	full.Store(false)
	<-time.After(time.Minute)
	w.told(1, "once there is room")
}

// startsAgain is another start, by which the hook has run that often.
func (w *world) startsAgain(told int) {
	w.t.Helper()
	w.startsAgainAs(trader("a@example.com", ""), told)
}

func (w *world) startsAgainAs(declared string, told int) {
	w.t.Helper()
	w.halt()
	w.start()
	w.set(declared)
	<-time.After(time.Minute)
	w.told(told, "after a restart")
}

// told looks how often a hook has run.
func (w *world) told(times int, when string) {
	w.t.Helper()
	if n := w.hooks(); n != times {
		w.t.Errorf("%s the hook has run %d times, want %d", when, n, times)
	}
}

func (w *world) hooks() int { return strings.Count(w.places.events(), "hook:") }
