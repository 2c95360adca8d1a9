package sinktest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

func renderIsPure(t *testing.T, r *rig) {
	one, again, other := r.desire(t, "a", canary(1)), r.desire(t, "a", canary(2)), r.desire(t, "b", canary(1))
	if one.Place == "" || one.Place != again.Place || one.Target != again.Target {
		t.Errorf("one place is called %q (%q) and %q (%q)", one.Place, one.Target, again.Place, again.Target)
	}
	if one.Place == other.Place {
		t.Errorf("two places are both called %q", one.Place)
	}
	clean(t, "the place's name", one.Place+one.Target)
	r.empty(t, "a")
}

func renderUnknown(t *testing.T, r *rig) {
	want := r.desire(t, "a", canary(1))
	got, err := r.Sink.Render(r.Args("a", spec.Sensitive(cty.UnknownVal(cty.String))))
	if !errors.Is(err, sinks.ErrUnknown) {
		t.Errorf("Render with an unknown value: %v, want ErrUnknown", err)
	}
	if got.Place != want.Place || got.Target != want.Target {
		t.Errorf("with an unknown value the place is %q (%q), want %q (%q)", got.Place, got.Target, want.Place, want.Target)
	}
}

func writeCheckWrite(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	r.drift(t, d, nil, true)
	last := r.write(t, d, nil)
	r.holds(t, "a", canary(1))
	r.drift(t, d, last, false)

	before := r.Version("a")
	last = r.write(t, d, last)
	r.write(t, r.desire(t, "a", canary(1)), last)
	if diff := cmp.Diff(before, r.Version("a")); diff != "" {
		t.Errorf("writing what is there already wrote again (-before +after):\n%s", diff)
	}
	r.drift(t, d, last, false)
}

func writeNewVersion(t *testing.T, r *rig) {
	last := r.write(t, r.desire(t, "a", canary(1)), nil)
	d := r.desire(t, "a", canary(2))
	r.drift(t, d, last, true)
	last = r.write(t, d, last)
	r.holds(t, "a", canary(2))
	r.drift(t, d, last, false)
	r.drift(t, r.desire(t, "a", canary(1)), last, true)
}

func checkChangesNothing(t *testing.T, r *rig) {
	r.drift(t, r.desire(t, "a", canary(1)), nil, true)
	r.empty(t, "a")

	last := r.write(t, r.desire(t, "a", canary(1)), nil)
	before := r.Version("a")
	r.drift(t, r.desire(t, "a", canary(2)), last, true)
	r.drift(t, r.desire(t, "a", canary(1)), last, false)
	r.holds(t, "a", canary(1))
	if diff := cmp.Diff(before, r.Version("a")); diff != "" {
		t.Errorf("Check changed the place (-before +after):\n%s", diff)
	}
}

func repairChanged(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	last := r.write(t, d, nil)
	r.Meddle("a", "meddled")
	r.drift(t, d, last, true)
	last = r.write(t, d, last)
	r.holds(t, "a", canary(1))
	r.drift(t, d, last, false)
}

// intact: what somebody touched is never said to be intact.
func intact(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	last := r.write(t, d, nil)
	if stays(t, r.Sink, last) != stays(t, r.Reopen(), last) {
		t.Error("a new process says something else of what was just written")
	}
	r.Meddle("a", "meddled")
	if stays(t, r.Sink, last) {
		t.Error("what somebody changed is said to be intact")
	}
	last = r.write(t, d, last)
	newer := r.write(t, r.desire(t, "a", canary(2)), last)
	if stays(t, r.Sink, last) {
		t.Error("an earlier version is said to be intact")
	}
	r.Delete("a")
	if stays(t, r.Sink, newer) {
		t.Error("what is gone is said to be intact")
	}
	if stays(t, r.Sink, nil) || stays(t, r.Sink, []byte("nonsense")) {
		t.Error("what was never written is said to be intact")
	}
}

func repairDeleted(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	last := r.write(t, d, nil)
	r.Delete("a")
	r.drift(t, d, last, true)
	last = r.write(t, d, last)
	r.holds(t, "a", canary(1))
	r.drift(t, d, last, false)
}

func takeOver(t *testing.T, r *rig) {
	r.Meddle("a", "from before")
	d := r.desire(t, "a", canary(1))
	r.drift(t, d, nil, true)
	last := r.write(t, d, nil)
	r.holds(t, "a", canary(1))
	if err := r.Sink.Remove(t.Context(), last); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	r.empty(t, "a")
}

func unrecordedWrite(t *testing.T, r *rig) {
	recorded := r.write(t, r.desire(t, "a", canary(1)), nil)
	d := r.desire(t, "a", canary(2))
	r.write(t, d, recorded) // and a crash before its account was kept
	r.Sink = r.Reopen()
	d = r.desire(t, "a", canary(2))
	r.drift(t, d, recorded, false)
	before := r.Version("a")
	last := r.write(t, d, recorded)
	if diff := cmp.Diff(before, r.Version("a")); diff != "" {
		t.Errorf("the same was written twice (-before +after):\n%s", diff)
	}
	if err := r.Sink.Remove(t.Context(), last); err != nil {
		t.Fatalf("Remove with the account of a write that found all done: %v", err)
	}
	r.empty(t, "a")
}

func remove(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	last := r.write(t, d, nil)
	for range 2 {
		if err := r.Sink.Remove(t.Context(), last); err != nil {
			t.Fatalf("Remove: %v", err)
		}
		r.empty(t, "a")
	}
	r.drift(t, d, last, true)
	last = r.write(t, d, last)
	r.holds(t, "a", canary(1))
	r.drift(t, d, last, false)
}

func removeForeign(t *testing.T, r *rig) {
	last := r.write(t, r.desire(t, "a", canary(1)), nil)
	r.Meddle("a", "meddled")
	held, _ := r.Holds("a")
	before := r.Version("a")
	r.foreign(t, last)
	r.holds(t, "a", held)
	if diff := cmp.Diff(before, r.Version("a")); diff != "" {
		t.Errorf("a refused removal changed the place (-before +after):\n%s", diff)
	}
}

func removeUnrecorded(t *testing.T, r *rig) {
	recorded := r.write(t, r.desire(t, "a", canary(1)), nil)
	r.write(t, r.desire(t, "a", canary(2)), recorded)
	r.foreign(t, recorded)
	r.holds(t, "a", canary(2))
}

func removeGone(t *testing.T, r *rig) {
	last := r.write(t, r.desire(t, "a", canary(1)), nil)
	r.Delete("a")
	if err := r.Sink.Remove(t.Context(), last); err != nil {
		t.Errorf("Remove of what is gone: %v, want none", err)
	}
}

// intended: what is written down before a write finds what the write has left.
func intended(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	before := r.intend(t, d)
	if diff := cmp.Diff(before, r.intend(t, r.desire(t, "a", canary(1)))); diff != "" {
		t.Errorf("the same is intended twice in two ways (-first +second):\n%s", diff)
	}
	for _, other := range []sinks.Desired{r.desire(t, "a", canary(2)), r.desire(t, "b", canary(1))} {
		if cmp.Equal(before, r.intend(t, other)) {
			t.Errorf("another content, or another place, is intended alike: %s", before)
		}
	}
	r.empty(t, "a")
	if err := r.Sink.Remove(t.Context(), before); err != nil {
		t.Errorf("Remove of what was never written: %v, want none", err)
	}
	r.Meddle("a", "meddled")
	r.foreign(t, before)
	r.write(t, d, nil) // and a crash before its account was kept
	r.Sink = r.Reopen()
	if stays(t, r.Sink, before) {
		t.Error("of what was only intended it is said that it is intact")
	}
	r.foreign(t, r.intend(t, r.desire(t, "a", canary(2))))
	r.holds(t, "a", canary(1))
	if err := r.Sink.Remove(t.Context(), before); err != nil {
		t.Fatalf("Remove by what was intended: %v", err)
	}
	r.empty(t, "a")
}

func removeAfterRestart(t *testing.T, r *rig) {
	last := r.write(t, r.desire(t, "a", canary(1)), nil)
	r.Sink = r.Reopen()
	if err := r.Sink.Remove(t.Context(), last); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	r.empty(t, "a")
}

func placesApart(t *testing.T, r *rig) {
	a := r.write(t, r.desire(t, "a", canary(1)), nil)
	b := r.write(t, r.desire(t, "b", canary(2)), nil)
	r.holds(t, "a", canary(1))
	r.holds(t, "b", canary(2))
	if err := r.Sink.Remove(t.Context(), a); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	r.empty(t, "a")
	r.holds(t, "b", canary(2))
	r.drift(t, r.desire(t, "b", canary(2)), b, false)
}

func movePlace(t *testing.T, r *rig) {
	old := r.write(t, r.desire(t, "a", canary(1)), nil)
	d := r.desire(t, "b", canary(1))
	r.drift(t, d, old, true)
	moved := r.write(t, d, old)
	r.holds(t, "b", canary(1))
	r.holds(t, "a", canary(1))
	r.drift(t, d, moved, false)
	if err := r.Sink.Remove(t.Context(), old); err != nil {
		t.Fatalf("Remove of the old place: %v", err)
	}
	r.empty(t, "a")
	r.holds(t, "b", canary(1))
}

func brokenAccount(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	r.write(t, d, nil)
	before := r.Version("a")
	for _, broken := range [][]byte{nil, {}, []byte("{"), []byte("{}"), []byte("null"), []byte("\x00\xff")} {
		if err := r.Sink.Remove(t.Context(), broken); err == nil {
			t.Errorf("Remove with the account %q succeeded", broken)
		}
		if p := r.Sink.Paths(broken); len(p) > 0 {
			t.Errorf("Paths of the account %q are %q", broken, p)
		}
		// The place itself still says that it is right.
		r.drift(t, d, broken, false)
		r.write(t, d, broken)
	}
	r.holds(t, "a", canary(1))
	if diff := cmp.Diff(before, r.Version("a")); diff != "" {
		t.Errorf("a broken account made the place change (-before +after):\n%s", diff)
	}
}

func cancelled(t *testing.T, r *rig) {
	old := r.write(t, r.desire(t, "a", canary(1)), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := r.desire(t, "a", canary(2))
	if _, err := r.Sink.Write(ctx, d, old); !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v, want context.Canceled", err)
	}
	if _, err := r.Sink.Check(ctx, d, old); !errors.Is(err, context.Canceled) {
		t.Errorf("Check: %v, want context.Canceled", err)
	}
	if err := r.Sink.Remove(ctx, old); !errors.Is(err, context.Canceled) {
		t.Errorf("Remove: %v, want context.Canceled", err)
	}
	r.holds(t, "a", canary(1))
}

func blocked(t *testing.T, r *rig) {
	if r.Block == nil {
		t.Skip("sinktest: this kind has no way to make a place impossible to write")
	}
	last := r.write(t, r.desire(t, "a", canary(1)), nil)
	unblock := r.Block("a")
	d := r.desire(t, "a", canary(2))
	_, err := r.Sink.Write(t.Context(), d, last)
	if err == nil {
		t.Fatal("Write at a place that cannot be written succeeded")
	}
	clean(t, "an error", err.Error())
	unblock()
	r.holds(t, "a", canary(1))
	last = r.write(t, d, last)
	r.holds(t, "a", canary(2))
	r.drift(t, d, last, false)
}

// stays is what a kind says of a place, and that it names the file that it looked at.
func stays(t *testing.T, k sinks.Sink, written []byte) bool {
	t.Helper()
	seen, ok := k.Intact(t.Context(), written)
	if !ok {
		return false
	}
	path := ""
	if p := k.Paths(written); len(p) > 0 {
		path = p[0]
	}
	if seen.Path != path {
		t.Errorf("the file that is intact is %q, and %q is to be watched", seen.Path, path)
	}
	return true
}
