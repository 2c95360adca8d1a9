package reconcile

import (
	"errors"
	"slices"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// refresh spends the refresh token of the grant in force, or repeats a refresh
// whose reply was lost inside the type's replay window.
func (p *performer) refresh() {
	g := p.ob.in.Record.Grant
	c, err := p.refreshCall(g, p.ob.held)
	if err != nil {
		p.unreadable(err)
		return
	}
	c.intent.Replay = p.step.Action == ActReplay
	if c.c.Replay = c.intent.Replay; c.c.Replay {
		c.c.Ready = func() bool { return p.mayReplay(c) }
	}
	c.intent.LastTry = g.RefreshState == state.RefreshIndeterminate
	reply, err := p.send(c)
	if err != nil {
		p.refused(c, err)
		return
	}
	p.read(c, reply, func(t providers.Token) { p.refreshed(c, t) })
}

// refreshCall builds the refresh of a grant: with the inputs that the
// configuration gives now where they can be read, else with those that were
// sealed when the grant was issued.
func (p *performer) refreshCall(g *state.Grant, ep *openEndpoint) (*call, error) {
	token, err := tokenOf(g)
	if err != nil {
		return nil, err
	}
	inputs, err := p.grantInputs(g, ep, providers.OpRefresh)
	if err != nil {
		return nil, err
	}
	c := &call{op: opRefresh, ep: ep, spends: g.RefreshToken, c: providers.Call{
		Op: providers.OpRefresh, Grant: g.GrantType, Inputs: inputs, Token: token, Scopes: g.Scopes, Origins: g.Origins,
		Flow: providers.Flow{RedirectURI: g.RedirectURI}, Now: p.w.now(),
	}}
	if w := p.ob.in.Want; w != nil {
		c.c.DefaultLifetime = w.DefaultLifetime
	}
	c.intent.Generation = g.Generation
	return c, nil
}

// refreshed records the generation that a refresh brought.
func (p *performer) refreshed(c *call, t providers.Token) {
	rec := &p.ob.in.Record
	old := *rec.Grant
	g := nextGrant(old, t, p.w.now())
	g.Endpoint = c.blob
	if sealed, err := keptInputs(c); err == nil {
		g.Inputs = sealed
	}
	life := c.ep.ep.Traits(g.GrantType).RefreshTokenLifetime
	if !t.RefreshToken.Empty() && t.RefreshUntil.IsZero() {
		g.RefreshUntil = time.Time{}
		if life > 0 {
			g.RefreshUntil = p.w.now().Add(life)
		}
	}
	g.Generation = p.ob.in.nextGeneration()
	held := p.ob.in.Held
	if held.oneSession() {
		g.ObtainedAt = c.intent.At // a login of another that came meanwhile may have ended it
	}
	if !old.AccessToken.Empty() && held.HasRevoke && slices.Contains(held.RevokeOn, causeRefresh) && !held.InvalidatesAccessToken {
		r := p.retiring(old, causeRefresh)
		// Its refresh token is the one in force, or was spent for it: to spend or
		// to revoke it would take the token in force along.
		r.RefreshToken = secret.Text{}
		rec.Retiring = append(rec.Retiring, r)
	}
	rec.Grant = &g
	followRefresh(rec.Retiring, &old, &g)
	if rec.Raw != nil && doubtful(rec.Raw) {
		rec.Raw = nil // there is a better answer
	}
	p.ob.in.obtained()
	if p.ob.in.loginMayHaveEnded() {
		rec.LostPoll, rec.Orphans = "", rec.Orphans.Without() // a login would have ended the refresh token, too
	}
	if c.intent.Replay {
		rec.Note = "a refresh whose reply was lost was repeated"
	} else {
		rec.Note = p.step.Reason
	}
	rec.Head.Generation = g.Generation
	if rec.Raw != nil && rec.Raw.Op == opRefresh || p.ob.in.asksAgain() {
		p.giveUpRaw() // what it brought is older: it must not follow what is in force now
	}
	rec.Kept = followLogin(rec.Kept, old.Generation, g.Generation)
	if p.step.Heals {
		rec.Verified.Refreshed = g.Generation
	}
	p.twinsEnd()
	p.delivered(c, "refreshed")
}

// followRefresh has the old grants that wait for the login in force to be revoked go on to be
// of that login, whose refresh token is another one after a refresh: by the one that was
// spent their revocation would look like one of another login, and end this one.
func followRefresh(retiring []state.Grant, old, now *state.Grant) {
	for i := range retiring {
		if r := &retiring[i]; r.Retired.Cause == causeRevoke && ofOneLogin(r, old) {
			r.RefreshToken, r.RefreshUntil = now.RefreshToken, now.RefreshUntil
		}
	}
}

// nextGrant is a grant after a refresh: what the reply does not say stays as
// it was (RFC 6749 section 6).
func nextGrant(old state.Grant, t providers.Token, now time.Time) state.Grant {
	g := old
	g.AccessToken, g.TokenType, g.HeaderName, g.Header = t.AccessToken, t.TokenType, t.HeaderName, t.Header
	g.ObtainedAt, g.ExpiresAt, g.Late = now, t.ExpiresAt, t.Late
	g.RefreshState, g.LostRefresh, g.RefusedAt, g.Refused = state.RefreshUsable, false, time.Time{}, ""
	if t.RefreshToken.Empty() || t.RefreshToken.Equal(old.RefreshToken) {
		g.Rotation = state.RotationKept
	} else {
		g.RefreshToken, g.RefreshUntil, g.Rotation = t.RefreshToken, t.RefreshUntil, state.RotationRotated
	}
	if t.Scopes != nil {
		g.Scopes = t.Scopes
	}
	g.Outputs = outputsAfter(old.Outputs, t.Outputs)
	return g
}

// outputsAfter are the outputs after a refresh whose response names some of them,
// or others: those that it does not name stay.
func outputsAfter(old []byte, said spec.Values) []byte {
	names := said.Names()
	if len(names) == 0 {
		return old
	}
	all, err := spec.OpenValues(old)
	if err != nil {
		all = spec.Values{}
	}
	for _, n := range names {
		all = all.With(n, said.Cty(n))
	}
	if sealed, err := all.Seal(nil); err == nil {
		return sealed
	}
	return old
}

// settle writes down what an open intent turned out to mean.
func (p *performer) settle() {
	in := &p.ob.in
	rec := &in.Record
	o := outcome{op: in.Intent.Op, class: string(providers.ClassUnknown), message: p.step.Reason, reached: true, lockout: in.Traits.Lockout && in.Intent.Op == opGrant}
	switch in.Intent.Op {
	case opGrant:
		p.orphanOf()
		p.lostLogin()
	case opRefresh:
		if rec.Grant != nil {
			p.orphanOfRefresh()
			p.twinsMayEnd(opRefresh, rec.Grant.RefreshToken)
			rec.Grant.LostRefresh = true
			rec.Grant.RefreshState = afterCall(in.Held, rec.Grant, in.Intent)
		}
	case opRevive:
		p.lostRevival(in.Intent)
		p.r.again = p.save("what a lost reply means", state.Change{IntentFor: p.j.addr, ClearIntent: true})
		return
	case opExchange:
		p.orphanOf()
		o.class, o.login = classLogin, true
		p.lostLogin()
	case opPoll:
		p.lostPoll(in.Intent.TokenHash, p.step.Reason)
		p.log().Warn("the outcome of a call is unknown", "op", in.Intent.Op, "meaning", p.step.Reason)
		p.r.again = p.save("what a lost reply means", state.Change{IntentFor: p.j.addr, ClearIntent: true})
		return
	case opAction:
		o.stops = false
	}
	if f := in.failureOf(o.op); f == nil || f.Op != o.op || f.LastAt.Before(in.Intent.At) {
		p.r.next = p.failed(o).NextAt
	}
	p.log().Warn("the outcome of a call is unknown", "op", in.Intent.Op, "meaning", p.step.Reason)
	p.r.again = p.save("what a lost reply means", state.Change{IntentFor: p.j.addr, ClearIntent: true})
}

// refused records a call that failed, by its class.
func (p *performer) refused(c *call, err error) {
	if errors.Is(err, errNotBegun) {
		p.notBegun(err)
		return
	}
	if errors.Is(err, providers.ErrElsewhere) {
		p.elsewhere(err)
		return
	}
	in := &p.ob.in
	rec := &in.Record
	var pe *providers.Error
	if !errors.As(err, &pe) {
		pe = &providers.Error{Class: providers.ClassConfig, Message: err.Error(), Err: err}
	}
	o := p.outcome(c, pe)
	var means bearing // of a refresh alone
	if c.poll && p.pollRefused(c, pe, err) {
		return
	}
	if c.op == opRefresh && rec.Grant != nil {
		means = bearingOf(pe, opRefresh, singleUse(in.Held, rec.Grant), in.onlyAPerson())
		if o = o.meant(means); means == tokenMaySpend {
			p.unknown(c, o)
			return
		}
	} else if pe.Class == providers.ClassUnknown {
		p.unknown(c, o)
		return
	}
	if p.step.Action == ActReplay && !o.stops && !o.login {
		p.unanswered(c, o)
		return
	}
	if c.op == opRefresh && rec.Grant != nil && (o.stops || o.login) {
		// The refresh token was refused: it is of no more use. A new grant, or a
		// person, is the way on; the access token stays in force meanwhile.
		if p.step.Action == ActReplay || rec.Grant.RefreshState == state.RefreshIndeterminate {
			rec.Grant.LostRefresh = true // its API may have seen it twice
		}
		rec.Grant.RefreshState, rec.Grant.RefusedAt, rec.Grant.Refused = state.RefreshRefused, p.w.now(), o.message
		o.stops = false
		if p.step.Action == ActReplay {
			p.orphanOfRefresh() // what the lost reply brought may live, and nobody will see it any more
		} else if means == tokenGivenUp {
			p.orphan(unseenUntil(in.Held, rec.Grant, true, p.w.now())) // and the token that nobody sends again, if the API never heard of this
		}
	}
	f := p.failed(o)
	if o.class == classConfig && p.w.unmade.note(p.j.addr, p.ob.changes) {
		p.r.again = true
	}
	if c.op == opRefresh && rec.Grant != nil && rec.Grant.RefreshState == state.RefreshRefused && !p.ob.in.Traits.Interactive {
		in.refreshOver() // what follows is a grant, which has failures of its own
		f, p.r.again = nil, true
	}
	said := []any{"op", c.op, "class", o.class, "error", err}
	if f != nil && !f.Stopped && !in.leftToAPerson(c.op, f) {
		said = append(said, "again_at", f.NextAt)
	}
	p.log().Warn("a call failed", said...)
	if p.save("a failure", state.Change{IntentFor: p.j.addr, ClearIntent: true}) && f != nil {
		p.r.next = f.NextAt
		if f.Stopped {
			p.r.next = in.stoppedNext()
		} else if c.op == opGrant || in.RefreshFailure != nil || f.Class == classWalled {
			p.meanwhile()
		}
		p.r.standing = p.standFailed(f)
		if f.Stopped {
			p.stillReady()
		}
	}
	p.fail(p.afterRefusal(c, pe, f, err))
}

// leftToAPerson says that nothing is tried again by itself after a failure of op: a
// code is sent once, and a refresh token that was refused is not sent again.
func (in *Input) leftToAPerson(op string, f *state.Failure) bool {
	g := in.Record.Grant
	return f.Class == classLogin || op == opRefresh && in.Traits.Interactive && g != nil && g.RefreshState == state.RefreshRefused
}

// unanswered: a replay did not get through, so what became of the refresh that
// it repeats is as unknown as before. Its intent stays open, with the window as
// it was.
func (p *performer) unanswered(c *call, o outcome) {
	f := p.failed(o)
	open := p.ob.in.Intent
	if c.before != nil {
		open = c.before
	}
	p.save("a replay that was not answered", state.Change{Intent: open, IntentFor: p.j.addr})
	p.r.next, p.r.standing = f.NextAt, p.standFailed(f)
	if since, ok := p.w.elapsed(open); ok { // when it cannot be repeated any more, what became of it is settled
		p.r.next = earlier(p.r.next, p.w.now().Add(replayLeft(p.ob.in.Held.ReplayWindow, since)))
	}
	p.fail(errors.New(o.message))
}

// meanwhile looks again before a grant that failed is tried again, where the
// token in force has to be refreshed by then: the grant that would replace it may
// fail for longer than it lives. So it does where that refresh fails, and the
// grant may be tried again sooner.
func (p *performer) meanwhile() {
	in := p.ob.in
	if in.Record.Grant == nil {
		return
	}
	in.Now, in.Order, in.Intent, in.Fresh, in.Anew = p.w.now(), Order{}, nil, false, false
	s := decide(&in)
	p.r.again = p.r.again || s.acts()
	p.r.next = earlier(p.r.next, s.Next)
}

// stoppedNext: what is held still has to be looked after when its grant has
// been stopped.
func (in *Input) stoppedNext() time.Time {
	if in.Record.Grant == nil {
		return time.Time{}
	}
	return in.due()
}

func (p *performer) standFailed(f *state.Failure) *Standing {
	s := &Standing{State: Failing, Why: p.ob.in.whyFailed(f), Next: "tried again at " + f.NextAt.UTC().Format(time.RFC3339), Mend: mendFailure(&p.ob.in, f)}
	switch {
	case f.Op == opRefresh && p.ob.in.shutOut(p.w.now()):
		s.State, s.Why, s.Mend = NeedsLogin, shutOutWhy(f), p.ob.in.mend("login")
	case f.Class == classLogin:
		s.State, s.Next, s.Mend = NeedsLogin, "a person has to log in", p.ob.in.mend("login")
	case f.Stopped:
		s.State, s.Next = Stopped, "nothing, until its inputs change or a person says so"
	}
	return s
}

func (p *performer) outcome(c *call, pe *providers.Error) outcome {
	o := outcome{op: c.op, class: string(pe.Class), message: pe.Error(), hint: pe.Hint, reached: pe.Reached, retryAfter: pe.RetryAfter}
	switch pe.Class {
	case providers.ClassPermanent, providers.ClassConfig, providers.ClassGone:
		o.stops = true
	case providers.ClassLogin:
		o.login, o.class = true, classLogin
	}
	if pe.Hint == providers.HintUnknown { // which is nothing to do before the next try
		o.message, o.hint = o.message+"; "+pe.Hint, ""
	}
	if f := p.ob.in.failureOf(opRefresh); c.op == opGrant && pe.Walled && f != nil && f.Op == opRefresh && f.Class == classWalled {
		o.stops = false // the wall that refuses the refreshes refuses this, and no password
	}
	if c.op == opExchange {
		o.login, o.class, o.stops = true, classLogin, false
	}
	if c.op == opGrant {
		o.lockout, o.row = p.ob.in.Traits.Lockout, p.row
		if o.inputs = c.sent; o.inputs == nil {
			o.inputs = p.sentInputs(c.c.Inputs)
		}
	}
	return o
}

// sentInputs are keyed hashes of what is sent, so that a changed input is
// noticed.
func (p *performer) sentInputs(values spec.Values) map[string]string {
	want := p.ob.in.Want
	h, err := p.w.hashValues(want, givenInputs(want), values)
	if err != nil {
		return nil
	}
	p.sent = h
	return h
}

// unknown leaves the intent open: what became of the call is decided at the
// next look, by the same rules as after a crash.
func (p *performer) unknown(c *call, o outcome) {
	p.log().Warn("whether the provider carried a call out is not known", "op", c.op, "error", o.message)
	f := p.failed(o)
	p.r.again = p.save("an unknown outcome")
	p.r.next = f.NextAt
	switch p.ob.in.Order.Kind {
	case OrderLogin, OrderRetry, OrderRefresh:
		p.fail(p.afterUnknown(c, errors.New(o.message))) // an order is worth one call: what follows waits its time
	}
}

// elsewhere: nothing was sent, since the issuer names another address by now
// than those that the grant is bound to. No token was refused, so none is given
// up; the change of the address waits for a person.
func (p *performer) elsewhere(err error) {
	p.log().Warn("a call is held back", "op", string(p.step.Action), "error", err)
	p.r.next = p.w.now().Add(lookAgain)
	p.r.standing = &Standing{State: Held, Why: err.Error(), Next: "nothing is sent there before a person approves", Mend: "tokend approve"}
	p.fail(err)
}

// notBegun: nothing was sent. tokend stops, its time has gone by, its host does
// not answer, or the disk takes nothing.
func (p *performer) notBegun(err error) {
	p.r.order = nil
	var away *barredError
	var shared *sharedError
	switch {
	case errors.As(err, &away):
		p.barred(away)
	case errors.As(err, &shared):
		p.r.next = p.elseDue(p.w.now().Add(sharedLook))
		p.r.standing = &Standing{State: Pending, Why: shared.why}
		p.fail(err)
	case errors.Is(err, errTooLate):
		p.r.again = true // what is to be done instead is decided anew
	case p.w.isStopped():
		p.fail(errStopping)
	default:
		wait, say := p.w.unwritable.again(p.w.now())
		if say {
			p.log().Error("nothing is spent while the state cannot be written", "error", err)
		}
		p.r.next = p.w.now().Add(wait)
		p.r.standing = &Standing{State: Failing, Why: err.Error(), Next: "tried again", Mend: "make room for the state, or mend its disk"}
		p.fail(err)
	}
}
