package reconcile_test

import (
	"testing"
	"time"
)

// The approval of a replacement is none of what the same person was not shown: a
// sink whose file is missing for a moment, in the middle of a checkout, still has
// all of settle to come back.
func TestTheApprovalOfAReplacementSettlesNoRemovedSink(t *testing.T) {
	const guard = "settle = \"10m\"\nmax_revocations = 2\nmax_revoked_percent = 100"
	const extra = `
sink "mem" "extra" {
  place   = "extra"
  content = credential.coinify.trader["a"].access_token
}
`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b c", extra))
		time.Sleep(time.Minute)
		if w.places.get("extra") == "" {
			t.Fatal("the sink was not written")
		}
		if held := w.set(traders(guard, "x", "a b c", "")); held != nil {
			t.Fatalf("the removal of one sink is held: %v", held)
		}
		held := w.set(traders(guard, "y", "a b c", ""))
		if held == nil {
			t.Fatal("three replacements are not held")
		}
		if len(held.Revocations) != 3 || len(held.Sinks) != 0 {
			t.Fatalf("shown: %v, sinks %v; want the three credentials alone", held.Revocations, held.Sinks)
		}
		if err := w.loop.Approve(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		if w.places.get("extra") == "" {
			t.Error("a sink that was not shown was removed before settle was over")
		}
		time.Sleep(2 * time.Minute)
		if got := w.places.get("extra"); got != "" {
			t.Errorf("the removed sink still holds %q after settle", got)
		}
	})
}
