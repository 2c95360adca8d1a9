package reconcile

import "time"

// A question that an API does not answer holds its place until its time is over. Those of
// credentials whose last question came to no reply have a lane of their own, with half of
// the places that questions have: so the others are asked in time, however many are not
// answered. Whose question is answered goes back to those.
//
// Where questions have one place, or few requests may be in flight, lanes beside their
// provider's share one place. They have it in turn: who had it for long gives others as
// long. So neither questions nor revocations that are not answered put off the rest for
// longer than one of them takes.

const (
	// silenceMost bounds what is added to the period of verify where a question had no
	// answer, and silenceTimes how many periods that may be.
	silenceMost  = time.Minute
	silenceTimes = 2
	// heardLately is how long questions that were answered say that the provider answers,
	// whatever those of others come to.
	heardLately = time.Minute
	// placeMost bounds for how long a lane gives others its place.
	placeMost = 30 * time.Second
)

// silenceWait is how much later than after its period a question is asked again, of which
// n in a row came to no reply: with full jitter, by a drawn number in [0,1).
func silenceWait(every time.Duration, n int, drawn float64) time.Duration {
	most := min(every*silenceTimes, silenceMost)
	if n == 1 {
		most = min(most, every)
	}
	return time.Duration(drawn * float64(most))
}

// answered says of a credential that the last question about its token was answered.
func (it *item) answered() bool {
	m := it.measured()
	return it.lane.side.asks() && m != nil && m.silent == "" && !m.turn.IsZero()
}

// asking are the other lanes of questions to the provider of one.
func (l *lane) asking() []*lane {
	if !l.side.asks() {
		return nil
	}
	var others []*lane
	for _, s := range l.of.beside {
		if s != l && s.side.asks() {
			others = append(others, s)
		}
	}
	return others
}

// othersAnswered says of a lane of questions that had no answer before that questions of
// others were answered of late: the provider answers, and this says nothing of it.
func (l *lane) othersAnswered(now time.Time) bool {
	if l.side != unheard || l.of.heard.IsZero() {
		return false
	}
	since := now.Sub(l.of.heard)
	return since >= 0 && since < heardLately
}

// placed is how a lane has had the place that it has in turn with others.
type placed struct {
	began  time.Time // when the last that had it began
	behind time.Time // until when others go first, where they wait
}

func (p *placed) begins(now time.Time) { p.began = now }

// ends: what had the place is over.
func (p *placed) ends(now time.Time) {
	p.behind = now.Add(between(0, now.Sub(p.began), placeMost))
}

// until is behind, which a clock that was set back does not put off.
func (p *placed) until(now time.Time) time.Time {
	if p.behind.Sub(now) > placeMost {
		p.behind = now
	}
	return p.behind
}

// before says that a lane has its turn before another with which it shares a place.
func (l *lane) before(other *lane, now time.Time) bool {
	a, b := l.place.until(now), other.place.until(now)
	if a.Equal(b) {
		return l.side < other.side
	}
	return a.Before(b)
}

// begins says that something of a lane waits which its breaker lets through.
func (l *lane) begins(now time.Time) bool {
	return len(l.waiting.items) > 0 && (!l.breaker.open() || !now.Before(l.breaker.next))
}

// yields says that a lane beside its provider's waits, since what goes before it does: a
// request under the rate limit that they share, or for the only one in flight.
// Revocations go before questions under a rate limit, as long as one more may be in flight.
func (l *lane) yields(now time.Time) bool {
	n := l.of
	if n == nil {
		return false
	}
	for _, s := range n.beside {
		if s != l && l.yieldsTo(s, now) {
			return true
		}
	}
	switch {
	case n.setting.Concurrency == 1 && n.running > 0 && !l.whole:
		return true
	case len(n.waiting.items) == 0 || n.breaker.open():
		return false
	}
	return n.pace != nil || n.setting.Concurrency == 1
}

// yieldsTo says that a lane waits for another beside the same provider's.
func (l *lane) yieldsTo(s *lane, now time.Time) bool {
	part, both := l.of.part(), l.side.asks() && s.side.asks()
	switch {
	case l.of.setting.Concurrency <= 2 && !l.whole, both && part == 1: // they have one place
		return s.running > 0 || s.begins(now) && s.before(l, now)
	case !both: // under a rate limit, revocations have what it lets through
		return l.of.pace != nil && s.side == revocations && s.begins(now) && s.running < cap(s.calls)
	case l.running+s.running >= part:
		return true
	}
	// One place is for those that had no answer, too.
	return l.side == questions && s.running == 0 && s.begins(now) && l.running >= part-1
}

// tellCrowd tells those that are asked of a lane of questions whether others wait for
// their place.
func (q *queue) tellCrowd(l *lane) {
	if l.side != questions {
		return
	}
	waits := len(l.waiting.items) > 0 && !l.breaker.open() && l.running > 0 && l.pace.until(q.clock, q.disk) == 0
	switch {
	case waits && l.crowd == nil:
		l.crowd = l.wanted.begin()
	case !waits && l.crowd != nil:
		l.crowd()
		l.crowd = nil
	}
}

// patience is how long a question whose credential was answered before, or was not asked
// yet, is waited for though others wait for its place: as long as it says something that
// there is no answer, and several times as long as answers take.
func (l *lane) patience() time.Duration {
	return between(questionShort, 4*l.base().answers.each(), questionMost)
}
