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
	c, err := p.verifyCall()
	ctx, done := p.asks()
	defer done()
	var reply *providers.Reply
	if err == nil {
		if c.ep.ep.Traits(c.c.Grant).Discovers {
			err = p.w.discoverUntil(ctx, ctx.Done(), &p.j, c.ep.ep, c.c.Grant, c.c.Inputs, c.c.Origins)
		}
		if p.unasked(err) {
			return
		}
	}
	if err == nil {
		var req *providers.Request
		if req, err = c.ep.ep.Prepare(c.c); err == nil {
			c.origin = req.Origin
			if p.unasked(p.j.barred(req.Origin, p.w.now())) {
				return
			}
			began := p.w.now()
			reply, err = p.j.inFlight(p.w.now, ctx.Done(), func() (*providers.Reply, error) { return c.ep.ep.Send(ctx, req) })
			c.took = p.w.now().Sub(began)
			if p.unasked(err) {
				return
			}
		}
	}
	if err == nil {
		_, err = p.judged(c, reply)
	}
	if c != nil && (err == nil || ctx.Err() == nil || c.took >= questionShort) {
		p.observe(c, err) // what was cut short says nothing of its provider
	}
	p.found(err)
	p.r.measured = &in.Measured
	next := Decide(*in)
	p.r.next, p.r.standing, p.r.revokesAt = next.Next, standingOf(next), in.revokesAt(next)
	p.r.again = next.acts()
}

// never is longer than any period.
const never = 100 * 365 * 24 * time.Hour

// unasked reports whether nothing was found since the API was not asked: tokend stops,
// or its host does not answer.
func (p *performer) unasked(err error) bool {
	var away *barredError
	if errors.As(err, &away) {
		as := p.r.standing
		p.barred(away)
		p.r.standing = as // the token is good for all that is known
	}
	if away == nil && errors.Is(err, errNotBegun) {
		p.r.again = !p.w.isStopped() // something else of it is due
	}
	return errors.Is(err, errNotBegun)
}

const (
	// questionMost is how long an answer is waited for, and questionAlone that where the
	// provider lets one request through at a time, so that all else waits meanwhile.
	questionMost  = 10 * time.Second
	questionAlone = 5 * time.Second
	// questionShort is how long an answer was waited for at the least where there being
	// none says something of the provider.
	questionShort = 2 * time.Second
)

// asks bounds a question: it costs nothing to ask again, so it is dropped as soon as
// anything else of the credential is due, and where tokend stops before it was sent.
func (p *performer) asks() (context.Context, context.CancelFunc) {
	most := questionMost
	if p.j.limits.Concurrency == 1 {
		most = questionAlone
	}
	if at := p.ob.unlessAsking(); !at.IsZero() {
		if d := at.Sub(p.w.now()); d > 0 {
			most = min(most, d)
		}
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(p.ctx), most)
	stop := context.AfterFunc(p.w.life, done)
	return ctx, func() { stop(); done() }
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
	var pe *providers.Error
	isError := errors.As(err, &pe)
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
		m.silent = err.Error()
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
