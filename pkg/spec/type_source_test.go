package spec

import "testing"

// The text of a provider type is shared by all who compile it: reading it out
// changes nothing of it.
func TestTypeSourceLeavesItsInputAlone(t *testing.T) {
	const text = "provider_type \"x\" {}  # trailing\t\t"
	src := []byte(text)
	if got := string(typeSource("x", src)); got != "provider_type \"x\" {}  # trailing\n" {
		t.Errorf("got %q", got)
	}
	if string(src) != text {
		t.Errorf("its input is %q now", src)
	}
}
