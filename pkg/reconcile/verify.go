package reconcile

import (
	"context"
	"errors"
	"net/http"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// verify asks the API once whether it honours the token in force. Being a step
// of the credential's address, it is never overtaken by a refresh: what it finds
// is found of the generation on record.
func (p *performer) verify() {
	in := &p.ob.in
	in.Measured.turn = p.w.now()
	ctx, done := p.questioning()
	defer done()
	c, err := p.verifyCall()
	if p.await(opVerify, err, time.Time{}) {
		return
	}
	if err == nil {
		err = p.ask(ctx, c)
	}
	if p.unasked(err) {
		return
	}
	short := c != nil && cutShort(ctx) && unanswered(err) && c.took < questionShort
	if c != nil && !short {
		p.observe(c, err)
	}
	in.Measured.at = p.w.now()
	if !short { // what was cut short says nothing
		p.found(err)
	}
	next := Decide(*in)
	p.r.next, p.r.standing, p.r.revokesAt = next.Next, standingOf(next), in.revokesAt(next)
	p.r.again = next.acts()
}

// ask sends the question, which has until ctx ends to be answered, and judges the reply.
func (p *performer) ask(ctx context.Context, c *call) error {
	if c.ep.ep.Traits(c.c.Grant).Discovers {
		if err := p.w.discoverUntil(ctx, ctx.Done(), p.j, c.ep.ep, c.c.Grant, c.c.Inputs, c.c.Origins); err != nil {
			return err
		}
	}
	req, err := c.ep.ep.Prepare(c.c)
	if err != nil {
		return err
	}
	c.origin = req.Origin
	if err := p.j.barred(req.Origin, p.w.now()); err != nil {
		return err
	}
	reply, err := p.j.inFlight(p.w.now, ctx.Done(), func() (*providers.Reply, error) {
		ctx, done := p.j.givesWay(ctx, questionShort)
		defer done()
		ctx, free := p.j.leavesPlace(ctx)
		defer free()
		began := p.w.now()
		defer func() { c.took = p.w.now().Sub(began) }()
		return c.ep.ep.Send(ctx, req)
	})
	if err == nil {
		p.j.lane.base().answers.took(c.took)
		_, err = p.judged(c, reply)
	}
	return err
}

// cutShort says that a question is over by its context. Where that is by its deadline, the
// call may have come to its end by that before the context has.
func cutShort(ctx context.Context) bool {
	until, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(until)
}

// unanswered says that a call came to no reply.
func unanswered(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Status == 0
}

// never is longer than any period.
const never = 100 * 365 * 24 * time.Hour

// unasked reports whether nothing was found since the API was not asked: tokend stops,
// something else of the credential is due, or its host does not answer.
func (p *performer) unasked(err error) bool {
	var away *barredError
	if errors.As(err, &away) {
		as := p.r.standing
		p.barred(away)
		p.r.standing = as // the token is good for all that is known
	}
	if away == nil && errors.Is(err, errNotBegun) {
		p.r.again = !p.w.isStopped()
	}
	return errors.Is(err, errNotBegun)
}

const (
	// questionMost is how long an answer is waited for.
	questionMost = 10 * time.Second
	// questionShort is how long an answer was waited for at the least where there being
	// none says something of the provider.
	questionShort = 2 * time.Second
)

// questioning is for how long a question is asked. It costs nothing to ask again, so it is
// dropped as soon as anything else of the credential is due, or ordered, and where tokend
// stops.
func (p *performer) questioning() (context.Context, context.CancelFunc) {
	most := questionMost
	if at := p.ob.unlessAsking(); !at.IsZero() {
		if d := at.Sub(p.w.now()); d > 0 {
			most = min(most, d)
		}
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(p.ctx), most)
	stop := context.AfterFunc(p.w.life, done)
	over := p.w.asking.begin(p.j.addr, done)
	return ctx, func() { over(); stop(); done() }
}

// asksFor is the provider of the token that is asked about.
func (ob *observed) asksFor() string {
	if ob.ep != nil {
		return string(ob.in.Want.Provider)
	}
	return ob.in.Record.Grant.Provider
}

// unlessAsking is when something else of a credential is due that is to be asked about;
// zero: nothing is.
func (ob *observed) unlessAsking() time.Time {
	in := ob.in
	in.Measured.at, in.Order = in.Now.Add(never), Order{}
	in.Measured.asked = in.Record.LostPoll
	s := Decide(in)
	if s.acts() || !s.Next.After(in.Now) {
		return time.Time{}
	}
	return s.Next
}

func (p *performer) verifyCall() (*call, error) {
	g := p.ob.in.Record.Grant
	token, err := tokenOf(g)
	if err != nil {
		return nil, err
	}
	c := &call{op: opVerify, ep: p.ob.held, c: providers.Call{
		Op: providers.OpVerify, Grant: g.GrantType, Path: p.ob.in.Verify.Path, Token: token, Scopes: g.Scopes, Origins: g.Origins,
		Flow: providers.Flow{RedirectURI: g.RedirectURI}, Now: p.w.now(),
	}}
	if c.c.Inputs, err = spec.OpenValues(g.Inputs); err != nil {
		return c, err
	}
	var missing []string
	for _, n := range c.ep.ep.Needs(providers.OpVerify, g.GrantType) {
		if !c.c.Inputs.Has(n) {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return c, nil
	}
	v, err := p.j.cfg.Inputs(spec.Address(p.j.addr), missing, p.ob.scope)
	for _, n := range v.Names() {
		c.c.Inputs = c.c.Inputs.With(n, v.Cty(n))
	}
	return c, err
}

// found takes over what the API said: 401 refuses the token, any other answer
// than a failure of the server does not, and no answer says nothing.
func (p *performer) found(err error) {
	in := &p.ob.in
	rec, m, now := &in.Record, &in.Measured, p.w.now()
	m.at, m.asked, m.silent = now, rec.LostPoll, ""
	silences := m.silences
	m.silences = 0
	var pe *providers.Error
	isError, since := errors.As(err, &pe), m.since
	m.since = time.Time{}
	switch {
	case isError && pe.Status == http.StatusUnauthorized:
		m.sound = false
		if m.refused++; m.refused < 2 || rec.Verified.Refused == rec.Grant.Generation {
			break // a disk may have taken nothing when it was found out first
		}
		rec.Verified.Refused, rec.Verified.At, rec.Verified.Why = rec.Grant.Generation, now, pe.Error()
		p.log().Warn("the API no longer honours the token: it refused it twice", "error", pe)
		p.save("a token that the API no longer honours")
	case err != nil && (!isError || pe.Status == 0 || pe.Class == providers.ClassUnknown || pe.Class == providers.ClassTransient || pe.Class == providers.ClassThrottled):
		// No answer to the question. It is asked again after the period, or when
		// the provider asked for.
		if isError && pe.RetryAfter > in.Verify.Every {
			m.at = now.Add(pe.RetryAfter - in.Verify.Every)
		}
		if said, _ := healthOf(err); said.down && unanswered(err) {
			m.silences = silences + 1
			m.at = now.Add(silenceWait(in.Verify.Every, m.silences, draw(in.Spread, m.silences, now)))
		}
		if m.silent, m.since = err.Error(), since; since.IsZero() {
			m.since = now
		}
		p.log().Info("asking whether the API honours the token gave no answer", "error", err)
	default:
		m.refused, m.sound = 0, true
		p.honoured(err, m)
	}
}

// honoured: the API did not refuse the token.
func (p *performer) honoured(err error, m *measured) {
	rec := &p.ob.in.Record
	if err != nil && !m.warned {
		m.warned = true
		p.log().Warn("what verify asks for answers with an error that is no refusal of the token: is the path right?", "error", err)
	}
	if rec.Verified.Refused == rec.Grant.Generation {
		rec.Verified.Refused, rec.Verified.Why = 0, ""
		p.log().Info("the API honours the token again")
		p.save("a token that the API honours again")
	}
}

// heals notes that a token is renewed because the API no longer honours it.
func (p *performer) heals() {
	v := &p.ob.in.Record.Verified
	kept := v.Renewed[:0:0]
	for _, t := range v.Renewed {
		if p.w.now().Sub(t) < time.Hour {
			kept = append(kept, t)
		}
	}
	v.Renewed = append(kept, p.w.now())
}
