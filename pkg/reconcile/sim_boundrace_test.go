//go:build race

package reconcile_test

import (
	"os/exec"
	"testing"
)

// The race detector makes some of what a seed does ten times as dear, and other things
// hardly, so that what a seed costs is measured without it.
func TestASeedOfTheSimulationIsCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it builds the tests once more")
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-v", "-run", "^"+t.Name()+"$", ".").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
