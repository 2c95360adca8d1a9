//go:build race

package reconcile_test

import (
	"os"
	"runtime"
	"testing"
)

// Under the race detector these tests have one processor. Go's runtime (1.26) keeps for
// each synctest bubble one context of the detector in which the timers' channels fire,
// and takes no lock for it: two goroutines of a bubble that at the same moment, on two
// threads, look at timers that are due end the process by a SIGSEGV or a failed check of
// the detector (eight goroutines that each make time.NewTimer(0) in a loop do so in
// seconds, and with one processor never). What the detector reports is what happened
// without an order between, not what happened at the same moment, so that it finds
// races here as well.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}
