package reconcile_test

import (
	"context"
	"slices"
	"time"

	"tokend/pkg/reconcile"
)

// leavesWith is what a credential's lifecycle says of the daemon's end.
func (c simConfig) leavesWith(i int) string {
	if i < simFew && c.leaves[i] {
		return "\n    revoke_on_shutdown = true"
	}
	return ""
}

// drawStop has tokens end with the daemon from now on, or no longer; or stops it.
func (s *simRun) drawStop() {
	d, c := s.draws, s.config
	switch what := d.below("stop", "", 10); {
	case what < 3:
		i := d.below("leaves", "", simFew)
		c.leaves[i] = !c.leaves[i]
	case what < 5: // all of them at once: more than a strict guard lets go
		if d.chance("strict", "stop", 0.6) {
			c.style = 5
		}
		c.leaves = [simFew]bool{true, true, true}
	default:
		s.note("stop", "", "", 0)
		s.restart(d.longOrShort("down", "stop", 10*time.Millisecond, 3*time.Hour), d.chance("reboot", "stop", 0.2))
		return
	}
	s.declare(c, d.chance("while down", "stop", 0.1))
	s.wait(d.longOrShort("before a stop", "", 20*time.Millisecond, 2*time.Hour))
}

// mayEnd notes, before a process is told to stop, what may end with it: what the
// configuration says, and of what is held back what one before it said.
func (s *simRun) mayEnd() {
	if s.p.isDead() {
		return
	}
	held, err := s.p.loop.Held(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = map[string]bool{}
	for i := range simFew {
		addr := simCredentials[i]
		isHeld := err != nil || held != nil && slices.ContainsFunc(held.Revocations, func(a string) bool { return firstName(a) == addr })
		if r := s.record(addr); isHeld && held != nil && !r.ends.IsZero() && r.ends.Before(held.Since.Add(-30*time.Second)) {
			isHeld = false // this was let go; what is held of it since is something else
		}
		s.ending[addr] = !isHeld && s.config.leaves[i] || s.said.leaves[i]
	}
}

// shallEnd are the credentials of which nothing lives after a stop: nothing is
// wrong, and they are as they are declared, for a while.
func (s *simRun) shallEnd() []string {
	w := s.weatherNow()
	if s.p.isDead() || s.armed.Load() > 0 || w.calls > 0 || w.rivals > 0 || len(w.away) > 0 || len(w.walls) > 0 || w.diskFull || s.config.limited() {
		return nil
	}
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil || v.Held != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inForce.IsZero() || s.real().Sub(s.inForce) < time.Minute {
		return nil
	}
	var all []string
	for i := range simFew {
		for _, l := range v.Credentials {
			if addr := firstName(l.Address); addr == simCredentials[i] && l.State == reconcile.Ready && s.config.declares(i) && s.config.leaves[i] && s.types[typeOfSim(i)].traits.HasRevoke && s.record(addr).open == "" {
				all = append(all, addr)
			}
		}
	}
	return all
}

// checkEnded: what shall end with the daemon has.
func (s *simRun) checkEnded(all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, addr := range all {
		if r := s.record(addr); r.grant != nil {
			s.fail("%s is in force after a stop, with which it shall end", r.access)
		}
	}
}

// checkOrdered: nothing is given up as if a person wanted that, but by an order or
// at a stop that it ends with.
func (s *simRun) checkOrdered(addr string, old, now *simRecord) {
	for _, r := range now.retiring {
		was := slices.ContainsFunc(old.retiring, func(x simRetired) bool { return x.cause == r.cause && (x.access == r.access || x.grant == r.grant) })
		if r.cause == "revoke" && !was && !s.said.revoked[addr] && !s.ending[addr] {
			s.fail("%s is given up as if somebody had ordered that", r.access)
		}
	}
}
