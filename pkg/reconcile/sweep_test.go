package reconcile

import (
	"crypto/sha256"
	"slices"
	"testing"

	"tokend/pkg/state"
)

// TestSweepKeepsTheParts: of a configuration that the state refers to nothing is
// swept away, and what nothing refers to is.
func TestSweepKeepsTheParts(t *testing.T) {
	store := state.NewMemory(state.MemoryOptions{})
	before := &blobs{store: store}
	var parts []Part
	for _, text := range []string{"one", "two", "three"} {
		parts = append(parts, Part{Sum: sha256.Sum256([]byte(text)), Pack: func() ([]byte, error) { return []byte(text), nil }})
	}
	whole, err := before.putParts(t.Context(), []byte("first"), parts)
	if err != nil {
		t.Fatal(err)
	}
	name, err := before.put(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(t.Context(), state.Change{MetaKey: metaAccepted, Meta: []byte(name)}); err != nil {
		t.Fatal(err)
	}
	orphan, err := store.PutBlob(t.Context(), []byte("left by a crash"))
	if err != nil {
		t.Fatal(err)
	}
	after := &blobs{store: store} // another process
	if n, err := after.sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d contents (%v), want the one that nothing refers to", n, err)
	}
	names, err := store.Blobs(t.Context())
	if err != nil || len(names) != 4 || slices.Contains(names, orphan) {
		t.Errorf("left are %v (%v)", names, err)
	}
	if b, err := after.whole(t.Context(), name); err != nil || string(b) != "first\none\ntwo\nthree" {
		t.Errorf("the whole is %q (%v)", b, err)
	}
}
