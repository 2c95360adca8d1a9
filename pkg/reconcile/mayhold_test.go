package reconcile

import (
	"fmt"
	"testing"

	"tokend/pkg/sinks"
)

// intends is a kind of sink of which only the account of a write to come is asked.
type intends struct{ sinks.Sink }

func (intends) Intend(d sinks.Desired) ([]byte, error) { return []byte(d.Content.(string)), nil }

// TestWhatAPlaceMayHoldIsNews: also where so much is remembered that something
// is forgotten for it; and what is known already is none.
func TestWhatAPlaceMayHoldIsNews(t *testing.T) {
	p := &sinkPerformer{ob: &observedSink{kind: intends{}}}
	p.ob.in.Record.Written = withPlace([]byte("first"), "place")
	if p.mayHold(sinks.Desired{Place: "place", Content: "first"}) || p.mayHold(sinks.Desired{Place: "elsewhere", Content: "x"}) {
		t.Error("what was written, or is of another place, is no news")
	}
	for i := range 2 * mostLeft {
		d := sinks.Desired{Place: "place", Content: fmt.Sprint(i)}
		if !p.mayHold(d) || p.mayHold(d) {
			t.Errorf("account %d is not news once", i)
		}
	}
	if n := len(p.ob.in.Record.Leaving); n != mostLeft {
		t.Errorf("%d are remembered, want %d", n, mostLeft)
	}
}
