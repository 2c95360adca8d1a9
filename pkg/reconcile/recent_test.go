package reconcile

import (
	"fmt"
	"testing"

	"tokend/pkg/state"
)

// TestRecentKeepsTheNewest: however many come, the newest are there by their very
// generation, and no more than are meant to be kept.
func TestRecentKeepsTheNewest(t *testing.T) {
	var r recent
	address := func(i int) string { return fmt.Sprintf("credential.t.%d", i) }
	for i := range recentKept + 10 {
		r.put(address(i), &state.Grant{Generation: 1})
		r.put(address(i), &state.Grant{Generation: 2}) // takes no place more
	}
	if len(r.grants) != recentKept {
		t.Errorf("%d grants are kept, want %d", len(r.grants), recentKept)
	}
	for i := range recentKept + 10 {
		if g, ok := r.get(address(i), 2); ok != (i >= 10) || ok && g.Generation != 2 {
			t.Fatalf("grant %d: kept %v, generation %d", i, ok, g.Generation)
		}
	}
	if _, ok := r.get(address(recentKept), 1); ok {
		t.Error("a generation that is not the newest is given out")
	}
	r.empty()
	if _, ok := r.get(address(recentKept), 2); ok || len(r.ring) > 0 {
		t.Error("something is kept of what was emptied")
	}
	r.put(address(1), &state.Grant{Generation: 3})
	if _, ok := r.get(address(1), 3); !ok {
		t.Error("nothing is kept after it was emptied")
	}
}
