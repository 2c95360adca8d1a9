package reconcile

import (
	"sync"
	"time"

	"tokend/pkg/spec"
)

// pace keeps the requests to one provider within its limit at the moment of
// sending. The lane's bucket spreads them when they are let in; but then each
// waits for its intent to reach the disk, and a commit lets go of many at once,
// so that a provider which counts any window of the limit's length would see
// more than it lets through. It is safe for concurrent use.
type pace struct {
	per time.Duration

	mu   sync.Mutex
	sent []time.Time // of the last requests; next is the oldest
	next int
}

const (
	// paceMargin is what the length of the limit is stretched by, so that a
	// request which takes a little longer on its way does not meet the next.
	paceMargin = 0.02
	// paceKept bounds how many requests are remembered; a greater limit is kept
	// over a shorter time.
	paceKept = 4096
)

// stretched is the length of a limit with the margin.
func stretched(per time.Duration) time.Duration {
	return time.Duration(float64(per) * (1 + paceMargin))
}

func newPace(r spec.RateLimit) *pace {
	parts := (r.Requests + paceKept - 1) / paceKept
	return &pace{per: stretched(r.Per) / time.Duration(parts), sent: make([]time.Time, r.Requests/parts)}
}

// reserve takes the next place and says how long after now it is.
func (p *pace) reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.sent[p.next].Add(p.per)
	if at.Before(now) {
		at = now
	}
	p.sent[p.next] = at
	p.next = (p.next + 1) % len(p.sent)
	return at.Sub(now)
}

// keepPace waits until a call may be sent. A stop does not wait: the intent is on
// record, and one call more is better than one whose outcome is not known.
func (p *performer) keepPace() {
	if p.j.pace == nil {
		return
	}
	d := p.j.pace.reserve(p.w.now())
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-p.w.stopped:
	}
}
