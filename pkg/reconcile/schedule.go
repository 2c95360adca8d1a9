package reconcile

import (
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"tokend/pkg/spec"
)

const (
	// maxSleep bounds every sleep, so that a suspend or a step of the clock
	// cannot hide an expiry: Go's timers stand still while the machine sleeps.
	maxSleep = 30 * time.Second
	// expiredBackoff caps the back-off once the token held has expired.
	expiredBackoff = 30 * time.Second
	// lockoutWait is the least wait after three refusals in a row that count
	// against an account.
	lockoutWait  = 15 * time.Minute
	lockoutCount = 3
	// lockoutRow is how long after a login that failed another one is of the same row.
	lockoutRow = 24 * time.Hour
)

// fraction is a number in [0,1) that depends on its arguments alone, so that
// the same credential on the same host is always due at the same point of its
// lifetime, and different ones are spread.
func fraction(parts ...string) float64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	x := h.Sum64()
	// FNV's low bits carry the last bytes best; fold and scramble before the
	// top 53 bits are taken.
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// lifetime is one token's, as scheduling sees it.
type lifetime struct {
	obtained, expires time.Time
	// late: the old token dies when it is refreshed, so it is refreshed as
	// late as is allowed.
	late bool
}

// due is when a token is due for a refresh: at p.At of its lifetime, less a
// jitter of up to p.Jitter of the lifetime, at the latest when p.MinRemaining
// is left, and never before a quarter of its lifetime has passed. The zero
// time means never: a token without an expiry is not refreshed by the clock.
func due(l lifetime, p spec.RefreshPolicy, spread float64) time.Time {
	if l.expires.IsZero() {
		return time.Time{}
	}
	life := l.expires.Sub(l.obtained)
	if life <= 0 {
		return l.obtained
	}
	at := p.At - p.Jitter*spread
	d := l.obtained.Add(scale(life, at))
	latest := l.expires.Add(-p.MinRemaining)
	if l.late || d.After(latest) {
		d = latest
	}
	if earliest := l.obtained.Add(life / 4); d.Before(earliest) {
		d = earliest
	}
	return d
}

// scale multiplies without overflowing for lifetimes of centuries.
func scale(d time.Duration, f float64) time.Duration {
	x := float64(d) * f
	if x >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(x)
}

// backoff is the wait after the n-th failure in a row (n from 1): full jitter
// under an exponential bound, never less than a tenth of the bound, so that a
// lucky draw is no hot loop.
func backoff(p spec.RetryPolicy, n int, spread float64) time.Duration {
	bound := float64(p.Initial) * math.Pow(2, float64(min(n-1, 40)))
	bound = math.Min(bound, float64(p.Max))
	return time.Duration(bound * (0.1 + 0.9*spread))
}

// draw is the number in [0,1) by which the n-th failure in a row is waited for, at
// whose time it is drawn: another one for each try, so that none is always early and
// none always late. What it led to is in the record, and holds after a restart.
func draw(spread float64, n int, at time.Time) float64 {
	return fraction(fmt.Sprint(spread), fmt.Sprint(n), fmt.Sprint(at.UnixNano()))
}

// How often a place is compared that is no file: nobody tells of what others do
// to it. Very many are compared less often, so that Vault is asked no more than
// a hundred times a second for it.
const (
	placeLook    = time.Minute
	placeLookGap = 10 * time.Millisecond
)

// lookAt is when an item is looked at next.
func (l *Loop) lookAt(it *item, r *result) time.Time {
	if !it.remote || it.gone {
		return r.next
	}
	every := max(placeLook, time.Duration(l.remotes)*placeLookGap)
	at := l.o.Now().Add(every*3/4 + time.Duration(fraction(it.addr, l.o.Host)*float64(every)/2))
	if !r.next.IsZero() && r.next.Before(at) {
		return r.next
	}
	return at
}
