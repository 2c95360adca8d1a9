package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// retire stops using the grant in force: it waits, among the retired ones, for
// its revocation.
func (p *performer) retire() {
	rec := &p.ob.in.Record
	p.giveUpLogin()
	rec.Grant = nil
	if f := rec.Failure; f != nil && f.Op != opGrant && !accountEnded(f) {
		rec.Failure = nil // a refusal of the grant itself stands: nothing about it changed
	}
	p.r.again = p.save("a grant that is given up")
	p.r.bare = p.r.again // or its sinks and it would wake each other for as long as the disk is full
	// An ordered revocation goes on with the next step: who ordered it waits.
}

// note writes progress down.
func (p *performer) note() {
	rec := &p.ob.in.Record
	switch p.step.Cause {
	case causeRemove, causeForget:
		rec.Removing = &state.Removing{Since: p.w.now(), Reason: p.step.Reason}
		if p.step.Cause == causeForget {
			rec.Lifecycle.OnRemove = spec.OnRemoveForget // also when the block that said so goes before it is done
		}
	case causeOrphans:
		p.log().Info("tokens that nobody knows are counted no more: a person has looked after them", "orphans", rec.Orphans.Living(p.w.now()))
		rec.Orphans, rec.Kept = nil, nil
	case causeDead:
		p.diesElsewhere(p.step.Retiring, time.Time{})
		p.r.again = p.save("that a revocation may have been carried out", state.Change{IntentFor: p.j.addr, ClearIntent: true})
		return
	case causeSession:
		p.log().Warn("the login of another credential has ended its token: their account allows one session", "holder", p.ob.in.Session.address)
		p.ob.in.losesSession(p.w.now(), rec.Grant.InputHashes)
	case causeTaint:
		p.giveUpRaw()
		if rec.Grant != nil {
			rec.Head.Flags |= state.FlagTainted
		}
	default:
		for i := range rec.Retiring {
			if r := rec.Retiring[i].Retired; r.DeliveredAt.IsZero() {
				r.DeliveredAt = p.w.now()
			}
		}
	}
	p.r.again = p.save("progress")
	if p.step.Cause == causeRemove && p.r.again {
		p.r.began = begun{Revocations: 1}
	}
	if p.step.Cause == causeTaint || p.step.Cause == causeOrphans {
		p.answer()
	}
}

// revoke asks the provider to revoke a retired grant.
func (p *performer) revoke() {
	rec := &p.ob.in.Record
	g := &rec.Retiring[p.step.Retiring]
	if p.takesKeptAlong() {
		rec.Raw.Revoked = true
		p.r.again = p.save("that a revocation may take along what a kept reply brought")
		return
	}
	ep, err := p.w.endpointOfRetired(p.ctx, p.ob, g)
	if err != nil {
		p.revokeFailed(g, err, 0)
		return
	}
	c, err := p.revokeCall(g, ep)
	if err != nil {
		p.revokeFailed(g, err, 0)
		return
	}
	began := p.w.now()
	_, err = p.sendAndRead(c)
	var pe *providers.Error
	if isError := errors.As(err, &pe); p.ob.in.Order.Kind == OrderRevoke && (err == nil || isError && (pe.Class == providers.ClassGone || pe.Class == providers.ClassUnknown)) {
		p.diesElsewhere(p.step.Retiring, began)
	}
	switch {
	case errors.Is(err, providers.ErrNoEndpoint):
		p.step.Reason = "its API gives no address for revocations; the old token is forgotten"
		p.log().Warn("a token cannot be revoked and is forgotten: its API gives no address for that; it lives until it ends by itself", "retired", g.Generation, "cause", g.Retired.Cause)
		p.release()
	case errors.As(err, &pe) && pe.Class == providers.ClassGone && p.mayLiveOn(g):
		p.ended(g)
	case err == nil, pe != nil && pe.Class == providers.ClassGone:
		if t := p.ob.in.RetiredTraits[p.step.Retiring]; outlives(g, t) {
			p.log().Warn("an access token is revoked, and its refresh token is counted as one that may live on: a refresh whose reply was lost may have brought a newer access token, which the revocation did not name", "retired", g.Generation)
			p.orphan(refreshEndsBy(g))
		}
		p.revoked(g)
	case errors.Is(err, errNotBegun):
		p.notBegun(err)
	case pe != nil && pe.Walled && pe.Status < 300 && saysNoMore(g.Retired, pe):
		p.mayBeRevoked(g, err)
	case pe != nil:
		p.revokeFailed(g, pe, pe.RetryAfter)
	default:
		p.revokeFailed(g, err, 0)
	}
}

// saysNoMore says that a revocation was tried often enough with the same outcome,
// and no other between, so that one more try would say no more than this one.
func saysNoMore(r *state.Retired, e *providers.Error) bool {
	return sameOutcomes(r, e)+1 >= triesBeforeGivingUp
}

// sameOutcomes is how many of the last failures of a revocation had the outcome of this one.
// What an API says besides (the number of the request, say) may be another each time.
func sameOutcomes(r *state.Retired, err error) int {
	outcome := err.Error()
	var pe *providers.Error
	if errors.As(err, &pe) && pe.Status != 0 {
		e := *pe
		e.Message = ""
		outcome = e.Error()
	}
	if !strings.HasPrefix(r.Message, outcome) {
		return 0
	}
	return max(r.Alike, 1)
}

// mayBeRevoked is a revocation that was answered by web pages with a status of
// success, again and again. The body of such an answer means nothing (RFC 7009
// section 2.2), so it is done; but the pages may be of something on the way, so the
// token is counted as one that may live.
func (p *performer) mayBeRevoked(g *state.Grant, err error) {
	p.log().Warn("web pages say that an old token is revoked; it is taken for revoked, and counted as one that may live on", "retired", g.Generation, "error", err)
	p.orphan(endsBy(g))
	p.revoked(g)
}

// aboutToEnd is how long before its end a token may have ended for its API, at most:
// as much as a request takes, and as clocks differ.
const aboutToEnd = time.Minute

// mayLiveOn says that an API which does not know a token any more may mean that its
// access token has ended by itself, while the request was on its way or the machine
// slept: then nothing was revoked, and the refresh token may live.
func (p *performer) mayLiveOn(g *state.Grant) bool {
	t := p.ob.in.RetiredTraits[p.step.Retiring]
	if t.RevokeNeeds != needsAccess || !t.HasRefresh || g.RefreshToken.Empty() || g.RefreshState != state.RefreshUsable || g.ExpiresAt.IsZero() {
		return false
	}
	margin := min(aboutToEnd, g.ExpiresAt.Sub(g.ObtainedAt)/4) // one that was just revived has not ended
	return p.w.now().After(g.ExpiresAt.Add(-margin))
}

// ended goes on with a revocation that came too late for the access token: the next
// look knows that this has ended, and has it refreshed first.
func (p *performer) ended(g *state.Grant) {
	p.log().Warn("an old token ended before its revocation was there; it is refreshed to be revoked", "retired", g.Generation)
	g.ExpiresAt, g.Late = p.w.now(), 0
	p.r.again = p.save("a revocation that came too late", state.Change{IntentFor: p.j.addr, ClearIntent: true})
}

// takesKeptAlong says that the revocation about to be sent ends the session that
// a kept reply is of, too, and that its record does not say so yet: once it is
// sent, what that reply brought is never put in force.
func (p *performer) takesKeptAlong() bool {
	raw := p.ob.in.Record.Raw
	return raw != nil && !raw.Revoked && p.ob.in.RetiredTraits[p.step.Retiring].Session == spec.SessionSharedGrant
}

// sendAndRead makes a call and judges its reply.
func (p *performer) sendAndRead(c *call) (providers.Token, error) {
	reply, err := p.send(c)
	if err != nil {
		return providers.Token{}, err
	}
	t, err := p.judged(c, reply)
	p.observe(c, err)
	return t, err
}

func (p *performer) revokeCall(g *state.Grant, ep *openEndpoint) (*call, error) {
	token, err := tokenOf(g)
	if err != nil {
		return nil, err
	}
	inputs, err := spec.OpenValues(g.Inputs)
	if err != nil {
		return nil, err
	}
	if cur := p.ob.in.Record.Grant; cur != nil && cur.RefreshToken.Equal(g.RefreshToken) {
		token.RefreshToken = secret.Text{} // the token in force is never named: the old access token alone is
	}
	c := &call{op: opRevoke, ep: ep, c: providers.Call{
		Op: providers.OpRevoke, Grant: g.GrantType, Inputs: inputs, Token: token, Scopes: g.Scopes, Origins: g.Origins,
		Flow: providers.Flow{RedirectURI: g.RedirectURI}, Now: p.w.now(),
	}}
	c.intent.Generation = g.Generation
	return c, nil
}

func (p *performer) revoked(g *state.Grant) {
	rec := &p.ob.in.Record
	p.log().Info("revoked", "retired", g.Generation, "reason", p.step.Reason)
	rec.Note = "revoked generation " + fmt.Sprint(g.Generation) + ": " + p.step.Reason
	p.forgetRetired(state.Change{IntentFor: p.j.addr, ClearIntent: true})
}

// forgetRetired takes the retired grant out of the record.
func (p *performer) forgetRetired(more ...state.Change) {
	rec := &p.ob.in.Record
	i := p.step.Retiring
	if open := p.ob.in.Intent; len(more) == 0 && open != nil && open.Op == opRevoke && open.Generation == rec.Retiring[i].Generation {
		more = append(more, state.Change{IntentFor: p.j.addr, ClearIntent: true}) // its revocation was begun before a crash, and is not repeated
	}
	rec.Retiring = slices.Delete(rec.Retiring, i, i+1)
	p.r.again = p.save("a revocation", more...)
	if p.j.order != nil && p.j.order.order.revokes() && len(rec.Retiring) == 0 {
		p.j.order.finish(nil)
		p.r.order = p.j.order
	}
}

func (p *performer) revokeFailed(g *state.Grant, err error, after time.Duration) {
	now, message := p.w.now(), err.Error()
	r := g.Retired
	r.Attempts++
	r.Alike, r.Message = sameOutcomes(r, err)+1, message
	r.NextAt = now.Add(max(after, backoff(p.retry(), r.Attempts, draw(fraction(p.j.addr, p.w.o.Host, "revoke"), r.Attempts, now))))
	p.log().Warn("a revocation failed; it is tried again", "retired", g.Generation, "attempt", r.Attempts, "error", message, "again_at", r.NextAt)
	p.save("a failed revocation", state.Change{IntentFor: p.j.addr, ClearIntent: true})
	p.r.next = r.NextAt
	if p.ob.in.Record.Grant != nil {
		// However long the revocation waits, the token in force does not.
		if at := p.ob.in.due(); !at.IsZero() && at.Before(p.r.next) {
			p.r.next = at
		}
	}
	p.r.standing = &Standing{State: Failing, Why: "revoking the old token failed: " + message, Next: "tried again at " + r.NextAt.UTC().Format(time.RFC3339),
		Mend: p.ob.in.mendRevocation(r)}
	if p.j.cfg == nil {
		p.r.standing.State = Removing
	}
	p.fail(&FailedError{fmt.Errorf("revoking: %s", message), p.ob.in.triedAgain(r.NextAt) + "; it is given up by: " + p.ob.in.mend("revoke --forget")})
}

// revive refreshes a retired grant whose revocation needs a living access
// token.
func (p *performer) revive() {
	rec := &p.ob.in.Record
	g := &rec.Retiring[p.step.Retiring]
	ep, err := p.w.endpointOfRetired(p.ctx, p.ob, g)
	if err != nil {
		p.revokeFailed(g, err, 0)
		return
	}
	c, err := p.refreshCall(g, ep)
	if err != nil {
		p.revokeFailed(g, err, 0)
		return
	}
	c.op = opRevive
	t, err := p.sendAndRead(c)
	if err == nil {
		p.revivalEnds(g, p.ob.in.RetiredTraits[p.step.Retiring])
		rec.Retiring[p.step.Retiring] = nextGrant(*g, t, p.w.now())
		p.r.again = p.save("a revived token", state.Change{IntentFor: p.j.addr, ClearIntent: true})
		return
	}
	var pe *providers.Error
	var means bearing
	if errors.As(err, &pe) {
		means = bearingOf(pe, opRevive, singleUse(p.ob.in.RetiredTraits[p.step.Retiring], g), true)
	}
	switch {
	case errors.Is(err, errNotBegun):
		p.notBegun(err)
	case means == tokenRefused:
		p.log().Warn("an old token can no longer be revoked: its access token has expired and its refresh token was refused, so both are dead", "error", err)
		p.forgetRetired(state.Change{IntentFor: p.j.addr, ClearIntent: true})
	case means == tokenMaySpend && pe.Class != providers.ClassUnreadable:
		p.log().Warn("whether the provider carried a call out is not known", "op", c.op, "error", err)
		p.r.again = true // the intent is left open: the next look settles it
	case means == tokenMaySpend:
		p.log().Error("the reply to the refresh of an old token could not be read, so what it brought cannot be revoked", "error", err)
		p.lostRevival(&c.intent)
		p.r.again = p.save("a reply that could not be read", state.Change{IntentFor: p.j.addr, ClearIntent: true})
	case means == tokenDoubted && pe.Class == providers.ClassPermanent && saysNoMore(g.Retired, pe):
		p.log().Warn("an old token cannot be revoked: its access token has expired, and its API goes on refusing to refresh it; it is counted as one that may live on", "retired", g.Generation, "error", err)
		p.orphan(endsBy(g))
		p.forgetRetired(state.Change{IntentFor: p.j.addr, ClearIntent: true})
	default:
		p.revokeFailed(g, err, 0)
	}
}

// lostRevival writes down that the refresh token of a retired grant may be
// spent and what it brought was never seen: it is not sent again.
func (p *performer) lostRevival(intent *state.Intent) {
	rec := &p.ob.in.Record
	for i := range rec.Retiring {
		if g := &rec.Retiring[i]; g.Generation == intent.Generation {
			t := p.ob.in.RetiredTraits[i]
			p.revivalEnds(g, t)
			p.orphan(unseenUntil(t, g, singleUse(t, g), p.w.now()))
			g.RefreshState = afterCall(t, g, intent)
		}
	}
}

// revivalEnds tells those that have what was spent for a retired grant in force, since a
// person wants this revoked whoever has it, or since they got it meanwhile.
func (p *performer) revivalEnds(g *state.Grant, t Traits) {
	if t.InvalidatesAccessToken || singleUse(t, g) {
		p.twinsMayEnd(opRevive, g.RefreshToken)
	}
}

// release lets a retired grant go without a call.
func (p *performer) release() {
	g := &p.ob.in.Record.Retiring[p.step.Retiring]
	p.log().Info("released", "retired", g.Generation, "reason", p.step.Reason)
	p.ob.in.Record.Note = p.step.Reason
	p.forgetRetired()
}
