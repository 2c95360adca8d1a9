package gitsource

import (
	"math/rand/v2"
	"time"
)

const (
	// maxBackoff is the longest wait after looks that failed, unless the
	// interval is longer.
	maxBackoff = 10 * time.Minute
	minWait    = time.Second
)

// wait is how long to wait before the next look. Many hosts follow one
// repository: an interval is spread by a tenth, and after a failure any time up
// to a bound that doubles is as good as another (full jitter), so that a server
// that comes back is not run over.
func (s *Source) wait() time.Duration {
	return pace(s.o.Interval, s.failed, rand.Float64())
}

func pace(interval time.Duration, failed int, at float64) time.Duration {
	if failed == 0 {
		return time.Duration(float64(interval) * (0.9 + 0.2*at))
	}
	bound := interval
	for i := 0; i < failed && bound < max(maxBackoff, interval); i++ {
		bound *= 2
	}
	return max(minWait, time.Duration(at*float64(min(bound, max(maxBackoff, interval)))))
}
