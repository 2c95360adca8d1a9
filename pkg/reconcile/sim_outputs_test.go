package reconcile_test

import (
	"fmt"
	"strings"
	"time"

	"tokend/pkg/reconcile"
)

// richGrantName is the grant whose tokens come with a number.
const richGrantName = "rich"

// How a sink names that number: so that it can do without, or not.
const (
	richToo  = 1
	richOnly = 2
)

// richGrant is that grant, beside the one that a type has.
func richGrant(grant string) string {
	_, body, _ := strings.Cut(strings.TrimSuffix(grant, "}"), "{")
	return "\n  grant \"" + richGrantName + "\" {" + body + `  response {
      access_token  = body.access_token
      refresh_token = body.refresh_token
      expires_in    = body.expires_in
      outputs       = { number = body.number }
    }
  }`
}

// richness is how a credential is rich. One that an import block is for has the
// grant of what that brings.
func (c simConfig) richness(i int) int {
	if i >= simFew || c.imports == i && i > 0 {
		return 0
	}
	return c.rich[i]
}

// grantOf names the grant of a credential whose type has two.
func (c simConfig) grantOf(i int) string {
	name := "password"
	switch {
	case typeOfSim(i) == "fixed":
		return ""
	case c.richness(i) > 0:
		name = richGrantName
	case typeOfSim(i) == "person":
		name = "code"
	}
	return fmt.Sprintf("grant = %q\n  ", name)
}

// contentOf is what a sink says of a credential.
func (c simConfig) contentOf(i int) string {
	addr := c.nameOf(simCredentials[i])
	switch c.richness(i) {
	case richToo:
		return fmt.Sprintf("${join(\" \", compact([%[1]s.access_token, %[1]s.number]))}", addr)
	case richOnly:
		return fmt.Sprintf("${%[1]s.access_token} ${%[1]s.number}", addr)
	}
	return fmt.Sprintf("${%s.access_token}", addr)
}

// number has a token come with a number, or keep the one before it: some APIs tell
// it at a login, and never again.
func (b *simBooks) number(g *simGrant, a *simAccess, reply *simReply) {
	n := len(g.access)
	if n > 0 {
		a.number = g.access[n-1].number
	}
	if g.rich && (n == 0 || !g.typ.quiet) {
		a.number = fmt.Sprintf("no%d.%d", g.id, n+1)
		reply.Number = a.number
	}
}

// checkNumber: what a place holds is of one token, never of two.
func (s *simRun) checkNumber(place string, a *simAccess, number string) {
	if a == nil || a.number != number {
		s.fail("%s is given %s with a token that it is not of", place, number)
	}
}

// contentNow is what a sink says of the token in force.
func (s *simRun) contentNow(i int) string {
	token := s.record(simCredentials[i]).access
	if a := s.books.access[token]; a != nil && s.config.richness(i) > 0 && a.number != "" {
		return token + " " + a.number
	}
	return token
}

// drawOutputs has a credential obtained by the other grant, and its sink name what
// that has, or no longer; in all other respects it goes on. While the other grant is
// not there yet the place holds a token that works.
func (s *simRun) drawOutputs() {
	d, c := s.draws, s.config
	i := d.below("rich", "", simFew)
	c.declared[i] = max(c.declared[i], 1)
	if c.rich[i] = 0; s.config.rich[i] == 0 || d.chance("rich otherwise", "", 0.3) {
		c.rich[i] = one(d, "how rich", "", richToo, richToo, richOnly)
	}
	if d.chance("another style", "rich", 0.25) {
		c.style = one(d, "style", "rich", 0, 1, 2, 5, 6, 8)
	}
	s.declare(c, d.chance("while down", "rich", 0.15))
	s.wait(d.longOrShort("then", "rich", time.Second, 4*time.Hour))
	if !s.failed() {
		s.checkGoesOn(i)
	}
}

// checkGoesOn: a place does not keep an expired token while a newer one is in force
// that could have been given to it.
func (s *simRun) checkGoesOn(i int) {
	w := s.weatherNow()
	if s.p.isDead() || w.placesAway || w.slowPlaces || w.places > 0 || w.diskFull {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.config
	if s.skewed || c.richness(i) != richToo || !c.declares(i) || s.inForce.IsZero() || s.real().Sub(s.inForce) < 30*time.Minute || s.real().Before(s.slowUntil) {
		return
	}
	a := s.books.access[s.record(simCredentials[i]).access]
	place := letterOfSim(i)
	if _, _, _, layout := c.shape(); a == nil || !a.lives(s.real()) || layout == 1 {
		return
	}
	for _, t := range strings.Fields(s.place(place).content) {
		if x := s.books.access[t]; x != nil && x != a && s.real().Sub(x.expires) > 10*time.Minute && a.grant == x.grant {
			s.fail("%s holds %s, which expired %s ago, and %s is in force", place, t, s.real().Sub(x.expires), a.token)
		}
	}
}

// waitsForPrevented is the credential of whose replacement, that prevent_destroy
// holds back, a sink names what no other grant has; "" where it waits for none.
func waitsForPrevented(l reconcile.Line, prevented map[string]bool) string {
	if l.State != reconcile.Waiting && l.State != reconcile.Held || !strings.Contains(l.Why, "comes with the new token of") {
		return ""
	}
	for addr := range prevented {
		if strings.Contains(l.Why, strings.TrimPrefix(addr, "credential.")) {
			return addr
		}
	}
	return ""
}

// leftToHeirs are the places of removed sinks that wait for those that have them now
// and that wait themselves for what prevent_destroy holds back. What was written there
// last stays there until then. Any other sink would be removed by now.
func (s *simRun) leftToHeirs(removing []reconcile.Line, heirs map[string]bool) map[string]bool {
	left := map[string]bool{}
	for _, l := range removing {
		place := ""
		for p := range s.config.places() {
			if heir := s.config.sinkAt(p); heirs[heir] && strings.Contains(l.Why, "until "+heir+", which has it now,") {
				place = p
			}
		}
		if left[place] = place != ""; place == "" {
			s.fail("%s is %s, although nothing fails any more: %s", l.Address, l.State, l.Why)
		} else if holds := s.place(place).content; holds != s.contents[l.Address] {
			s.fail("%s holds %q, and %s, which has it still, wrote %q there", place, holds, l.Address, s.contents[l.Address])
		}
	}
	return left
}
