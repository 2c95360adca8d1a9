package reconcile

import (
	"cmp"
	"math"
	"slices"
	"time"

	"tokend/pkg/spec"
)

// A rate limit lets only so many tokens be refreshed in a second. Where more of
// them end at about the same time than can be refreshed between their being due
// and their end, some have to begin earlier. How early is known: the limit, and
// when each token ends.

const (
	// turnMargin is how long before a token's end its refresh is to be sent: for
	// the reply, the disk and the sinks.
	turnMargin = 5 * time.Second
	// turnSlack is what requests are thought to take longer than the limit alone
	// lets them, for slow replies and tries that fail.
	turnSlack = 1.3
	// turnsEvery is how often turns are made anew, where that is cheap: of very
	// many tokens less often, at most a turnsShare-th of a core being spent on it.
	turnsEvery = 15 * time.Second
	turnsMost  = 2 * time.Minute
	turnsShare = 1000
)

// turnsAgain is when turns are made anew that took so long to be made.
func turnsAgain(took time.Duration) time.Duration {
	return min(max(turnsEvery, turnsShare*took), turnsMost)
}

// turns are the ends of all tokens of a lane, soonest first, and when the refresh
// of each has to begin; both in Unix nanoseconds.
type turns struct{ ends, begins []int64 }

// latestBegins says when the first, second, … of tokens that end at these times,
// soonest first, has to begin at the latest: margin before its end, and every
// before the one behind it.
func latestBegins(ends []int64, every, margin time.Duration) []int64 {
	begins := make([]int64, len(ends))
	next := int64(math.MaxInt64)
	for i := len(ends) - 1; i >= 0; i-- {
		next = min(next-int64(every), ends[i]-int64(margin))
		begins[i] = next
	}
	return begins
}

// turn is when the refresh of a token with this end has to begin; zero: that is
// not known, or it has none.
func (l *lane) turn(end int64) time.Time {
	i, ok := slices.BinarySearch(l.turns.ends, end)
	if !ok || end == 0 {
		return time.Time{}
	}
	return fromNanos(l.turns.begins[i])
}

// ending is a token's end, beside the item so that sorting is quick.
type ending struct {
	at int64
	it *item
}

// askLimit reads a lane's rate limit from a new configuration, before anything
// of it was looked at.
func (l *Loop) askLimit(n *lane) {
	if n.name == localLane || n.of != nil || n.asked == l.cfg || l.cfg == nil {
		return
	}
	n.asked = l.cfg
	addr := spec.Address(n.name)
	if !l.cfg.Declares(addr) {
		return // it is known by the records alone, or the defaults hold
	}
	if p, err := l.cfg.Provider(addr, spec.Scope{}); err == nil {
		n.said = true
		n.setLimit(p.RateLimit)
	}
}

// hasten makes the turns of lanes with a rate limit, and has those tokens looked
// at earlier whose turn comes before they are due.
func (l *Loop) hasten(now time.Time) {
	if now.Before(l.hastened.Add(l.hastens)) && !now.Before(l.hastened) || l.only != nil || l.farewell != nil {
		return
	}
	began := time.Now()
	defer func() { l.hastened, l.hastens = now, turnsAgain(time.Since(began)) }()
	byLane := map[*lane]*[]ending{}
	for _, n := range l.q.order {
		l.askLimit(n)
		if n.turns = (turns{}); n.of == nil && n.pace != nil && !n.breaker.open() {
			list := make([]ending, 0, n.items)
			byLane[n] = &list
		}
	}
	if len(byLane) == 0 {
		return
	}
	for _, it := range l.items {
		if it.kind != kindCredential || it.expires <= now.UnixNano() {
			continue
		}
		if list := byLane[it.lane.base()]; list != nil {
			*list = append(*list, ending{it.expires, it})
		}
	}
	for n, ends := range byLane {
		list := *ends
		slices.SortFunc(list, func(a, b ending) int { return cmp.Compare(a.at, b.at) })
		n.turns.ends = make([]int64, len(list))
		for i, e := range list {
			n.turns.ends[i] = e.at
		}
		n.turns.begins = latestBegins(n.turns.ends, time.Duration(float64(n.pace.every)*turnSlack), turnMargin)
		for i, e := range list {
			it := e.it
			if begin := max(n.turns.begins[i], now.UnixNano()); it.phase == timed && !it.early && begin < it.due && !it.x.wrong() {
				l.q.at(it, fromNanos(begin))
			} else if x := it.x; it.lane.of != nil && it.phase == ready && !it.early && (x == nil || x.unless == 0 || begin < x.unless) {
				l.q.unless(it, fromNanos(begin))
			}
		}
	}
}
