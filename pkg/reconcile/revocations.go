package reconcile

import (
	"container/heap"
	"slices"
	"strings"
	"time"
)

// Revocations are never in the way of obtaining. Those of a provider have a lane of
// their own beside its lane: a part of its requests in flight, and a breaker of their
// own, so that what they meet (a stall, a 429, a server that fails) holds up
// revocations alone. The rate limit is the provider's one, and they come after
// whatever else waits for it.
//
// So have questions whether a provider honours its tokens (verify.go).
//
// A credential is in that lane only while a revocation of it is what comes next. When
// something else of it is due before that one's turn has come, it goes back.

const (
	// revocationsOf begins the name of such a lane; the provider's follows.
	revocationsOf = "revocations of "
	// questionsTo begins the name of the lane of the questions to a provider.
	questionsTo = "questions to "
	// revocationPart is which part of a provider's requests in flight they may have, and
	// one at the least.
	revocationPart = 4
)

// base is the lane that has the limits: the provider's.
func (l *lane) base() *lane {
	if l != nil && l.of != nil {
		return l.of
	}
	return l
}

// besides splits the name of a lane beside that of a provider.
func besides(lane string) (of string, asks, ok bool) {
	if of, ok = strings.CutPrefix(lane, questionsTo); ok {
		return of, true, true
	}
	of, ok = strings.CutPrefix(lane, revocationsOf)
	return of, false, ok
}

// beside makes a lane that of the revocations of another, or of the questions to it,
// which its name says.
func (q *queue) beside(l *lane) {
	name, asks, ok := besides(l.name)
	if !ok {
		return
	}
	l.of, l.asks = q.lane(name), asks
	l.of.sides = append(l.of.sides, l)
	l.of.items++ // it is there for as long as this one
	l.whole = q.leaving
	l.share()
}

// share gives the revocations of a provider their part of its limits.
func (l *lane) share() {
	n := max(1, l.of.setting.Concurrency/revocationPart)
	if l.whole {
		n = l.of.setting.Concurrency
	}
	if cap(l.calls) != n {
		l.calls = make(chan struct{}, n)
	}
	l.setting, l.pace = l.of.setting, l.of.pace
	l.setting.Concurrency = n
}

// leaveShares gives revocations all that is let through: a stop makes nothing but them.
func (q *queue) leaveShares() {
	q.leaving = true
	for _, l := range q.order {
		if l.of != nil {
			l.whole = true
			l.share()
		}
	}
}

// yields says that a lane's revocations wait, since what goes before them does: a
// request under the rate limit that they share, or for the only one in flight.
func (l *lane) yields() bool {
	n := l.of
	switch {
	case n == nil:
		return false
	case n.setting.Concurrency == 1 && n.running > 0 && !l.whole:
		return true
	case n.setting.Concurrency <= 2 && !l.whole && slices.ContainsFunc(n.sides, func(s *lane) bool { return s != l && s.running > 0 }):
		return true // together they would have all of them
	case len(n.waiting.items) == 0 || n.breaker.open():
		return false
	}
	return n.pace != nil || n.setting.Concurrency == 1
}

// unless is when something else of an item is due that waits in a lane of
// revocations.
type unless struct {
	at int64 // unix nanoseconds
	it *item
}

// unlessHeap is a heap of them by time. Those that are not true any more are left
// out when their time has come; of one item there is one at a time.
type unlessHeap []unless

func (h unlessHeap) Len() int           { return len(h) }
func (h unlessHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h unlessHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *unlessHeap) Push(x any)        { *h = append(*h, x.(unless)) }

func (h *unlessHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = unless{}
	*h = (*h)[:last]
	return x
}

// unless has an item that waits for its revocation leave the lane of these at a time
// at which something else of it is due; zero: nothing is.
func (q *queue) unless(it *item, at time.Time) {
	n := nanos(at)
	if n == 0 && it.x == nil || n != 0 && n == it.ext().unless {
		return
	}
	if it.x.unless = n; n != 0 {
		heap.Push(&q.others, unless{n, it})
	}
}

// overdue takes those out of the lanes of revocations of which something else is due
// now, and says how long none is.
func (q *queue) overdue(now time.Time) time.Duration {
	for len(q.others) > 0 && q.others[0].at <= now.UnixNano() {
		u := heap.Pop(&q.others).(unless)
		if u.it.x == nil || u.it.x.unless != u.at {
			continue
		}
		if u.it.x.unless = 0; u.it.lane != nil && u.it.lane.of != nil && u.it.phase == ready {
			q.move(u.it, q.homeOf(u.it))
		}
	}
	if len(q.others) == 0 {
		return maxSleep
	}
	return time.Duration(q.others[0].at - now.UnixNano())
}

// unlessEarlier follows a clock that was set back.
func (q *queue) unlessEarlier(by time.Duration) {
	for i := range q.others {
		u := &q.others[i]
		if x := u.it.x; x != nil && x.unless == u.at {
			x.unless -= int64(by)
		}
		u.at -= int64(by)
	}
}

// beside notes of an item that went into a lane of revocations where it belongs
// otherwise, and when something else of it is due.
func (l *Loop) beside(it *item, r result) {
	if it.lane.of == nil {
		return
	}
	if r.laneBack != "" && r.laneBack != it.lane.of.name {
		it.ext().home = r.laneBack
	}
	l.q.unless(it, r.unless)
}

// homeOf is where an item belongs that is in a lane of revocations.
func (q *queue) homeOf(it *item) *lane {
	home := it.lane.of
	if it.x != nil && it.x.home != "" {
		home = q.lane(it.x.home)
		it.x.home = ""
	}
	return home
}

// laneBack is where a credential belongs whose old token is being revoked, and when
// something else of it is due; zero: nothing is.
func (ob *observed) laneBack(step Step) (name string, at time.Time) {
	in := ob.in
	if step.Action == ActVerify {
		return ob.asksFor(), ob.unlessAsking()
	}
	switch {
	case in.Declared && in.Want != nil:
		name = string(in.Want.Provider)
	case in.Record.Grant != nil:
		name = in.Record.Grant.Provider
	default:
		return "", time.Time{}
	}
	in.Record.Retiring, in.RetiredTraits, in.Order = nil, nil, Order{}
	s := Decide(in)
	if s.Action != ActNone && s.Action != ActWait {
		return name, time.Time{}
	}
	return name, s.Next
}

// revocationWaits says of an address what its revocation waits for.
func (l *Loop) revocationWaits(it *item, line *Line) {
	if line.Next = "its revocation"; it.lane.asks {
		line.Next = "verify"
	}
	if b := &it.lane.breaker; b.open() {
		line.NextAt = b.next
		if line.Why == "" || line.State == Removing || line.State == Pending || it.lane.asks && line.State == Ready {
			line.Why = b.words(it.lane.name)
		}
	}
}

// doesNot says of a provider what those of a lane beside it find.
func doesNot(asks bool) string {
	if asks {
		return "does not answer whether its tokens are honoured"
	}
	return "takes no revocations"
}
