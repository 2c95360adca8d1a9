package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// all runs a whole scan at once.
func (s *scan) all(w *Watcher) {
	for s.start(w, w.allPlaces()); s.stepC != nil; {
		s.step(w)
	}
}

func BenchmarkScanOfHundredThousand(b *testing.B) {
	dir := b.TempDir()
	paths := make([]string, 100_000)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("user-%06d.token", i))
		if err := os.WriteFile(paths[i], []byte("token"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	w := New(Options{})
	defer w.Close()
	w.Set(Group{Name: "sinks", Paths: paths})
	for b.Loop() {
		w.call(func() { w.scan.all(w) })
	}
}

// A change that a tick was sent for is not found again by the scan, and one
// that no event told of is found once.
func TestScanFindsWhatNoEventTold(t *testing.T) {
	dir := t.TempDir()
	told, silent := filepath.Join(dir, "told"), filepath.Join(dir, "silent")
	for _, p := range []string{told, silent} {
		if err := os.WriteFile(p, []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := New(Options{Rescan: time.Hour})
	defer w.Close()
	w.Set(Group{Name: "g", Paths: []string{told, silent}, Quiet: time.Nanosecond})
	pending := func() (paths []string) {
		w.call(func() {
			w.scan.all(w)
			b := &w.groups["g"].batch
			paths = b.take("g").Paths
		})
		return paths
	}
	if err := os.Chmod(told, 0o644); err != nil {
		t.Fatal(err)
	}
	<-w.C()
	if got := pending(); len(got) != 0 {
		t.Errorf("the scan found %q, which a tick was sent for", got)
	}
	// As if its event had been lost.
	w.call(func() { w.places[dir].names[w.groups["g"]]["silent"]++ })
	if got := pending(); len(got) != 1 || got[0] != silent {
		t.Errorf("the scan found %q, want %q", got, silent)
	}
	if got := pending(); len(got) != 0 {
		t.Errorf("the scan found %q a second time", got)
	}
}

// Looking at the blind places comes often. However long it takes, it must not
// put off the look at everything, which is also what asks for inotify again.
func TestOnlyTheNetPutsTheNetOff(t *testing.T) {
	w := New(Options{Rescan: time.Hour})
	defer w.Close()
	w.Set(Group{Name: "g", Paths: []string{filepath.Join(t.TempDir(), "token")}})
	for _, whole := range []bool{false, true} {
		var before, after time.Time
		w.call(func() {
			before = w.scan.full
			w.scan.start(w, w.allPlaces())
			w.scan.whole, w.scan.cost = whole, 24*time.Hour
			for w.scan.stepC != nil {
				w.scan.step(w)
			}
			after = w.scan.full
		})
		if moved := after.After(before); moved != whole {
			t.Errorf("whole %v: the next look at everything was put off: %v", whole, moved)
		}
	}
}
