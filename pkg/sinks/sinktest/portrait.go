package sinktest

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/sinks"
)

// portrayed: what was written fits what shall be there exactly where a look at the
// place finds nothing to do.
func portrayed(t *testing.T, r *rig) {
	d := r.desire(t, "a", canary(1))
	last := r.write(t, d, nil)
	is := r.portray(t, d, last)
	for _, c := range []struct {
		name string
		want sinks.Desired
	}{{"the same", r.desire(t, "a", canary(1))}, {"another value", r.desire(t, "a", canary(2))}} {
		drift, err := r.Sink.Check(t.Context(), c.want, last)
		if err != nil {
			t.Fatalf("Check: %v", err)
		}
		wants := r.portray(t, c.want, nil)
		if fits := wants.Content == is.Content && within(wants.Traits, is.Traits); fits != (drift == "") {
			t.Errorf("%s: by its portrait it fits: %v, and a look at it says %q", c.name, fits, drift)
		}
		if wrote := r.Sink.Wrote(c.want, last); wrote != (drift == "") {
			t.Errorf("%s: it is what was written last: %v, and a look at it says %q", c.name, wrote, drift)
		}
		if diff := cmp.Diff(is.Parts, wants.Parts); diff != "" {
			t.Errorf("%s: it is made of other parts (-is +shall be):\n%s", c.name, diff)
		}
		for trait, values := range wants.Traits {
			for _, v := range values {
				clean(t, "the trait "+trait, v)
			}
		}
	}
	for _, none := range [][]byte{nil, []byte("nonsense"), r.write(t, r.desire(t, "b", canary(1)), nil)} {
		if r.Sink.Wrote(d, none) {
			t.Errorf("the account %q is none of a write of this", none)
		}
	}
	if _, err := r.Sink.Portray(sinks.Desired{Place: d.Place}, nil, hash); err == nil {
		t.Error("what is not known yet was portrayed")
	}
}

func (r *rig) portray(t fataler, d sinks.Desired, written []byte) sinks.Portrait {
	t.Helper()
	p, err := r.Sink.Portray(d, written, hash)
	if err != nil {
		t.Fatalf("Portray: %v", err)
	}
	if p.Content == "" {
		t.Errorf("a portrait without a content")
	}
	return p
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// within says that all that is asked for is there.
func within(wanted, is map[string][]string) bool {
	for trait, values := range wanted {
		for _, v := range values {
			found := false
			for _, have := range is[trait] {
				found = found || have == v
			}
			if !found {
				return false
			}
		}
	}
	return true
}
