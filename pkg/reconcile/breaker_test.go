package reconcile

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"tokend/pkg/providers"
)

func TestHealthOf(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		says, down bool
	}{
		"a token":                     {nil, true, false},
		"a refusal":                   {&providers.Error{Class: providers.ClassPermanent, Status: 400}, true, false},
		"a refusal by a 500":          {&providers.Error{Class: providers.ClassPermanent, Status: 500}, true, false},
		"a reply that cannot be read": {&providers.Error{Class: providers.ClassUnreadable, Status: 200}, true, false},
		"busy with this account":      {&providers.Error{Class: providers.ClassTransient, Status: 409}, true, false},
		"refused connection":          {&providers.Error{Class: providers.ClassTransient}, true, true},
		"no reply":                    {&providers.Error{Class: providers.ClassUnknown}, true, true},
		"a bad gateway":               {&providers.Error{Class: providers.ClassUnknown, Status: 502}, true, true},
		"throttled":                   {&providers.Error{Class: providers.ClassThrottled, Status: 429}, true, true},
		"an input that is missing":    {&providers.Error{Class: providers.ClassConfig}, false, false},
		"nothing was sent":            {errNotBegun, false, false},
	} {
		if h, says := healthOf(c.err); says != c.says || h.down != c.down {
			t.Errorf("%s: says something %v, down %v; want %v, %v", name, says, h.down, c.says, c.down)
		}
	}
}

// laneWith is a lane in which n credentials wait, the first the most urgent.
func laneWith(q *queue, n int) *lane {
	l := q.lane("provider.a.default")
	for i := range n {
		it := &item{addr: fmt.Sprintf("credential.a.c%d", i), expires: int64(i + 1), phase: ready}
		q.enter(it, l)
		heap.Push(&l.waiting, it)
	}
	return l
}

func TestABreakerOpensOnSeveralAndNeverOnOne(t *testing.T) {
	var b breaker
	for range 100 {
		if b.unanswered("credential.a.one", health{down: true}, t0, 0.5) || b.open() {
			t.Fatal("it opened on the failures of one credential")
		}
	}
	b.unanswered("credential.a.two", health{down: true}, t0, 0.5)
	b.answered()
	b.unanswered("credential.a.one", health{down: true}, t0, 0.5)
	b.unanswered("credential.a.two", health{down: true}, t0, 0.5)
	if b.open() {
		t.Fatal("an answer in between did not count")
	}
	if !b.unanswered("credential.a.three", health{down: true, why: "refused"}, t0, 0.5) || !b.open() {
		t.Fatal("it stayed closed after three different credentials in a row")
	}
}

func TestAnOpenBreakerLetsOneThroughNowAndThen(t *testing.T) {
	q := newQueue()
	q.clock = t0
	l := laneWith(q, 5)
	for i := range breakerCount {
		l.breaker.unanswered(fmt.Sprintf("credential.a.c%d", i), health{down: true}, t0, 1)
	}
	if it := q.next(); it != nil {
		t.Fatalf("%s was let through at once", it.addr)
	}
	if d := q.untilProbe(); d <= 0 || d > breakerFirst {
		t.Fatalf("the loop would sleep %s", d)
	}
	q.clock = t0.Add(breakerFirst)
	it := q.next()
	if it == nil || it.addr != "credential.a.c3" {
		t.Fatalf("%v was let through; c3 is the most urgent that has not failed", it)
	}
	if again := q.next(); again != nil {
		t.Fatalf("%s was let through as well", again.addr)
	}
	// What an answer to another call brings closes it; then all go.
	l.breaker.answered()
	for want := 4; want > 0; want-- {
		if q.next() == nil {
			t.Fatalf("%d still wait", want)
		}
	}
}

func TestTheWaitOfABreakerGrowsAndIsBounded(t *testing.T) {
	b := breaker{failed: map[string]bool{"a": true, "b": true}}
	b.unanswered("c", health{down: true}, t0, 1)
	last := time.Duration(0)
	for range 20 {
		d := b.next.Sub(t0)
		if d < last || d > breakerLast {
			t.Fatalf("waits %s after %s", d, last)
		}
		last, b.probe = d, "c"
		b.unanswered("c", health{down: true}, t0, 1)
	}
	if last != breakerLast {
		t.Errorf("waits at most %s", last)
	}
	before := b.next
	b.unanswered("d", health{down: true}, t0.Add(time.Minute), 1)
	if !b.next.Equal(before) {
		t.Error("a call that was under way when it opened prolonged the wait")
	}
	b.unanswered("c", health{down: true, after: time.Hour}, t0, 1)
	if d := b.next.Sub(t0); d != breakerAsked {
		t.Errorf("a Retry-After of an hour makes it wait %s", d)
	}
}

// A lane that nothing belongs to any more is forgotten, also when the last of it
// was being worked on.
func TestLanesAreDropped(t *testing.T) {
	q := newQueue()
	l := laneWith(q, 2)
	q.clock = t0
	running := q.next()
	q.move(l.waiting.items[0], q.lane(localLane))
	q.leave(running)
	if q.lanes[l.name] == nil {
		t.Fatal("it was dropped while something of it was running")
	}
	q.finished(running, l)
	if q.lanes[l.name] != nil || len(q.order) != 1 {
		t.Errorf("it is still there: %d lanes", len(q.order))
	}
}
