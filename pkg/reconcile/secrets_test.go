package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// A secret that was read serves others for a moment, and is forgotten after it; also
// one that was read twice, or before the clock was set back.
func TestReadingsAreForgotten(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := newSecretReader(t.Context(), nil, func() time.Time { return now })
	key := func(n int) secretKey { return secretKey{addr: spec.Address(fmt.Sprintf("secret.mem.s%d", n))} }
	serves := func(n int) bool { _, ok := r.cached(key(n)); return ok }
	keep := func(n int) { r.keep(key(n), cty.StringVal("x")) }
	keep(1)
	now = now.Add(secretBurst / 2)
	keep(2)
	keep(1) // again
	now = now.Add(secretBurst * 3 / 4)
	if keep(3); !serves(1) || !serves(2) || !serves(3) || len(r.read) != 3 || len(r.order) != 3 {
		t.Errorf("what was read a moment ago serves: %v, %v, %v; %d and %d are kept", serves(1), serves(2), serves(3), len(r.read), len(r.order))
	}
	now = now.Add(secretBurst / 2)
	if keep(4); serves(1) || serves(2) || !serves(3) || !serves(4) || len(r.read) != 2 || len(r.order) != 2 {
		t.Errorf("what was read longer ago serves: %v, %v, and the rest %v, %v; %d and %d are kept", serves(1), serves(2), serves(3), serves(4), len(r.read), len(r.order))
	}
	now = now.Add(-time.Hour) // the clock was set back
	if keep(5); serves(4) || len(r.read) != 1 || len(r.order) != 1 {
		t.Errorf("what was read by another clock serves: %v; %d and %d are kept", serves(4), len(r.read), len(r.order))
	}
	keep(5)
	if r.forget(true); serves(5) || len(r.order) != 0 {
		t.Errorf("what was to be forgotten serves: %v; %d are kept", serves(5), len(r.order))
	}
}

// What is forgotten goes from the front: the rest stays where it is, however many there
// are, since each reading would move it otherwise.
func TestForgettingReadingsMovesNone(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := newSecretReader(t.Context(), nil, func() time.Time { return now })
	r.order = make([]readAt, 0, 8)
	for n := range 5 {
		r.keep(secretKey{addr: spec.Address(fmt.Sprintf("secret.mem.s%d", n))}, cty.True)
		now = now.Add(secretBurst / 5)
	}
	second := &r.order[1]
	if r.keep(secretKey{addr: "secret.mem.more"}, cty.True); len(r.order) != 5 || &r.order[0] != second {
		t.Errorf("%d are kept, and the second was moved: %v", len(r.order), &r.order[0] != second)
	}
}

// Keeping one of many readings costs no look at all others.
func BenchmarkKeepReading(b *testing.B) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := newSecretReader(b.Context(), nil, func() time.Time { return now })
	keys := make([]secretKey, 20_000)
	for i := range keys {
		keys[i] = secretKey{addr: spec.Address(fmt.Sprintf("secret.mem.s%d", i))}
	}
	for i := 0; b.Loop(); i++ {
		r.keep(keys[i%len(keys)], cty.True)
		now = now.Add(secretBurst / 20_000)
	}
}
