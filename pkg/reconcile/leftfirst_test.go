package reconcile

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"tokend/pkg/state"
)

// A sink wrote its place, and then could not for long, while one token came after
// the other: each of them may be there. When the sink goes elsewhere, and comes back
// and goes again, what it did write is what has to be cleaned before all.
func TestWhatAPlaceHoldsStaysKnown(t *testing.T) {
	at := func(n int) []byte { return withPlace(fmt.Appendf(nil, "here token%d", n), "mem:here") }
	rec := state.Sink{Written: at(1), WrittenAt: time.Unix(1, 0)}
	for n := 2; n < 7; n++ {
		rec.Leaving = leave(rec.Leaving, at(n)) // a write that failed, and may have been made
	}
	rec.Leaving = leaveBehind(&rec)
	rec.Written, rec.WrittenAt = withPlace([]byte("there token7"), "mem:there"), time.Time{}
	rec.Leaving = leaveBehind(&rec) // back: the other place was only named
	for n := 7; n < 30; n++ {
		rec.Written = at(n)
		rec.Leaving = leaveBehind(&rec)
		rec.Leaving = leave(rec.Leaving, at(1)) // that it may hold this is no news
	}
	has := func(account []byte) bool {
		return slices.ContainsFunc(rec.Leaving, func(a []byte) bool { return bytes.Equal(a, account) })
	}
	if !has(at(1)) || !has(at(29)) || !has(withPlace([]byte("there token7"), "mem:there")) {
		t.Errorf("of what was written, what was tried last, and the other place, something is forgotten: %q", rec.Leaving)
	}
	if here := len(rec.Leaving) - 1; here > mostLeft {
		t.Errorf("%d accounts of a place are kept, want at most %d", here, mostLeft)
	}
}
