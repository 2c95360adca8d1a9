package reconcile

import (
	"context"
	"time"

	"tokend/pkg/spec"
)

// replayLeft is how long a refresh whose reply was lost may still be repeated,
// when it was first sent so long ago: not up to the very end of its API's window,
// since a request takes a while to get there. What it takes until it has a
// connection is watched (see [performer.inTime] and [performer.mayReplay]); what
// comes then, the margin is for. A window that is no longer than the margin is none.
func replayLeft(window, since time.Duration) time.Duration {
	return window - spec.ReplayMargin - since
}

// timeLeft is how long a repeated refresh may still be sent, by the clock that runs
// while the machine sleeps; none where that cannot be told. It is false for any
// other call: there, no time is to be kept.
func (p *performer) timeLeft(c *call) (time.Duration, bool) {
	if p.step.Action != ActReplay || c.before == nil {
		return 0, false
	}
	since, ok := p.w.elapsed(c.before)
	if !ok {
		return 0, true
	}
	return replayLeft(p.ob.in.Held.ReplayWindow, since), true
}

// mayReplay is asked of a repeated refresh that has its connection: the timer of
// [performer.inTime] stands still while the machine sleeps.
func (p *performer) mayReplay(c *call) bool {
	left, bounded := p.timeLeft(c)
	return !bounded || left > 0
}

// inTime is what a call is sent under: nothing stops it, but a repeated refresh is
// given up that has no connection yet when the time for it has gone by. It is false
// when that has gone by already: its intent took its time to reach the disk, it
// waited for its turn, or the machine slept.
func (p *performer) inTime(c *call) (ctx context.Context, done func(), ok bool) {
	lasting := context.WithoutCancel(p.ctx)
	left, bounded := p.timeLeft(c)
	switch {
	case !bounded:
		return lasting, func() {}, true
	case left <= 0:
		return nil, nil, false
	}
	// Cancelled, and not given a deadline: only what has no connection yet is stopped.
	ctx, cancel := context.WithCancel(lasting)
	timer := time.AfterFunc(left, cancel)
	return ctx, func() { timer.Stop(); cancel() }, true
}
