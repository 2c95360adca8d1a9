package reconcile

import (
	"container/heap"
	"strings"
	"time"
)

// Revocations are never in the way of obtaining. Those of a provider have a lane of
// their own beside its lane: a part of its requests in flight, and a breaker of their
// own, so that what they meet (a stall, a 429, a server that fails) holds up
// revocations alone. The rate limit is the provider's one, and they come after
// whatever else waits for it. So have the questions whether a provider honours its
// tokens (verify.go), and of these those by themselves that had no answer when they were
// asked last (unheard.go).
//
// A credential is in such a lane only while a revocation of it, or a question, is what
// comes next. When something else of it is due before the turn of that has come, it
// goes back.

// side says which requests of a provider a lane has.
type side uint8

const (
	ownLane     side = iota // all that are in no other: the lane is the provider's own
	revocations             // of its old tokens
	questions               // whether it honours its tokens
	unheard                 // such questions of credentials whose last one had no answer
)

// asks says that a lane is one of questions.
func (s side) asks() bool { return s == questions || s == unheard }

// sides say what there is to be said of each: how the lane's name begins, before the
// provider's, and what the provider is found not to do while its breaker is open.
var sides = [...]struct{ prefix, doesNot string }{
	ownLane:     {"", "does not answer"},
	revocations: {"revocations of ", "takes no revocations"},
	questions:   {"questions to ", "does not answer whether its tokens are honoured"},
	unheard:     {"unanswered questions to ", "does not answer of some of its tokens whether they are honoured"},
}

// lane is the name of such a lane of a provider.
func (s side) lane(provider string) string { return sides[s].prefix + provider }

// sideOf takes such a name apart.
func sideOf(lane string) (s side, provider string) {
	for s = revocations; int(s) < len(sides); s++ {
		if provider, ok := strings.CutPrefix(lane, sides[s].prefix); ok {
			return s, provider
		}
	}
	return ownLane, lane
}

// besidePart is which part of a provider's requests in flight each lane beside its own
// may have, and one at the least.
const besidePart = 4

// base is the lane that has the limits: the provider's.
func (l *lane) base() *lane {
	if l != nil && l.of != nil {
		return l.of
	}
	return l
}

// beside puts a lane whose name says so beside that of its provider.
func (q *queue) beside(l *lane) {
	s, provider := sideOf(l.name)
	if s == ownLane {
		return
	}
	l.side, l.of = s, q.lane(provider)
	l.of.beside = append(l.of.beside, l)
	l.of.items++ // it is there for as long as this one
	l.whole = q.leaving
	l.share()
}

// share gives a lane beside its provider's its part of the limits.
func (l *lane) share() {
	n := l.of.part()
	if l.side == unheard {
		n = max(1, n/2)
	}
	if l.whole {
		n = l.of.setting.Concurrency
	}
	if cap(l.calls) != n {
		l.calls = make(chan struct{}, n)
	}
	l.setting, l.pace = l.of.setting, l.of.pace
	l.setting.Concurrency = n
}

// part is how many of a provider's requests in flight each lane beside its own may have.
func (l *lane) part() int { return max(1, l.setting.Concurrency/besidePart) }

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

// unless is when something else of an item is due that waits in a lane beside its
// provider's.
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

// unless has an item that waits beside its provider's lane leave that place at a time at
// which something else of it is due; zero: nothing is.
func (q *queue) unless(it *item, at time.Time) {
	n := nanos(at)
	if n == 0 && it.x == nil || n != 0 && n == it.ext().unless {
		return
	}
	if it.x.unless = n; n != 0 {
		heap.Push(&q.others, unless{n, it})
	}
}

// overdue takes those out of the lanes beside their providers' of which something else is due
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

// beside notes of an item that went into a lane beside its provider's where it belongs
// otherwise, and when something else of it is due.
func (l *Loop) beside(it *item, r *result) {
	if it.lane.of == nil {
		return
	}
	if r.laneBack != "" && r.laneBack != it.lane.of.name {
		it.ext().home = r.laneBack
	}
	l.q.unless(it, r.unless)
}

// homeOf is where an item belongs that is in a lane beside its provider's.
func (q *queue) homeOf(it *item) *lane {
	home := it.lane.of
	if it.x != nil && it.x.home != "" {
		home = q.lane(it.x.home)
		it.x.home = ""
	}
	return home
}

// laneBack is where a credential belongs whose old token is being revoked, or whose API
// is being asked, and when something else of it is due; zero: nothing is.
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

// waitsBeside says of an address what its revocation, or the question about its token,
// waits for.
func (l *Loop) waitsBeside(it *item, line *Line) {
	if line.Next = "its revocation"; it.lane.side.asks() {
		line.Next = "verify"
	}
	if b := &it.lane.breaker; b.open() {
		line.NextAt = b.next
		if line.Why == "" || line.State == Removing || line.State == Pending {
			line.Why = it.lane.awayWords()
		}
	}
}

// awayWords say what an address of a lane waits for whose breaker is open.
func (l *lane) awayWords() string { return l.breaker.words(l.base().name, sides[l.side].doesNot) }
