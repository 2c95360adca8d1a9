package providers

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"strconv"
	"time"
)

// maxLifetimeSeconds is a hundred years. Longer lifetimes mean "for ever" and
// are cut to this.
const maxLifetimeSeconds = 100 * 365 * 24 * 3600

// expiry reads when the token ends: expires_at before expires_in before the
// default lifetime. A token that has ended is refused, but where a refresh is
// repeated: its reply is that of the call before, and what counts is the refresh
// token in it.
func (e *Endpoint) expiry(f *frame, r *Reply, p *responseProgram, at time.Time) (time.Time, error) {
	v, err := p.expiresAt.eval(f)
	if err != nil {
		return time.Time{}, e.unreadable(f, r, p.expiresAt.String(), err)
	}
	if !v.isNull() {
		end, err := parseInstant(v)
		if err == nil {
			end = byOurClock(end, r, at)
		}
		if err == nil && !end.After(at) && f.call.Replay {
			return at, nil
		}
		if err == nil && !end.After(at) {
			err = fmt.Errorf("%s: it had ended %v before that%s", DeadOnArrival, at.Sub(end).Round(time.Second), clockHint(r, at))
		}
		if err != nil {
			return time.Time{}, e.unreadable(f, r, p.expiresAt.String(), err)
		}
		return end, nil
	}
	if v, err = p.expiresIn.eval(f); err != nil {
		return time.Time{}, e.unreadable(f, r, p.expiresIn.String(), err)
	}
	if !v.isNull() {
		d, err := parseSeconds(v)
		if errors.Is(err, errNoLifetime) && f.call.Replay {
			return at, nil
		}
		if err != nil {
			return time.Time{}, e.unreadable(f, r, p.expiresIn.String(), err)
		}
		return at.Add(d), nil
	}
	lifetime := f.call.DefaultLifetime
	if lifetime <= 0 {
		lifetime = e.defaultLifetime
	}
	if lifetime <= 0 {
		return time.Time{}, nil
	}
	return at.Add(lifetime), nil
}

// DeadOnArrival stands in the message of the error for a reply whose token has ended.
const DeadOnArrival = "the API gave a token that had ended by then"

var errNoLifetime = errors.New(DeadOnArrival + ": a lifetime of a second or more is required")

// parseSeconds reads expires_in: a number, or a string of digits.
func parseSeconds(v value) (time.Duration, error) {
	if v.kind != kindNumber && v.kind != kindString {
		return 0, errors.New("a number of seconds is required")
	}
	if n, err := strconv.ParseInt(v.text, 10, 64); err == nil && n > 0 {
		return time.Duration(min(n, maxLifetimeSeconds)) * time.Second, nil
	}
	n, ok := parseNumber(v.text)
	if !ok {
		return 0, errors.New("a number of seconds is required")
	}
	if n.Cmp(big.NewFloat(1)) < 0 {
		return 0, errNoLifetime
	}
	if n.Cmp(big.NewFloat(maxLifetimeSeconds)) > 0 {
		return maxLifetimeSeconds * time.Second, nil
	}
	secs, _ := n.Float64()
	return time.Duration(math.Floor(secs*1000)) * time.Millisecond, nil
}

// wholeSeconds reads a number, a fraction cut off.
func wholeSeconds(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, ok := parseNumber(s)
	if !ok {
		return 0, false
	}
	n, _ := f.Int64()
	return n, true
}

// parseInstant reads expires_at: Unix seconds or RFC 3339.
func parseInstant(v value) (time.Time, error) {
	if v.kind != kindNumber && v.kind != kindString {
		return time.Time{}, errors.New("a time in Unix seconds or RFC 3339 is required")
	}
	if secs, ok := wholeSeconds(v.text); ok {
		if secs > math.MaxInt32*16 {
			return time.Time{}, errors.New("the time is a thousand years away: are these milliseconds?")
		}
		return time.Unix(secs, 0).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, v.text)
	if err != nil {
		return time.Time{}, errors.New("a time in Unix seconds or RFC 3339 is required")
	}
	return t.UTC(), nil
}

// skewTaken is the difference of clocks from which on it is taken off: Date has
// whole seconds, and a reply its time on the way.
const skewTaken = 5 * time.Second

// skewBelieved is the greatest difference of clocks that a Date is believed for.
// Clocks are wrong by hours, since somebody took one time zone for another.
const skewBelieved = 26 * time.Hour

// skewedLifetime is the longest lifetime that a greater difference is believed for
// where by this host's clock the token has ended already: a Date of 1970 beside an
// instant of this year is no clock.
const skewedLifetime = 366 * 24 * time.Hour

// byOurClock is when a token ends by this host's clock that the server says ends at
// an instant of its own clock, which the reply's Date header tells (RFC 9110 section
// 6.6.1): a token of five minutes from a server whose clock is an hour behind has not
// ended before it was there.
//
// Where Date is off by more than clocks are, either the server's clock is off by days,
// and the lifetime is what lies between the two, or Date is no clock at all (a cache
// kept it, a machine has no battery) and the instant is right. It is not known which:
// of the two ends that have not gone by, the earlier is taken, since a token that is
// refreshed too early costs a request, and one too late is dead in its sinks.
func byOurClock(end time.Time, r *Reply, at time.Time) time.Time {
	date, ok := dateOf(r)
	if !ok {
		return end
	}
	switch d := at.Sub(date); {
	case d.Abs() < skewTaken:
		return end
	case d.Abs() <= skewBelieved:
		return end.Add(d)
	}
	life := end.Sub(date)
	switch {
	case life <= 0:
		return end
	case end.After(at):
		return earlier(end, at.Add(life))
	case life <= skewedLifetime:
		return at.Add(life)
	}
	return end
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// dateOf is the server's clock, as a reply tells it.
func dateOf(r *Reply) (time.Time, bool) {
	if r == nil {
		return time.Time{}, false
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	return date, err == nil
}

// clockHint says when the server's clock disagrees with ours.
func clockHint(r *Reply, at time.Time) string {
	date, ok := dateOf(r)
	if !ok {
		return ""
	}
	if skew := at.Sub(date); skew.Abs() > 30*time.Second {
		return fmt.Sprintf("; the server's clock differs from this host's by %v", skew.Abs().Round(time.Second))
	}
	return ""
}
