package reconcile_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
)

// In some runs two credentials log in with one account: their tokens share their fate,
// a login of one ends the token of the other, or their API gives both the same token.
// The books go on knowing each account of the second by a name of its own, so that they
// know whom a token was issued for; a scope tells who asks.
var simSharers = [...]int{3, 4}

// drawSharing draws how the API of these runs is, and what is declared at first.
func (s *simRun) drawSharing() {
	d, t := s.draws, s.types[typeOfSim(simSharers[0])]
	s.more, s.config.shared = true, true
	for _, i := range simSharers {
		s.config.declared[i] = 1 + d.below("declared at first", "shared "+simCredentials[i], 2)
	}
	t.traits.Session = one(d, "session", "shared", "shared_grant", "shared_grant", "one_per_account", "independent")
	if t.traits.Session == "independent" {
		t.traits.Rotates, t.rotates, t.traits.ReplayWindow, t.repeats = "false", false, 0, true
	}
	if !t.traits.HasRevoke {
		t.traits.HasRevoke = true
		t.drawRevoke(d)
	}
}

// drawShared has something happen to those of one account, at times to both at once.
func (s *simRun) drawShared() {
	d := s.draws
	first, second := simSharers[0], simSharers[1]
	if d.chance("other first", "shared", 0.5) {
		first, second = second, first
	}
	c := s.config
	switch d.below("what", "shared", 6) {
	case 0, 1:
		c.declared[first] = d.below("to what", "shared", 3)
		s.declare(c, d.chance("while down", "shared", 0.15))
	case 2:
		c.declared[first], c.declared[second] = c.declared[second], c.declared[first]
		s.declare(c, d.chance("while down", "shared", 0.15))
	default:
		s.orderFor(simCredentials[first])
		if !d.chance("both", "shared", 0.4) {
			return
		}
		s.wait(d.longOrShort("one after the other", "shared", time.Millisecond, time.Minute))
		if !s.failed() {
			s.orderFor(simCredentials[second])
		}
	}
}

// person is the name of an account by which its API knows it.
func (s *simRun) person(account string) string {
	if s.config.shared && account != "" && account[:1] == letterOfSim(simSharers[1]) {
		return letterOfSim(simSharers[0]) + account[1:]
	}
	return account
}

// concerns says that a credential may log in with an account.
func (s *simRun) concerns(account, addr string) bool {
	return addressOf(account) == addr || s.config.shared && simCredentials[simSharers[1]] == addr && addressOf(account) == simCredentials[simSharers[0]]
}

// scopeOf is what tells the books which of those of one account asks.
func (c simConfig) scopeOf(i int) string {
	if !c.shared || !slices.Contains(simSharers[:], i) {
		return ""
	}
	return fmt.Sprintf("scopes = [%q]\n  ", letterOfSim(i))
}

// accountNamed is the account that a configuration names.
func (c simConfig) accountNamed(i int) string {
	if c.shared && i == simSharers[1] {
		return letterOfSim(simSharers[0]) + c.account(i)[1:]
	}
	return c.account(i)
}

// asks is the credential that a call is for, or that a grant was issued for where the
// call does not say.
func (s *simRun) asks(c providers.Call, g *simGrant) string {
	if s.config.shared && len(c.Scopes) == 1 {
		return addressOf(c.Scopes[0])
	}
	if g == nil {
		return ""
	}
	return g.addr
}

// accountAsked is the account that a login is for, by the name that it has in the books.
func (s *simRun) accountAsked(c providers.Call) string {
	account, _ := c.Inputs.String("account")
	if s.config.shared && len(c.Scopes) == 1 {
		return c.Scopes[0] + account[1:]
	}
	return account
}

// oneAccount says that two grants are of one account of one API.
func (b *simBooks) oneAccount(g, other *simGrant) bool {
	return g.typ == other.typ && g.origin == other.origin && b.s.person(g.account) == b.s.person(other.account)
}

// repeated is what an API that repeats itself has given an account already, and gives
// to whoever logs in with that as long as it lives.
func (b *simBooks) repeated(t *simType, account, origin, grant string) (string, bool) {
	if !t.repeats || origin == "" || grant == richGrantName {
		return "", false
	}
	now := b.s.real()
	for _, g := range slices.Backward(b.grants) {
		if g.typ != t || g.origin != origin || g.rich || b.s.person(g.account) != b.s.person(account) || len(g.access) == 0 {
			continue
		}
		a := g.access[len(g.access)-1]
		if !a.lives(now) {
			continue
		}
		b.comes(g)
		g.also = append(g.also, addressOf(account))
		reply := simReply{Access: a.token, Life: a.expires.Sub(now)}
		if n := len(g.refresh); n > 0 && g.refresh[n-1].lives(now) {
			reply.Refresh = g.refresh[n-1].token
		}
		body, err := json.Marshal(reply)
		if err != nil {
			panic(err)
		}
		return string(body), true
	}
	return "", false
}

// isOf says that a grant was issued for a credential.
func (g *simGrant) isOf(addr string) bool { return g.addr == addr || slices.Contains(g.also, addr) }

// elsewhere says that the record of another credential has a grant.
func (s *simRun) elsewhere(addr string, g *simGrant) bool {
	for _, i := range simSharers {
		if other := simCredentials[i]; other != addr && g.isOf(other) && s.record(other).has(g) {
			return true
		}
	}
	return false
}

// checkTaken: a revocation ends nothing that another credential has had in force since
// before it was begun, unless a person wants it.
func (s *simRun) checkTaken(x *simAccess, by string) {
	if s.revoking[by] > 0 {
		return
	}
	for _, i := range simSharers {
		addr := simCredentials[i]
		if rec := s.record(addr); addr != by && rec.access == x.token && s.took[addr].Before(s.intended[by]) {
			s.fail("%s is revoked for %s, and %s has it in force", x.token, by, addr)
		}
	}
}

// waitsForSharer says that a line tells of what waits for another credential of its
// account, which is there: until that has gone, or is given up, it stays so.
func (s *simRun) waitsForSharer(l reconcile.Line) bool {
	if !s.config.shared || !strings.Contains(l.Why, "its account allows one session, which ") && !strings.Contains(l.Why, ": it is revoked once that one holds ") {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range simSharers {
		if addr := simCredentials[i]; addr != firstName(l.Address) && strings.Contains(l.Why, addr) {
			return s.record(addr).access != ""
		}
	}
	return false
}

// mostLogins is how many logins an account may have once nothing fails any more.
const mostLogins = 30

// loggedIn counts the logins of an account.
func (s *simRun) loggedIn(account string) {
	if !s.config.shared || !s.calm.Load() {
		return
	}
	account = s.person(account)
	if s.logged[account]++; s.logged[account] > mostLogins {
		s.fail("%s logs in again and again, though nothing fails any more", account)
	}
}
