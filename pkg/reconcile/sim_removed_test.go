package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// simSaid is what some configuration of a run has said, or a person has ordered, at
// any time before the configuration in force.
type simSaid struct {
	forgets [len(simCredentials)]bool // that it is left alone when it is removed
	leaves  [len(simCredentials)]bool // that it ends with the daemon
	revoked map[string]bool           // ordered
}

// also takes a configuration in that was in force, or is from now on.
func (x *simSaid) also(c simConfig) {
	for i := range x.forgets {
		x.forgets[i] = x.forgets[i] || c.style == 4 && c.declares(i) || c.spares(i)
		x.leaves[i] = x.leaves[i] || i < simFew && c.declares(i) && c.leaves[i]
	}
}

// spares says that a removed block names a credential.
func (c simConfig) spares(i int) bool { return i < simFew && c.forgets[i] && !c.declares(i) }

func (c simConfig) removedBlocks(b *strings.Builder) {
	for i := range c.forgets {
		if c.spares(i) {
			fmt.Fprintf(b, "removed { from = %s }\n", c.nameOf(simCredentials[i]))
		}
	}
}

// drawRemoved has a removed block take a credential's place, takes that out, or has
// the credential back; the removal may be under way.
func (s *simRun) drawRemoved() {
	d, c := s.draws, s.config
	i := d.below("removed", "", simFew)
	switch {
	case c.spares(i) && d.chance("taken out", "removed", 0.4):
		c.forgets[i] = false
	case !c.declares(i) && d.chance("back", "removed", 0.7):
		c.declared[i] = 1 + d.below("to what", "removed", 2)
	default:
		c.declared[i], c.forgets[i] = 0, true
	}
	if d.chance("dies", "removed", 0.2) {
		s.armed.Store(int64(1 + d.below("dies after", "removed", 12)))
	}
	s.declare(c, d.chance("while down", "removed", 0.2))
	s.wait(d.longOrShort("then", "removed", time.Second, 5*time.Minute))
}

// blockForgets says that a removed block names a credential, or did a moment ago.
func (s *simRun) blockForgets(addr string) bool {
	i := slices.Index(simCredentials[:], addr)
	return slices.ContainsFunc(s.saidOfLate(), func(c simConfig) bool { return c.spares(i) })
}

// sparedBy notes that a removal begins by a removed block: what it was of is left
// alone, whatever becomes of the block. The block has to name it by the name that it
// has: a full disk may never have let tokend carry out the change that gave it another.
func (s *simRun) sparedBy(name string, old *simRecord) {
	i := slices.Index(simCredentials[:], firstName(name))
	spares := func(c simConfig) bool { return c.spares(i) && c.nameOf(simCredentials[i]) == name }
	if old.removing.IsZero() && old.grant != nil && !slices.ContainsFunc(s.saidOfLate(), func(c simConfig) bool { return !spares(c) }) {
		old.grant.spared = true
	}
}

// checkSpared: nothing is left alone that nobody wants to be; what is declared again
// is not left alone any more.
func (s *simRun) checkSpared(addr string, old, now *simRecord) {
	if now.removing.IsZero() && now.grant != nil {
		now.grant.spared = false
		if old.grant != nil {
			old.grant.spared = false // it was replaced
		}
	}
	forgets := func(r *simRecord) bool { return r.lifecycle.OnRemove == "forget" }
	said := s.said
	said.also(s.config)
	if i := slices.Index(simCredentials[:], addr); forgets(now) && !forgets(old) && !said.forgets[i] {
		s.fail("%s is to be left alone when it is removed, and nobody said so", addr)
	}
}
