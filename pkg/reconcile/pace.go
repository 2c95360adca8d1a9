package reconcile

import (
	"sync"
	"time"

	"tokend/pkg/spec"
)

// pace keeps the requests to one provider within its limit, as the provider
// counts them: when they arrive, in any window of the limit's length.
//
// It does so in two places. The queue takes no more work for the provider than
// can be sent soon ([pace.until]), so that everything else waits where the most
// urgent goes first. And at the moment of sending each request waits for its
// turn ([pace.pass]): until the same distance as between all others has gone by,
// and until the request that is a whole limit ahead of it is so long ago that
// the provider cannot count both. When that one arrived is not known, but it was
// before its reply: a window begins for it with its reply. So a busy machine or
// a slow network makes requests rarer instead of bunching them up.
//
// It is safe for concurrent use.
type pace struct {
	per   time.Duration // the limit's length, with the margin
	every time.Duration // the distance between requests
	late  time.Duration // how much of that may be caught up with after a delay
	grace time.Duration // a request that has no reply for so long is taken for arrived
	turn  turn          // who is about to send, in order of coming
	ended chan struct{} // a reply has come

	mu     sync.Mutex
	ring   []passage // of the last requests
	count  uint64    // of all requests; the next takes the place count % len(ring)
	next   time.Time // when the next is sent, by the distance alone
	seated int       // taken to be worked on and not sent yet
	after  *pace     // of another limit, which everything passes now
	// reserved are those of which the state says, since when, that they are about to be sent.
	reserved map[*seat]time.Time
	// grains are what the state keeps of the first settled requests; see settle.
	grains  []sentGrain
	settled uint64
}

// passage is one request that was sent.
type passage struct {
	number uint64
	sent   time.Time
	ended  time.Time // zero: there is no reply yet
}

const (
	// paceMargin is what the length of the limit is stretched by: the provider's
	// clock may be a little faster, and a little is kept for whoever else asks it.
	paceMargin = 0.02
	// paceKept bounds how many requests are remembered; a greater limit is kept
	// over a shorter time.
	paceKept = 4096
	// paceLong is how long a request may wait, once its work is taken up, for the
	// one that is a whole limit ahead of it. Less is soon over, mostly sooner than
	// it looks, since a reply is on its way; and a row without gaps is worth more.
	paceLong = 5 * time.Second
	// paceGrace bounds, beside the limit's length, how late a request is thought
	// to arrive whose reply does not come: one that is stuck costs others that
	// much, and providers that take longer than the limit's length for a reply are
	// asked half as often as they allow.
	paceGrace = 5 * time.Second
	// paceTurn is the least time between two looks whether there is room.
	paceTurn = 10 * time.Millisecond
)

func newPace(r spec.RateLimit) *pace {
	parts := (r.Requests + paceKept - 1) / paceKept
	p := &pace{turn: make(turn, 1), ended: make(chan struct{}, 1), ring: make([]passage, r.Requests/parts)}
	p.per = time.Duration(float64(r.Per) * (1 + paceMargin) / float64(parts))
	p.every = p.per / time.Duration(len(p.ring))
	p.late, p.grace = p.per/10, min(p.per, paceGrace)
	return p
}

// seat is one job's place among those that are about to send. The job's worker
// has it, and nobody else at the same time. A nil one is of no limit.
type seat struct {
	p    *pace
	left bool
}

func (p *pace) take() *seat {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seated++
	return &seat{p: p}
}

// leave gives the place up: the job has sent its request, or never will.
func (s *seat) leave() {
	if s == nil {
		return
	}
	if s.release(); s.left {
		return
	}
	s.left = true
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.seated--
}

// until is how long no more work is to be taken up for the provider; zero: some
// can be. disk is how long a commit takes.
func (p *pace) until(now time.Time, disk time.Duration) time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := max(p.distance(now), 0) + time.Duration(p.seated)*p.every - ahead(disk)
	if size := uint64(len(p.ring)); uint64(p.seated) < size && p.count+uint64(p.seated) >= size {
		before := &p.ring[(p.count+uint64(p.seated))%size] // the request a whole limit ahead
		if wait := min(p.clear(before).Sub(now), p.per+p.grace); wait > paceLong {
			d = max(d, wait-ahead(disk))
		}
	}
	if d <= 0 {
		return 0
	}
	return max(d, paceTurn)
}

// idle says that no request is remembered that the provider may still count.
func (p *pace) idle(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == 0 {
		return p.seated == 0
	}
	last := p.ring[(p.count-1)%uint64(len(p.ring))]
	return p.seated == 0 && now.Sub(last.sent) > p.per+p.grace
}

// distance is how long the next request waits for the one before it. A clock
// that was set back makes nobody wait for longer than ever.
func (p *pace) distance(now time.Time) time.Duration {
	return min(p.next.Sub(now), p.every)
}

// try takes the next turn, if it has come; else it says how long that takes.
func (p *pace) try(now time.Time) (number uint64, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	place := &p.ring[p.count%uint64(len(p.ring))]
	if wait = p.distance(now); p.count >= uint64(len(p.ring)) {
		wait = max(wait, min(p.clear(place).Sub(now), p.per+p.grace))
	}
	if wait > 0 {
		return 0, wait
	}
	p.count++
	*place = passage{number: p.count, sent: now}
	// A little that was lost by a delay is caught up with.
	if behind := now.Add(-p.late); p.next.Before(behind) {
		p.next = behind
	} else if p.next.After(now) {
		p.next = now // the clock was set back
	}
	p.next = p.next.Add(p.every)
	return p.count, 0
}

// clear is from when on a request can be sent that the provider must not count
// together with an earlier one.
func (p *pace) clear(earlier *passage) time.Time { return p.arrived(earlier).Add(p.per) }

// arrived is when a request arrived, at the latest.
func (p *pace) arrived(r *passage) time.Time {
	if at := r.sent.Add(p.grace); r.ended.IsZero() || at.Before(r.ended) {
		return at
	}
	return r.ended
}

// pass waits until a request may be sent; false: tokend stops, and it is not to
// be sent at all. Afterwards end says that its reply is there.
func (p *pace) pass(now func() time.Time, stopped <-chan struct{}) (end func(), ok bool) {
	select {
	case p.turn <- struct{}{}:
	case <-stopped:
		return nil, false
	}
	defer p.turn.Unlock()
	for {
		if after := p.replacedBy(); after != nil {
			return after.pass(now, stopped)
		}
		number, wait := p.try(now())
		if number > 0 {
			return func() { p.end(number, now()) }, true
		}
		select {
		case <-time.After(wait):
		case <-p.ended: // perhaps the one that is waited for
		case <-stopped:
			return nil, false
		}
	}
}

// end notes when a reply came, if its request is remembered still.
func (p *pace) end(number uint64, now time.Time) {
	p.mu.Lock()
	if place := &p.ring[(number-1)%uint64(len(p.ring))]; place.number == number {
		place.ended = now
	}
	p.mu.Unlock()
	select {
	case p.ended <- struct{}{}:
	default:
	}
}
