package reconcile

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

func TestDue(t *testing.T) {
	p := spec.RefreshPolicy{At: 0.66, Jitter: 0.1, MinRemaining: time.Minute}
	for name, c := range map[string]struct {
		life   time.Duration
		late   bool
		spread float64
		p      spec.RefreshPolicy
		want   time.Duration
	}{
		"an hour":                  {time.Hour, false, 0, p, 2376 * time.Second},
		"an hour, full jitter":     {time.Hour, false, 1, p, 2016 * time.Second},
		"min_remaining":            {2 * time.Minute, false, 0, p, time.Minute},
		"never before a quarter":   {time.Minute, false, 0, p, 15 * time.Second},
		"seconds":                  {4 * time.Second, false, 0, p, time.Second},
		"late":                     {time.Hour, true, 0, p, 59 * time.Minute},
		"at the end":               {time.Hour, false, 0, spec.RefreshPolicy{At: 1}, time.Hour},
		"a century does not wrap":  {100 * 365 * 24 * time.Hour, false, 0, p, scale(100*365*24*time.Hour, 0.66)},
		"expired when it was born": {-time.Second, false, 0, p, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := due(lifetime{obtained: t0, expires: t0.Add(c.life), late: c.late}, c.p, c.spread)
			if d := got.Sub(t0) - c.want; d.Abs() > time.Millisecond {
				t.Errorf("due %s after it was obtained, want %s", got.Sub(t0), c.want)
			}
		})
	}
	if got := due(lifetime{obtained: t0}, p, 0); !got.IsZero() {
		t.Errorf("a token without an expiry is due at %s", got)
	}
}

func TestDueProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.Int64Range(1, int64(10*365*24*time.Hour)).Draw(t, "life"))
		p := spec.RefreshPolicy{
			At: rapid.Float64Range(0, 1).Draw(t, "at"), Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
			MinRemaining: time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "min")),
		}
		l := lifetime{obtained: t0, expires: t0.Add(life), late: rapid.Bool().Draw(t, "late")}
		d := due(l, p, rapid.Float64Range(0, 1).Draw(t, "spread"))
		if d.Before(t0.Add(life/4)) || d.After(l.expires.Add(time.Microsecond)) {
			t.Fatalf("a token of %s is due after %s", life, d.Sub(t0))
		}
	})
}

func TestSpreadIsEvenAndStable(t *testing.T) {
	const n = 10000
	var buckets [10]int
	for i := range n {
		f := fraction(fmt.Sprintf("credential.coinify.trader[%d]", i), "host-1")
		if f < 0 || f >= 1 {
			t.Fatalf("fraction %v", f)
		}
		buckets[int(f*10)]++
	}
	for i, b := range buckets {
		if b < n/10-n/50 || b > n/10+n/50 {
			t.Errorf("%d of %d addresses fall into tenth %d", b, n, i)
		}
	}
	if fraction("a", "h") != fraction("a", "h") || fraction("a", "h") == fraction("a", "i") {
		t.Error("the spread is not one for each address and host")
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	p := spec.RetryPolicy{Initial: time.Second, Max: 5 * time.Minute}
	for n := 1; n < 200; n++ {
		for _, spread := range []float64{0, 0.5, 0.999999} {
			if d := backoff(p, n, spread); d < 100*time.Millisecond || d > 5*time.Minute {
				t.Fatalf("back-off %d is %s", n, d)
			}
		}
	}
	if a, b := backoff(p, 3, 0.5), backoff(p, 4, 0.5); b <= a {
		t.Errorf("back-off does not grow: %s, %s", a, b)
	}
}

// The waits of one credential, and those of one try of many, are spread evenly from a
// tenth of the bound to the whole of it: they are drawn for each try anew.
func TestTheBackoffIsDrawnForEachTry(t *testing.T) {
	p := spec.RetryPolicy{Initial: 4 * time.Second, Max: 4 * time.Minute}
	const rows = 2000
	var tries [8][10]int
	var own [10]int // of one address, over all its rows
	for i := range rows {
		for _, one := range []bool{true, false} {
			addr := "credential.coinify.trader"
			if !one {
				addr = fmt.Sprintf("credential.coinify.trader[%d]", i)
			}
			now := t0
			if one {
				now = t0.Add(time.Duration(i) * time.Hour)
			}
			var f *state.Failure
			for n := range len(tries) {
				f = nextFailure(f, outcome{op: opRefresh}, now, p, fraction(addr, "host"), false)
				bound := min(p.Initial<<n, p.Max)
				share := (float64(f.NextAt.Sub(now))/float64(bound) - 0.1) / 0.9
				if share < 0 || share >= 1 {
					t.Fatalf("try %d waits %s of %s", n+1, f.NextAt.Sub(now), bound)
				}
				if one {
					own[int(share*10)]++
				} else {
					tries[n][int(share*10)]++
				}
				now = f.NextAt
			}
		}
	}
	for n, buckets := range tries {
		for i, b := range buckets {
			if b < rows/10*7/10 || b > rows/10*13/10 {
				t.Errorf("%d of %d waits after failure %d fall into tenth %d", b, rows, n+1, i)
			}
		}
	}
	for i, b := range own {
		if all := rows * len(tries); b < all/10*9/10 || b > all/10*11/10 {
			t.Errorf("%d of %d waits of one credential fall into tenth %d", b, all, i)
		}
	}
}

func TestNextFailure(t *testing.T) {
	p := spec.RetryPolicy{Initial: time.Second, Max: 5 * time.Minute}
	var f *state.Failure
	for range 12 {
		f = nextFailure(f, outcome{op: opGrant, class: "unknown", reached: true}, t0, p, 0.9, false)
	}
	if f.Count != 12 || f.Reached != 12 || !f.FirstAt.Equal(t0) {
		t.Errorf("count %d, reached %d", f.Count, f.Reached)
	}
	if d := nextFailure(f, outcome{op: opGrant}, t0, p, 0.9, true).NextAt.Sub(t0); d > 30*time.Second {
		t.Errorf("with an expired token in the sinks it waits %s", d)
	}
	if d := nextFailure(f, outcome{op: opGrant, retryAfter: time.Hour}, t0, p, 0.9, true).NextAt.Sub(t0); d != time.Hour {
		t.Errorf("Retry-After is not kept: %s", d)
	}
	lock := nextFailure(&state.Failure{Op: opGrant, Reached: 2, Count: 2}, outcome{op: opGrant, reached: true, lockout: true}, t0, p, 0, true)
	if d := lock.NextAt.Sub(t0); d < 15*time.Minute {
		t.Errorf("after three refusals an account is tried again after %s", d)
	}
	if g := nextFailure(f, outcome{op: opRefresh}, t0, p, 0, false); g.Count != 1 {
		t.Errorf("another operation's failures are counted together: %d", g.Count)
	}
}
