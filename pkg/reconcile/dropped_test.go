package reconcile

import (
	"testing"
	"time"
)

// closes counts how often an endpoint is closed.
type closes struct {
	Endpoint
	n int
}

func (c *closes) Close() { c.n++ }

// An endpoint that the configuration drops while it is being opened is closed
// once it is there.
func TestAnEndpointDroppedWhileItOpens(t *testing.T) {
	ep := &closes{}
	o := &openEndpoint{}
	o.close()
	if o.ep = ep; ep.n != 0 {
		t.Fatal("what is not there was closed")
	}
	o.open()
	if ep.n != 1 {
		t.Errorf("closed %d times", ep.n)
	}
	o.close()
	other := &openEndpoint{ep: &closes{}}
	other.open()
	if n := other.ep.(*closes).n; n != 0 {
		t.Errorf("one in use was closed %d times", n)
	}
}

// A provider that nothing asks for a moment is still known not to answer; after a
// while it is forgotten.
func TestALaneKeepsItsOpenBreakerForAWhile(t *testing.T) {
	q := newQueue()
	q.advance(t0)
	it := &item{addr: "credential.a.one"}
	l := q.lane("provider.a.default")
	q.enter(it, l)
	for _, a := range []string{"a", "b", "c"} {
		l.breaker.unanswered(a, health{down: true}, t0, 0.5)
	}
	q.leave(it)
	if q.lane("provider.a.default") != l || !l.breaker.open() {
		t.Error("it was forgotten at once")
	}
	q.advance(t0.Add(breakerKept + time.Minute))
	q.lane("provider.b.default")
	if q.lane("provider.a.default") == l {
		t.Error("it is kept for ever")
	}
}
