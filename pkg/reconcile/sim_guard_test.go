package reconcile_test

import (
	"strings"
	"time"
)

// simGivenUp is a credential that was given up.
type simGivenUp struct {
	at    time.Time
	steps int // that the guard counts for it: its sink is one more
}

// checkGuard: no more is given up within an hour than the guard allows, which is a
// credential with its sink.
func (s *simRun) checkGuard(addr string) {
	real := s.real()
	if s.config.style != 5 || s.strictSince.IsZero() || real.Sub(s.strictSince) < time.Minute || s.approved[addr] {
		delete(s.approved, addr)
		return
	}
	now := simGivenUp{real, 1}
	if s.isInAPlace(addr) {
		now.steps++
	}
	for _, g := range s.begun {
		if real.Sub(g.at) < 59*time.Minute && g.at.Sub(s.skewedAt) > time.Hour && real.Sub(s.skewedAt) > time.Hour && g.steps+now.steps > 2 {
			s.fail("%s is given up, the second within the hour, though the guard allows one", addr)
		}
	}
	s.begun = append(s.begun, now)
}

// isInAPlace reports whether a sink is recorded to hold a token of a credential.
func (s *simRun) isInAPlace(addr string) bool {
	for _, content := range s.contents {
		for _, t := range strings.Fields(content) {
			if a := s.books.access[t]; a != nil && a.grant.addr == addr {
				return true
			}
		}
	}
	return false
}
