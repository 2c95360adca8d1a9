package reconcile_test

import (
	"context"
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
	for _, i := range simSharers { // what a kept reply brought does not say
		if addr := simCredentials[i]; len(g.also) > 0 && g.isOf(addr) && slices.Contains([]string{string(c.Op), "revive"}, s.record(addr).open) {
			return addr
		}
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
		if n := len(g.refresh); !a.lives(now) || n > 0 && !g.refresh[n-1].lives(now) {
			continue // a login is over once its refresh token is
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

// mendLate has kept replies read that status told of only once what they waited for had
// ended by itself.
func (s *simRun) mendLate() {
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil || !s.config.shared {
		return
	}
	for _, l := range v.Credentials {
		if l.State == reconcile.Unread {
			s.retry(l.Address)
			s.wait(45 * time.Second)
		}
	}
}

// cutOff says that a login was under way at a kill. It counts for its credential, and for
// the other one of its account only once it is known again what it sent.
func (s *simRun) cutOff(account string) bool {
	return s.config.shared && slices.ContainsFunc(simSharers[:], func(i int) bool {
		return s.concerns(account, simCredentials[i]) && s.record(simCredentials[i]).open == "grant"
	})
}

// leaving notes that a place lets go of a token.
func (s *simRun) leaving(token, place string) {
	if s.left[token] == nil {
		s.left[token] = map[string]time.Time{}
	}
	s.left[token][place] = s.wall()
}

// sharer is whose place one is, where that is one of one account and not by itself.
func (s *simRun) sharer(place, by string) (addr string, declared, ok bool) {
	i := int(place[0] - 'a')
	if !s.config.shared || !slices.Contains(simSharers[:], i) || simCredentials[i] == by {
		return "", false, false
	}
	return simCredentials[i], s.config.declares(i), true
}

// leftAt is when the last place let go of a token. The place of another credential does
// not count that is not declared any more, since nobody uses what it held, or that had
// yet another token between.
func (s *simRun) leftAt(token, by string) (last time.Time) {
	for place, at := range s.left[token] {
		if addr, declared, ok := s.sharer(place, by); ok && (!declared || !s.record(addr).hadLast(token)) {
			continue
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// hadLast says that a token is the one before that in force.
func (r *simRecord) hadLast(token string) bool {
	n := len(r.retiring)
	return n > 0 && r.retiring[n-1].access == token
}

// heldBy are the places that hold a token which is being revoked. Those of another
// credential do not count that got it after it was decided to revoke it, and gets
// another at once, or that has had two others since and could not write; nor where a
// person wants it dead.
func (s *simRun) heldBy(token, by string) []string {
	return slices.DeleteFunc(s.books.holders(token), func(place string) bool {
		addr, _, ok := s.sharer(place, by)
		if !ok {
			return false
		}
		rec := s.record(addr)
		if s.revoking[addr] > 0 || rec.orderedGone(s.books.access[token].grant) {
			return true
		}
		return rec.access == token && !s.took[addr].Before(s.intended[by]) || rec.access != token && !rec.hadLast(token)
	})
}

// overtaken says that a login of the other one ended a token, and that nobody tells its
// credential: it was made with another password, its reply was lost or could not be read,
// or what it brought was given up before this one was looked at. Of what an API gives
// again that is so where it came by a reply that was read late.
func (s *simRun) overtaken(addr string, g *simGrant) bool {
	switch {
	case !s.config.shared:
		return false
	case g.typ.traits.Session != "one_per_account":
		return g.typ.repeats && g.unread
	}
	return slices.ContainsFunc(s.books.grants, func(x *simGrant) bool {
		return x.id > g.id && x.addr != addr && s.books.oneAccount(x, g) &&
			(x.password != g.password || x.unread || !s.known[x.access[0].token] || s.record(x.addr).grant != x)
	})
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

// mostLogins is how many logins an account may have once nothing fails any more, beside
// those that each life of a token takes where an API gives the same one again until it
// ends: two credentials ask a few times each.
const (
	mostLogins   = 30
	loginsInLife = 8
)

// loggedIn counts the logins of an account.
func (s *simRun) loggedIn(t *simType, account string) {
	if !s.config.shared || !s.calm.Load() {
		return
	}
	most := mostLogins
	if t.repeats {
		most += loginsInLife * int(2*time.Hour/t.life)
	}
	account = s.person(account)
	if s.logged[account]++; s.logged[account] > most {
		s.fail("%s logs in again and again, though nothing fails any more", account)
	}
}
