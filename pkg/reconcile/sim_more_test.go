package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// Some runs have more in them than the few credentials that every run has. What
// is drawn for that is drawn apart, so that the others stay as they were.

func (c simConfig) account(i int) string { return fmt.Sprintf("%s%d", letterOfSim(i), c.declared[i]) }

// drawMore draws whether there is more, and what of it is declared at first.
func (s *simRun) drawMore() {
	for _, account := range []string{"f1", "f2"} {
		s.rekey(account)
	}
	if s.more = s.draws.chance("extra", "", 0.4); !s.more {
		return
	}
	for i := simFew; i < len(simCredentials); i++ {
		s.config.declared[i] = s.draws.below("declared at first", simCredentials[i], 3)
	}
}

// happensMore draws what happens to what only some runs have.
func (s *simRun) happensMore() {
	d := s.draws
	i := simFew + d.below("which of more", "", len(simCredentials)-simFew)
	switch what := d.below("what of more", "", 100); {
	case what < 15:
		s.outage()
	case what < 25:
		s.bring()
	case what < 50:
		c := s.config
		c.declared[i] = d.below("to what", simCredentials[i], 3)
		s.declare(c, d.chance("while down", "of more", 0.15))
	case what < 68:
		s.orderFor(simCredentials[i])
	case what < 82:
		s.repasswordOf(one(d, "account of more", "", "d1", "d2", "e1", "e2"))
	default:
		account := one(d, "key", "", "f1", "f2")
		s.mu.Lock()
		s.rekey(account)
		s.mu.Unlock()
		s.note("key", account, s.passwords[account], 0)
		_ = s.p.loop.Touched(context.Background(), nil, true)
	}
}

// outage has an API answer nobody while several of its credentials ask it. Once it
// is back, all of them go on soon.
func (s *simRun) outage() {
	d, c := s.draws, s.config
	asking := [...]int{0, 3, 4}
	for _, i := range asking {
		c.declared[i] = max(c.declared[i], 1)
	}
	if c != s.config {
		s.declare(c, false)
		s.wait(d.longOrShort("before an outage", "", time.Second, 10*time.Minute))
	}
	s.note("outage", "", "", 0)
	s.becomes(&weather{away: map[string]bool{"https://one.example": true, "https://two.example": true}})
	for _, i := range asking {
		s.orderOf(simCredentials[i], reconcile.Order{Kind: reconcile.OrderRefresh})
	}
	s.wait(d.longOrShort("an outage", "", 5*time.Second, 3*time.Hour))
	s.note("outage", "ends", "", 0)
	s.becomes(&weather{})
	s.wait(45 * time.Second)
	if s.failed() || s.p.isDead() {
		return
	}
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil {
		return
	}
	for _, l := range v.Credentials {
		if strings.Contains(l.Why, "does not answer") {
			s.fail("%s still waits for its API, which is back: %s", l.Address, l.Why)
		}
	}
}

// broughtTo is the secret with the refresh token that somebody got elsewhere for
// an account.
func broughtTo(account string) string { return "brought " + account }

// bring has somebody log in elsewhere, and an import block name what that brought;
// or takes the block out. Where a login ends what came before there is but one of
// them, so that nobody logs in there.
func (s *simRun) bring() {
	d, c := s.draws, s.config
	i := one(d, "brought to", "", 2, 3)
	t := s.types[typeOfSim(i)]
	if c.imports == i && d.chance("taken out", "", 0.5) {
		c.imports = 0
	} else if tr := t.traits; tr.HasRefresh && tr.Session != "one_per_account" {
		c.imports = i
		c.declared[i] = max(c.declared[i], 1)
		s.mu.Lock()
		for n := range 2 {
			account := fmt.Sprintf("%s%d", letterOfSim(i), n+1)
			s.passwords[broughtTo(account)] = s.books.brought(t, account)
		}
		s.mu.Unlock()
	}
	s.declare(c, d.chance("while down", "import", 0.15))
}

// brought is the refresh token of a grant that tokend has not seen. Its access
// token is not handed over, and has ended before anybody asks.
func (b *simBooks) brought(t *simType, account string) string {
	b.issue(t, account, "", "")
	g := b.grants[len(b.grants)-1]
	g.forgiven = notTold
	g.access[0].dead = true
	return g.refresh[0].token
}

const notTold = "nobody has told tokend of it"

// imported notes that a refresh token was taken over: from now on it is as any
// other, and it is bound to the address that its credential had then.
func (s *simRun) imported(addr string, old *simRecord, g *state.Grant) *simGrant {
	r := s.books.refresh[g.RefreshToken.Reveal()]
	switch {
	case r == nil:
		s.fail("%s takes %q over, which nobody issued", addr, g.RefreshToken.Reveal())
		return nil
	case old.grant == r.grant:
		return r.grant
	case r.grant.forgiven != notTold:
		s.fail("%s takes %s over a second time", addr, r.token)
	}
	r.grant.forgiven, r.grant.origin = "", g.Origins[0]
	s.books.comes(r.grant)
	return r.grant
}

// rekey has another key from now on.
func (s *simRun) rekey(account string) {
	s.keys++
	s.passwords[account] = fmt.Sprint("key", s.keys)
	s.books.password[account] = s.passwords[account]
}
