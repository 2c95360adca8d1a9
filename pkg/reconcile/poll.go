package reconcile

import (
	"errors"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A login by a device code (RFC 8628) asks the provider again and again whether the
// person has approved. Each of these questions is a code exchange of its own, in
// the same durable order, since any of them may bring the token. Two things are
// different: most are answered with "not yet", which is no failure of anything; and
// a question whose reply was lost is asked again, as the standard has it. The lost
// reply may have brought the token, so it is counted as an orphan until an answer
// shows that it did not.

// waitsForPerson reports whether an error says that the person has not decided yet.
func waitsForPerson(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Waits()
}

// pollRefused takes over an answer that brought no token: not yet, or not known.
// It returns false for one that ends the login and is recorded as its failure.
func (p *performer) pollRefused(c *call, pe *providers.Error, err error) bool {
	in := &p.ob.in
	clear := state.Change{IntentFor: p.j.addr, ClearIntent: true}
	switch {
	case pe.Class == providers.ClassUnknown:
		p.log().Warn("whether the provider carried a call out is not known", "op", opPoll, "error", err)
		p.lostPoll(c.intent.TokenHash, "the reply to a question whether a login was approved was lost")
		p.r.again = p.save("an unknown outcome", clear)
	case pe.Waits(), pe.Class == providers.ClassTransient, pe.Class == providers.ClassThrottled:
		if pe.Waits() && p.polled(c) {
			p.r.again = p.save("that nothing was lost", clear)
		} else if in.Intent != nil {
			p.r.again = p.commit("that a login was not approved yet", clear)
		}
		in.Intent = nil
		p.r.standing, p.r.asBefore = nil, true
	case in.Record.Grant != nil && in.Intent != nil:
		p.log().Warn("a login was not approved; the token held stays in force", "error", err)
		if p.lostBefore(c.intent.TokenHash) {
			p.lostLogin()
		}
		p.r.again = p.save("that a login was not approved", clear)
	default:
		if p.lostBefore(c.intent.TokenHash) {
			p.lostLogin()
		}
		return false
	}
	p.fail(err)
	return true
}

// lostLogin: a login whose reply was lost may have ended what came before it: the
// token in force, and one in a reply that is kept, which is not put in force then.
func (p *performer) lostLogin() {
	rec := &p.ob.in.Record
	if p.ob.in.Traits.Session != spec.SessionOnePerAccount {
		return
	}
	if rec.Grant != nil {
		rec.Head.Flags |= state.FlagTainted
	}
	if rec.Raw != nil && !doubtful(rec.Raw) {
		rec.Raw.Revoked = true
	}
}

// lostBefore reports whether an earlier question about the same code was not
// answered, and nothing since.
func (p *performer) lostBefore(hash string) bool {
	return hash != "" && p.ob.in.Record.LostPoll == hash
}

// lostPoll writes down that a question was not answered. A code is worth one token,
// however many answers are lost. It is a failure only where nobody holds a token: the
// refreshes of one that is held have failures, and a back-off, of their own.
func (p *performer) lostPoll(hash, why string) {
	rec := &p.ob.in.Record
	p.ob.in.Measured.asked, p.ob.in.Measured.sound = "", false // what was found before says nothing of now
	if !p.lostBefore(hash) {
		p.orphanOf()
		rec.LostPoll = hash
	}
	if rec.Grant == nil && !accountEnded(rec.Failure) {
		p.r.next = p.failed(outcome{op: opPoll, class: classLogin, message: why, reached: true, login: true}).NextAt
	}
}

// polled takes back what was written down of earlier questions, now that one about
// the same code is answered: they brought nothing. It says whether there was any.
func (p *performer) polled(c *call) bool {
	rec := &p.ob.in.Record
	if !c.poll || !p.lostBefore(c.intent.TokenHash) {
		return false
	}
	rec.LostPoll, rec.Orphans = "", rec.Orphans.Without()
	if f := rec.Failure; f != nil && f.Op == opPoll {
		rec.Failure = nil
	}
	if rec.Raw != nil && rec.Raw.Op == opExchange && doubtful(rec.Raw) {
		rec.Raw = nil // there is a better answer
	}
	return true
}
