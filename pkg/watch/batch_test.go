package watch

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBatchWaitsForQuietButNotForEver(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	b := batch{quiet: 50 * time.Millisecond, most: 200 * time.Millisecond}
	if !b.due().IsZero() {
		t.Error("an empty batch is due")
	}
	for _, step := range []struct{ at, due int }{{0, 50}, {30, 80}, {70, 120}, {110, 160}, {149, 199}, {155, 200}, {199, 200}} {
		b.add("/b", at(step.at))
		if got := b.due(); !got.Equal(at(step.due)) {
			t.Errorf("after an event at %d ms it is due at %v, want %d ms", step.at, got.Sub(at(0)), step.due)
		}
	}
	b.add("/a", at(199))
	want := Tick{Group: "g", Paths: []string{"/a", "/b"}, At: at(199)}
	if d := cmp.Diff(want, b.take("g")); d != "" {
		t.Errorf("taken (-want +got):\n%s", d)
	}
	if !b.due().IsZero() || b.quiet == 0 || b.most == 0 {
		t.Error("a batch that was taken is not as new")
	}
	b.add("/a", at(300))
	b.addAll(at(310))
	if got := b.take("g"); got.Paths != nil || !got.At.Equal(at(310)) {
		t.Errorf("all was taken as %v", got)
	}
}

func TestTicksMerge(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	some := Tick{Group: "g", Paths: []string{"/a", "/c"}, At: early}
	for _, c := range []struct{ a, b, want Tick }{
		{some, Tick{Group: "g", Paths: []string{"/b", "/c"}, At: late}, Tick{Group: "g", Paths: []string{"/a", "/b", "/c"}, At: late}},
		{some, Tick{Group: "g", At: late}, Tick{Group: "g", At: late}},
		{Tick{Group: "g", At: early}, Tick{Group: "g", Paths: []string{"/b"}, At: late}, Tick{Group: "g", At: late}},
	} {
		if d := cmp.Diff(c.want, c.a.merge(c.b)); d != "" {
			t.Errorf("merging %v and %v (-want +got):\n%s", c.a, c.b, d)
		}
	}
}

// A watcher that did not get to run for a while hands out what is due in its order,
// and not as it comes out of a map.
func TestTicksComeInTheOrderInWhichTheyWereDue(t *testing.T) {
	dir := t.TempDir()
	w := New(Options{Rescan: time.Hour})
	defer w.Close()
	names := []string{"a", "b", "c", "d"}
	for range 20 {
		slices.Reverse(names[1:])
		slices.Reverse(names) // another order than the one before
		w.call(func() {
			for i, name := range names {
				w.set(Group{Name: name, Paths: []string{filepath.Join(dir, name)}, Quiet: time.Millisecond})
				w.groups[name].batch.addAll(time.Now().Add(time.Duration(i-len(names)) * time.Second))
			}
		})
		for _, name := range names {
			select {
			case tick := <-w.C():
				if tick.Group != name {
					t.Fatalf("%s comes where %s was due first", tick.Group, name)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("no tick of %s", name)
			}
		}
	}
}
