package reconcile

import (
	"fmt"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// asksAgain says that the reply which is kept holds nothing up, like one that never
// came: it is no JSON at all, as something that goes wrong for a while sends it, and
// the grant can be asked again for nothing. So it is kept for a person, and the grant
// is asked again after a back-off. JSON that lacks what the type looks for would be
// the same the next time, mostly: that waits until the type was mended.
func (in *Input) asksAgain() bool {
	raw := in.Record.Raw
	return in.costsNothing() && !doubtful(raw) && (broughtDead(raw) || providers.NoJSON(&providers.Reply{Status: raw.Status, Body: raw.Body}))
}

// broughtDead says of a kept reply that nothing but the lifetime in it could not be
// taken: its token had ended before it was there. An API that gives one token until that
// ends answers so in its last second, and with another one after that.
func broughtDead(raw *state.Raw) bool {
	const before = "the token would be dead on arrival" // as records of an earlier tokend have it
	return strings.Contains(raw.Message, providers.DeadOnArrival) || strings.Contains(raw.Message, before)
}

// costsNothing says of a kept reply that it answers the grant that is wanted, and
// that to ask that again costs nothing: it needs no person, it spends no refresh token
// and no code, it counts against no account, and it ends no session of another token.
func (in *Input) costsNothing() bool {
	raw, want, t := in.Record.Raw, in.Want, in.Traits
	switch {
	case raw == nil || raw.Op != opGrant || want == nil || want.Grant == nil || raw.GrantType != want.Grant.Name:
		return false
	case t.Interactive, t.Static, t.Lockout, t.Session == spec.SessionOnePerAccount:
		return false
	}
	return true
}

// asksByRetry says that a retry which has read the kept reply in vain is to go on
// with the grant.
func (in *Input) asksByRetry() bool {
	next := *in
	next.Order.read = true
	return in.Order.Kind == OrderRetry && in.costsNothing() && decide(&next).Calls()
}

// unreadAgain waits until a grant is asked again whose reply is kept.
func (in *Input) unreadAgain(at time.Time) Step {
	again := "the grant is asked again at " + at.UTC().Format(time.RFC3339)
	return Step{Action: ActWait, State: Unread, Next: at, Mend: unreadAgainMend(in.Address),
		Reason: "a reply could not be read and is kept; it spent nothing, so " + again,
		Why:    fmt.Sprintf("the provider's reply could not be read and is kept: %s; it spent nothing, so %s", in.Record.Raw.Message, again)}
}

// unreadAgainMend is what mends it sooner, and what mends it where no reply can be
// read.
func unreadAgainMend(addr string) string {
	return "tokend retry " + ShellAddress(addr) + ", which asks again at once; where no reply can be read, mend the provider type first"
}

// unreadWhy says what is wrong with a reply that is kept, and what the ways on
// are.
func unreadWhy(raw *state.Raw) string {
	if broughtDead(raw) {
		return "the provider's reply is kept and not used: " + raw.Message + " (the API answers wrongly, or the provider type reads the lifetime wrongly)"
	}
	return "the provider's reply could not be read and is kept: " + raw.Message + " (mend the provider type and retry, or give the reply up with tokend taint)"
}

// unreadMend is what mends it. A try alone reads the same reply by the same type; and
// where its token had ended, the type may be as right as it can be: then the reply is
// given up, with the refresh token in it that one may have been spent for.
func (in *Input) unreadMend(raw *state.Raw) string {
	if !broughtDead(raw) {
		return unreadMend(in.Address)
	}
	givesUp := in.mend("taint") + ", which gives the reply up, and any refresh token in it, for a new token by the grant"
	if in.Traits.Interactive {
		givesUp = in.mend("login") + ", which gives the reply up, and any refresh token in it"
	}
	return "if the API answered wrongly: " + givesUp + "; if the type reads the lifetime wrongly: " + unreadMend(in.Address)
}

// unreadMend is what mends a reply that the type cannot read.
func unreadMend(addr string) string { return mendAfter("mend the provider type", addr) }

// besideMend is what mends one that is kept beside a token.
func besideMend(raw *state.Raw, addr string) string {
	if !broughtDead(raw) {
		return unreadMend(addr)
	}
	return "if the API answered wrongly: tokend revoke --forget-orphans " + ShellAddress(addr) + ", which gives the reply up; if the type reads the lifetime wrongly: " + unreadMend(addr)
}

// unreadNext is what follows an order by which a reply was read in vain: which of the
// ways to go is for a person to say.
func (p *performer) unreadNext(raw *state.Raw, err error) error {
	if raw == nil || !broughtDead(raw) {
		return err // it says what to mend
	}
	return &FailedError{err, p.ob.in.unreadMend(raw)}
}

// keepRaw records a reply that could not be read, so that nothing that it
// spent is lost.
func (p *performer) keepRaw(c *call, reply *providers.Reply, cause error) {
	rec := &p.ob.in.Record
	p.giveUpRaw() // one is kept, the newest: it is of what was asked for last
	rec.Raw = p.rawOf(c, reply, cause)
	if rec.Grant != nil && c.op == opRefresh {
		rec.Grant.RefreshState = afterCall(p.ob.in.Held, rec.Grant, &c.intent)
	}
	said := []any{"op", c.op, "error", cause}
	standing := &Standing{State: Unread, Why: unreadWhy(rec.Raw), Next: "the reply is kept", Mend: p.ob.in.unreadMend(rec.Raw)}
	again := p.ob.in.asksAgain()
	if again {
		f := p.failed(outcome{op: opGrant, class: classUnreadable, message: cause.Error(), reached: true})
		said, standing = append(said, "again_at", f.NextAt), standingOf(p.ob.in.unreadAgain(f.NextAt))
	}
	p.log().Error("a provider's reply could not be read; it is kept", said...)
	p.twinsEnd()
	if p.save("a reply that could not be read", p.exchanged(c)...) {
		p.r.standing, p.r.next = standing, time.Time{}
		p.r.again = again || rec.Grant != nil // when a new one is obtained, or the one held refreshed, is for the decision to say
	}
	p.fail(p.unreadNext(rec.Raw, cause))
}

// giveUpRaw waits for a reply that could not be read no more, since another token is
// wanted or another reply is to be kept: what it brought is counted. Where asking again
// does not come for nothing it is kept beside what comes, see [performer.keepBeside].
func (p *performer) giveUpRaw() {
	rec := &p.ob.in.Record
	raw := rec.Raw
	if raw == nil {
		return
	}
	counted, noted := doubtful(rec.Raw), p.ob.in.asksAgain()
	if rec.Raw = nil; counted {
		return
	}
	var until time.Time // what it is of may be of another account, or another type, by now
	if raw.Op == opRefresh && rec.Grant != nil && rec.Grant.Generation == raw.Generation {
		until = unseenUntil(p.ob.in.Held, rec.Grant, true, p.w.now())
	}
	dead := raw.Op == opGrant && broughtDead(raw) && !p.ob.in.Traits.HasRefresh
	if !dead {
		p.orphan(until)
	}
	if !noted {
		p.keepBeside(*raw, until)
	}
	if f := rec.Failure; noted && f != nil && f.Class == classUnreadable {
		now := *f // which came with the reply
		now.NextAt = p.w.now()
		rec.Failure = &now
	} else if raw.Op == opGrant && !noted {
		// Perhaps it was a refusal in a form that nobody knows: an account that more
		// tries would lock has had one. Else the next may be made at once.
		f := nextFailure(rec.Failure, outcome{op: opGrant, class: string(providers.ClassUnreadable), message: raw.Message, reached: true}, p.w.now(), p.retry(), p.ob.in.Spread, false)
		if f.NextAt = p.w.now(); p.ob.in.Traits.Lockout && f.Reached >= lockoutCount {
			f.NextAt = raw.At.Add(lockoutWait)
		}
		rec.Failure = f
	}
	if dead {
		return // no token of it lives
	}
	p.log().Warn("a reply that could not be read is waited for no more; what it brought is counted as an orphan, and lives on until it expires", "kept", !noted)
}
