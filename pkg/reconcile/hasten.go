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
	// turnsEvery is how often turns are made anew.
	turnsEvery = 15 * time.Second
)

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

// askLimit reads a lane's rate limit from a new configuration, before anything
// of it was looked at.
func (l *Loop) askLimit(n *lane) {
	if n.name == localLane || n.asked == l.cfg || l.cfg == nil {
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
	if now.Before(l.hastened.Add(turnsEvery)) && !now.Before(l.hastened) || l.only != nil || l.farewell != nil {
		return
	}
	l.hastened = now
	byLane := map[*lane][]*item{}
	for _, n := range l.q.order {
		l.askLimit(n)
		if n.turns = (turns{}); n.pace != nil && !n.breaker.open() {
			byLane[n] = nil
		}
	}
	if len(byLane) == 0 {
		return
	}
	for _, it := range l.items {
		if list, ok := byLane[it.lane]; ok && it.kind == kindCredential && it.expires > now.UnixNano() {
			byLane[it.lane] = append(list, it)
		}
	}
	for n, list := range byLane {
		slices.SortFunc(list, func(a, b *item) int { return cmp.Compare(a.expires, b.expires) })
		n.turns.ends = make([]int64, len(list))
		for i, it := range list {
			n.turns.ends[i] = it.expires
		}
		n.turns.begins = latestBegins(n.turns.ends, time.Duration(float64(n.pace.every)*turnSlack), turnMargin)
		for i, it := range list {
			if begin := max(n.turns.begins[i], now.UnixNano()); it.phase == timed && !it.early && begin < it.due && (it.x == nil || it.x.standing == nil) {
				l.q.at(it, fromNanos(begin))
			}
		}
	}
}
