package login

import (
	"errors"
	"time"

	"tokend/pkg/providers"
)

const (
	// pollFloor keeps a server that names no interval to speak of from being asked
	// all the time.
	pollFloor = time.Second
	// slowDown is what an interval grows by when the server asks for that (RFC 8628
	// section 3.5).
	slowDown = 5 * time.Second
	// pollCeiling bounds what failures on the way make of an interval.
	pollCeiling = time.Minute
)

// Poll is when a device code is asked about (RFC 8628 section 3.5). The zero value
// asks as often as the standard has it where the server says nothing.
type Poll struct {
	interval time.Duration // between two answers
	asked    time.Duration // for by the last answer: the interval, or longer
	failures int           // on the way, in a row
}

// NewPoll begins with the interval that the server asked for.
func NewPoll(interval time.Duration) *Poll {
	return &Poll{interval: max(interval, pollFloor), asked: max(interval, pollFloor)}
}

// Interval is how long is waited between two answers, by now.
func (p *Poll) Interval() time.Duration { return p.interval }

// Least is the least wait that the server allows before the next question.
func (p *Poll) Least() time.Duration { return p.asked }

// After says how long to wait after a question that brought no token, or that err
// ends the login.
//
// "Not yet" waits the interval, and slow_down makes it five seconds longer for
// good. A failure on the way (nothing reached the server, or no answer came) doubles
// the wait each time, up to a minute and never below the interval, until there is an
// answer again. A server that asks for time with Retry-After gets it. Everything
// else is an answer: refused, expired, not understood.
func (p *Poll) After(err error) (wait time.Duration, goesOn bool) {
	var pe *providers.Error
	if !errors.As(err, &pe) {
		return 0, false
	}
	switch {
	case pe.Code == providers.CodeSlowDown:
		p.interval += slowDown
		p.failures = 0
	case pe.Waits():
		p.failures = 0
	case pe.Class == providers.ClassTransient, pe.Class == providers.ClassThrottled, pe.Class == providers.ClassUnknown:
		p.failures = min(p.failures+1, 10)
		p.asked = max(p.interval, pe.RetryAfter)
		return max(p.asked, min(p.interval<<p.failures, pollCeiling)), true
	default:
		return 0, false
	}
	p.asked = max(p.interval, pe.RetryAfter)
	return p.asked, true
}
