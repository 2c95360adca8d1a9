package reconcile

import (
	"context"
	"time"

	"tokend/pkg/spec"
)

// replayLeft is how long a refresh whose reply was lost may still be repeated,
// when it was first sent so long ago: not up to the very end of its API's window,
// since a request takes a while to get there. What it takes until it has a
// connection is watched (see [performer.inTime]); what comes then, the margin is
// for. A window that is no longer than the margin is none.
func replayLeft(window, since time.Duration) time.Duration {
	return window - spec.ReplayMargin - since
}

// inTime is what a call is sent under: nothing stops it, but a repeated refresh is
// given up that has no connection yet when the time for it has gone by. It is false
// when that has gone by already: its intent took its time to reach the disk, it
// waited for its turn, or the machine slept.
func (p *performer) inTime(c *call) (ctx context.Context, done func(), ok bool) {
	lasting := context.WithoutCancel(p.ctx)
	if p.step.Action != ActReplay || c.before == nil {
		return lasting, func() {}, true
	}
	since, ok := p.w.elapsed(c.before)
	left := replayLeft(p.ob.in.Held.ReplayWindow, since)
	if !ok || left <= 0 {
		return nil, nil, false
	}
	// Cancelled, and not given a deadline: only what has no connection yet is stopped.
	ctx, cancel := context.WithCancel(lasting)
	timer := time.AfterFunc(left, cancel)
	return ctx, func() { timer.Stop(); cancel() }, true
}
