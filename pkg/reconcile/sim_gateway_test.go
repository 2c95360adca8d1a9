package reconcile_test

import (
	"context"
	"net/http"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// drawGateway has something before the APIs get in the way of refreshes: it refuses
// them by a status without a word of the API's, before or after the API acted; or it is
// away for some seconds.
func (s *simRun) drawGateway() {
	d := s.draws
	if d.chance("blip", "", 0.5) {
		s.blip()
		return
	}
	if d.chance("long blip", "", 0.4) {
		s.longBlip()
		return
	}
	f := one(d, "gateway", "", fateRefused, fateRefusedAfter, fateRefusedAfter)
	s.note("gateway refuses", "", "", int(f))
	s.becomes(&weather{walls: map[providers.Op]fate{providers.OpRefresh: f}})
	s.orderOf(one(d, "ordered", "gateway", simCredentials[:simFew]...), reconcile.Order{Kind: reconcile.OrderRefresh})
	s.wait(d.longOrShort("gateway stands", "", time.Second, 3*time.Hour))
	if !s.failed() {
		s.becomes(&weather{})
	}
}

// refusedBare is a refusal that says nothing but its status: that of an API, or of
// something on the way to it.
func (e *simEndpoint) refusedBare(c providers.Call) *providers.Error {
	status := one(e.p.s.draws, "refused with", e.about(c), http.StatusForbidden, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusLocked, http.StatusUnauthorized)
	if status == http.StatusUnauthorized && !e.typ.traits.Interactive {
		status = http.StatusForbidden // where a grant brings another token, 401 is taken for the API's word
	}
	return &providers.Error{Op: c.Op, Class: providers.ClassPermanent, Status: status, Reached: true, Message: "refused"}
}

// blip has the replies to refreshes lost for so short a time that a refresh is neither
// repeated nor tried for the last time in it. Where the API still has an answer then,
// nobody has to log in.
func (s *simRun) blip() {
	const person = 2
	addr, typ, p := simCredentials[person], s.types[typeOfSim(person)], s.p
	s.becomes(&weather{})
	s.wait(time.Minute)
	if s.failed() || s.p != p || p.isDead() || !s.config.declares(person) || !s.logsIn(addr, false) {
		return
	}
	s.mu.Lock()
	rec := s.record(addr)
	r := s.books.refresh[rec.refresh]
	fits := r != nil && r.heldAs[addr] == state.RefreshUsable && rec.open == "" && r.lives(s.real()) && r.spent.IsZero()
	s.mu.Unlock()
	if !fits {
		return
	}
	f, lasts := fateLostBefore, s.draws.between("blip lasts", "", time.Second, 9*time.Second)
	if typ.traits.ReplayWindow >= 30*time.Second {
		f, lasts = one(s.draws, "lost", "blip", fateLostBefore, fateLostAfter), s.draws.between("blip lasts", "", 500*time.Millisecond, 1900*time.Millisecond)
	}
	s.note("blip", lasts.String(), "", int(f))
	s.becomes(&weather{walls: map[providers.Op]fate{providers.OpRefresh: f}})
	s.orderOf(addr, reconcile.Order{Kind: reconcile.OrderRefresh})
	s.wait(lasts)
	s.note("blip", "ends", "", 0)
	s.becomes(&weather{})
	s.wait(s.draws.longOrShort("after a blip", "", 2*time.Minute, time.Hour))
	if s.failed() || s.p != p || p.isDead() {
		return
	}
	s.mu.Lock()
	now := s.record(addr)
	ended := now.grant != r.grant || !r.grant.lives(s.real())
	s.mu.Unlock()
	if !ended && s.logsIn(addr, true) {
		s.fail("after a blip of %s somebody has to log in for %s, whose refresh token is good", lasts, addr)
	}
}

// longBlip has connections lost for as long as it takes to repeat a refresh, or to try it
// for the last time, and not much longer.
func (s *simRun) longBlip() {
	d := s.draws
	f := one(d, "lost", "long blip", fateLostBefore, fateLostAfter)
	lasts := d.between("long blip lasts", "", 9*time.Second, 30*time.Second)
	s.note("blip", lasts.String(), "long", int(f))
	s.becomes(&weather{walls: map[providers.Op]fate{providers.OpRefresh: f, providers.OpGrant: f, providers.OpExchange: f, providers.OpRevoke: f, providers.OpVerify: f}})
	s.orderOf(one(d, "ordered", "long blip", simCredentials[:simFew]...), reconcile.Order{Kind: reconcile.OrderRefresh})
	s.wait(lasts)
	if !s.failed() {
		s.note("blip", "ends", "", 0)
		s.becomes(&weather{})
	}
}

// logsIn says whether a credential is as said: waiting for a login, or ready.
func (s *simRun) logsIn(addr string, needed bool) bool {
	v, err := s.p.loop.Status(context.Background(), s.config.nameOf(addr))
	if err != nil || len(v.Credentials) != 1 {
		return false
	}
	if needed {
		return v.Credentials[0].State == reconcile.NeedsLogin
	}
	return v.Credentials[0].State == reconcile.Ready
}

// counts counts how often a refresh token that works once was sent with nobody knowing
// what became of it: once, once again within its window, and as the one last try.
func (e *simEndpoint) counts(c providers.Call, f fate) {
	if c.Op != providers.OpRefresh || e.typ.traits.Rotates != "true" || f == fateAnswered || f == fateEnded {
		return
	}
	s := e.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.books.refresh[c.Token.RefreshToken.Reveal()]
	if r == nil || s.record(r.grant.addr).open != "refresh" {
		return
	}
	most := 2
	if e.typ.traits.ReplayWindow > 0 {
		most = 3
	}
	if r.unsure++; r.unsure > most {
		s.fail("%s is sent for the %dth time without an answer that says what became of it", r.token, r.unsure)
	}
}
