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
			end = end.Add(skew(r, at))
		}
		if err == nil && !end.After(at) && f.call.Replay {
			return at, nil
		}
		if err == nil && !end.After(at) {
			err = fmt.Errorf("the token would have ended %v before it was there%s", at.Sub(end).Round(time.Second), clockHint(r, at))
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

var errNoLifetime = errors.New("a lifetime of a second or more is required: the token would be dead on arrival")

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
// Clocks are wrong by hours, since somebody took one time zone for another; a
// Date of another year is no clock at all, and would have a token live for ever
// or die before it came.
const skewBelieved = 26 * time.Hour

// skew is how far this host's clock is ahead of the server's by the reply's Date
// header (RFC 9110 section 6.6.1). An instant that the server says is by its own
// clock: a token of five minutes from a server whose clock is an hour behind has
// not ended before it was there.
func skew(r *Reply, at time.Time) time.Duration {
	if r == nil {
		return 0
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return 0
	}
	if d := at.Sub(date); d.Abs() >= skewTaken && d.Abs() <= skewBelieved {
		return d
	}
	return 0
}

// clockHint says when the server's clock disagrees with ours.
func clockHint(r *Reply, at time.Time) string {
	if r == nil {
		return ""
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return ""
	}
	if skew := at.Sub(date); skew > 30*time.Second || skew < -30*time.Second {
		return fmt.Sprintf("; the server's clock differs from this host's by %v", skew.Abs().Round(time.Second))
	}
	return ""
}
