package reconcile

import (
	"sync"
	"time"
)

// unwritable is a state that takes no intent, since its disk is full or broken: it
// is the same for every credential, so that all that are due ask it less and less
// often, and the log does not say it for each.
type unwritable struct {
	mu          sync.Mutex
	since, said time.Time
}

const (
	unwritableFirst = 2 * time.Second
	unwritableLast  = lookAgain // an expired token is replaced soon after there is room
	unwritableSaid  = time.Minute
)

// again is after how long to try next, and whether the log is to say why now.
func (r *unwritable) again(now time.Time) (wait time.Duration, say bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() || now.Before(r.since) {
		r.since, r.said = now, time.Time{}
	}
	if say = now.Sub(r.said) >= unwritableSaid; say {
		r.said = now
	}
	return min(max(now.Sub(r.since)/4, unwritableFirst), unwritableLast), say
}

// over: an intent was taken.
func (r *unwritable) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = time.Time{}
}
