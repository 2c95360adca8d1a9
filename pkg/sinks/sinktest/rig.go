package sinktest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// Rig is a kind under test with fresh places that nobody else uses. Places are
// called by short names ("a", "b", …) that the rig turns into paths of its own.
type Rig struct {
	// Sink is the kind under test.
	Sink sinks.Sink
	// Reopen gives the kind as a new process would have it.
	Reopen func() sinks.Sink
	// Args are the arguments of a block that delivers one value to the place.
	// The value is a sensitive string, or unknown.
	Args func(place string, value cty.Value) spec.Values
	// Holds reads the value at the place, by other means than the sink; false
	// when there is none. Something else that is there may come out in any form.
	Holds func(place string) (string, bool)
	// Meddle puts a value there as somebody else would, also where nothing is.
	Meddle func(place, value string)
	// Delete takes the place away as somebody else would.
	Delete func(place string)
	// Version changes whenever the place is written, even with the same value
	// (an inode and a time, a version number).
	Version func(place string) string
	// Block makes writing at the place fail until the function that it returns
	// is called. Nil where that cannot be had; the suite says so.
	Block func(place string) (unblock func())
}

// Run tests a kind. start is called once for each part of the suite.
func Run(t *testing.T, start func(t *testing.T) Rig) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"render is pure and names the place", renderIsPure},
		{"render without the value names the place", renderUnknown},
		{"write, check, write again", writeCheckWrite},
		{"write a new version", writeNewVersion},
		{"check changes nothing", checkChangesNothing},
		{"what somebody changed is repaired", repairChanged},
		{"what somebody deleted is repaired", repairDeleted},
		{"what somebody touched is not intact", intact},
		{"what is there already is taken over", takeOver},
		{"a write that was not recorded costs no second one", unrecordedWrite},
		{"remove", remove},
		{"remove leaves alone what somebody changed", removeForeign},
		{"remove after a newer write that was not recorded", removeUnrecorded},
		{"remove what is gone", removeGone},
		{"a new process removes what an old one wrote", removeAfterRestart},
		{"places do not touch each other", placesApart},
		{"moving leaves the old place to its account", movePlace},
		{"an account that cannot be read", brokenAccount},
		{"a cancelled context", cancelled},
		{"a place that cannot be written", blocked},
		{"readers see whole versions", wholeVersions},
		{"an intended write is removed like one that was made", intended},
		{"a portrait tells places apart as a look at them does", portrayed},
		{"many places at once", manyPlaces},
		{"any order of events", anyOrder},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, &rig{Rig: start(t)}) })
	}
}

// rig adds what the parts of the suite say again and again.
type rig struct{ Rig }

// fataler is what a part needs of a test; rapid's T has it, too.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Context() context.Context
}

// canary is a value that is a secret, and would be noticed anywhere.
func canary(n int) string {
	return fmt.Sprintf("canary-%d-%s", n, strings.Repeat("x7!", 5+n%3))
}

func (r *rig) desire(t fataler, place, value string) sinks.Desired {
	t.Helper()
	d, err := r.Sink.Render(r.Args(place, spec.Sensitive(cty.StringVal(value))))
	if err != nil {
		t.Fatalf("Render: %v", err)
	}
	return d
}

func (r *rig) write(t fataler, d sinks.Desired, last []byte) []byte {
	t.Helper()
	written, err := r.Sink.Write(t.Context(), d, last)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	clean(t, "the account of a write", string(written))
	if len(written) == 0 {
		t.Fatalf("Write gave no account of what it wrote")
	}
	for _, p := range r.Sink.Paths(written) {
		if !strings.HasPrefix(p, "/") {
			t.Errorf("Paths has %q, which is not absolute", p)
		}
	}
	return written
}

func (r *rig) intend(t fataler, d sinks.Desired) []byte {
	t.Helper()
	account, err := r.Sink.Intend(d)
	if err != nil {
		t.Fatalf("Intend: %v", err)
	}
	clean(t, "the account of what is intended", string(account))
	return account
}

// drift checks and wants a difference, or none.
func (r *rig) drift(t fataler, d sinks.Desired, last []byte, want bool) {
	t.Helper()
	got, err := r.Sink.Check(t.Context(), d, last)
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	clean(t, "drift", got)
	if (got != "") != want {
		t.Fatalf("Check says %q, want a difference: %v", got, want)
	}
}

func (r *rig) holds(t fataler, place, want string) {
	t.Helper()
	got, ok := r.Holds(place)
	if !ok || got != want {
		t.Fatalf("place %s holds %q (%v), want %q", place, got, ok, want)
	}
}

func (r *rig) empty(t fataler, place string) {
	t.Helper()
	if got, ok := r.Holds(place); ok {
		t.Fatalf("place %s holds %q, want nothing", place, got)
	}
}

// foreign wants a refused removal.
func (r *rig) foreign(t fataler, written []byte) {
	t.Helper()
	err := r.Sink.Remove(t.Context(), written)
	if !errors.Is(err, sinks.ErrForeign) {
		t.Fatalf("Remove of what somebody changed: %v, want ErrForeign", err)
	}
	clean(t, "an error", err.Error())
}

// clean fails when a text shows a canary, in clear or as base64.
func clean(t fataler, what, text string) {
	t.Helper()
	found := strings.Contains(text, "canary-") || strings.Contains(text, "x7!x7!")
	for shift := range 3 {
		enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + "canary-"))
		// The first and last characters depend on what stands beside them.
		found = found || strings.Contains(text, enc[4:8])
	}
	if found {
		t.Errorf("%s shows the value: %s", what, text)
	}
}
