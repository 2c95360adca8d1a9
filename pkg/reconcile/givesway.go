package reconcile

import (
	"context"
	"sync"
	"time"
)

// Where a provider takes one request at a time, a revocation or a question that is not
// answered would keep all else of it waiting. By neither is anything lost when its reply
// is not waited for, so they give way, and the provider still has one request at a time.

// revocationShort is how long a revocation has the only request in flight to itself, and
// is waited for though something else has to be done.
const revocationShort = 5 * time.Second

// wanted says whether anybody waits for one of a lane's requests in flight, revocations
// and questions not counted. It is safe for concurrent use; the zero value says no.
type wanted struct {
	mu   sync.Mutex
	n    int           // who wait
	told chan struct{} // closed while anybody does
}

// begin counts one that waits, until it calls end.
func (w *wanted) begin() (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n++; w.n == 1 {
		if w.told == nil {
			w.told = make(chan struct{})
		}
		close(w.told)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.n--; w.n == 0 {
			w.told = nil
		}
	}
}

// by is closed as soon as anybody waits.
func (w *wanted) by() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil {
		w.told = make(chan struct{})
	}
	return w.told
}

// takeSlot makes a job one of its lane's requests in flight; false: it has stopped.
func (j *job) takeSlot(stopped <-chan struct{}) bool {
	select {
	case j.calls <- struct{}{}:
		return true
	default:
	}
	if j.shared == nil {
		defer j.lane.wanted.begin()()
	}
	select {
	case j.calls <- struct{}{}:
		return true
	case <-stopped:
		return false
	}
}

// givesWay is ctx, but ends where the job, a revocation or a question that has its slot,
// keeps the only request in flight from something else for longer than it may.
func (j *job) givesWay(ctx context.Context, may time.Duration) (context.Context, context.CancelFunc) {
	if j.shared == nil || cap(j.shared) > 1 {
		return ctx, func() {}
	}
	return givesWayTo(ctx, &j.lane.base().wanted, may)
}

// leavesPlace is ctx, but ends where the job, a question, keeps one whose credential was
// not asked yet, or was answered last, waiting for long. A credential that had no answer is
// among its likes, and has the whole time.
func (j *job) leavesPlace(ctx context.Context) (context.Context, context.CancelFunc) {
	if j.lane.side != questions {
		return ctx, func() {}
	}
	return givesWayTo(ctx, &j.lane.wanted, j.lane.patience())
}

// givesWayTo is ctx, but ends as soon as it has lasted for so long and anybody waits.
func givesWayTo(ctx context.Context, w *wanted, may time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-time.After(may):
		case <-ctx.Done():
			return
		}
		select {
		case <-w.by():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// asking are the questions that are being asked, by whose token they are about. It is
// safe for concurrent use.
type asking struct {
	mu   sync.Mutex
	drop map[string]func()
}

// begin notes one, and how to drop it, until it calls end.
func (a *asking) begin(addr string, drop func()) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.drop == nil {
		a.drop = map[string]func(){}
	}
	a.drop[addr] = drop
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.drop, addr)
	}
}

// dropped ends the question about one token, if there is one.
func (a *asking) dropped(addr string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if drop := a.drop[addr]; drop != nil {
		drop()
	}
}
