package reconcile

import (
	"net/http"
	"slices"
	"sort"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// rereading is what a kept reply is read by.
func (p *performer) rereading(raw *state.Raw) (*call, error) {
	in := &p.ob.in
	inputs, err := spec.OpenValues(raw.Inputs)
	if err != nil {
		return nil, err
	}
	ep, err := p.endpointOfRaw(raw, inputs)
	if err != nil {
		return nil, err
	}
	blob, err := p.w.endpoints.name(p.ctx, ep)
	if err != nil {
		return nil, err
	}
	c := &call{op: raw.Op, ep: ep, blob: blob, reread: true, c: providers.Call{Op: providers.Op(raw.Op), Grant: raw.GrantType, Inputs: inputs, Now: raw.At, Flow: providers.Flow{RedirectURI: raw.Redirect}}}
	if in.Want != nil {
		c.c.DefaultLifetime, c.c.Scopes = in.Want.DefaultLifetime, in.Want.Scopes
	}
	return c, nil
}

// readAgain reads a kept reply by a call.
func readAgain(c *call, raw *state.Raw) (providers.Token, error) {
	return c.ep.ep.Read(c.c, &providers.Reply{Status: raw.Status, Header: http.Header(raw.Header), Body: raw.Body, At: raw.At.Add(-raw.Slept), Slept: raw.Slept})
}

// reread reads a kept reply again, after the provider type was mended.
func (p *performer) reread() {
	if p.step.Cause == causeKept {
		p.rereadBeside()
		return
	}
	in := &p.ob.in
	raw := in.Record.Raw
	c, err := p.rereading(raw)
	if err != nil {
		p.unreadStill(err)
		return
	}
	t, err := readAgain(c, raw)
	if err != nil && doubtful(raw) {
		in.Record.Raw = nil // it was no answer after all, and what is wanted is a try
		p.r.again = p.save("that a reply was no answer")
		return
	}
	if err != nil {
		in.Record.Raw.Message = err.Error()
		saved := p.save("a reply that still cannot be read")
		if saved && p.j.order != nil && in.asksByRetry() {
			p.j.order.order.read, p.r.again = true, true // by the order, the grant is asked at once
			return
		}
		p.unreadStill(p.unreadNext(raw, err))
		return
	}
	if doubtful(raw) {
		in.Record.Orphans = in.Record.Orphans.Without() // what it brought was counted, and is known now
	}
	another := in.Want != nil && raw.Op != opRefresh && raw.GrantType != in.Want.Grant.Name
	if in.Want == nil || another && !p.endedByKept(c) || raw.Revoked || raw.Op == opRefresh && in.Record.Grant == nil {
		p.retireReread(c, t)
		return
	}
	in.Record.Raw = nil
	if raw.Op == opRefresh && in.Record.Grant != nil && in.Record.Grant.Generation == raw.Generation {
		p.refreshed(c, t)
	} else {
		p.step.Cause = causeReplace
		p.granted(c, t)
	}
	p.r.again = true // the configuration may want another one since the call was made
}

// endedByKept says that the token in force has ended with what a kept reply brought by
// another grant than the wanted one: an account has one session, and as far as the
// inputs tell that both grants have, it is of the same account. Then the newer one
// takes its place, until there is one by the grant that is wanted.
func (p *performer) endedByKept(c *call) bool {
	in := &p.ob.in
	g, raw := in.Record.Grant, in.Record.Raw
	if g == nil || raw.Op == opRefresh || in.Traits.Session != spec.SessionOnePerAccount || !raw.At.After(g.ObtainedAt) {
		return false
	}
	origins, err := c.ep.ep.Origins(raw.GrantType, c.c.Inputs)
	if sort.Strings(origins); err != nil || !slices.Equal(origins, g.Origins) {
		return false
	}
	var both []string
	for _, i := range in.Want.Inputs {
		if i.OnChange == spec.OnChangeReplace && g.InputHashes[i.Name] != "" && c.c.Inputs.Has(i.Name) {
			both = append(both, i.Name)
		}
	}
	hashes, err := p.w.hashNamed(c.c.Inputs, both)
	return err == nil && len(both) > 0 && !slices.ContainsFunc(both, func(n string) bool { return hashes[n] != g.InputHashes[n] })
}

// endpointOfRaw is the endpoint that reads a kept reply: the configured one,
// whose type was mended, if it asks the addresses that the reply came from.
func (p *performer) endpointOfRaw(raw *state.Raw, inputs spec.Values) (*openEndpoint, error) {
	issued, err := p.w.endpoints.recorded(p.ctx, raw.Endpoint)
	if err != nil || p.ob.ep == nil {
		return issued, err
	}
	from, err := issued.ep.Origins(raw.GrantType, inputs)
	if err != nil {
		return nil, err
	}
	now, err := p.ob.ep.ep.Origins(raw.GrantType, inputs)
	sort.Strings(from)
	sort.Strings(now)
	if err != nil || !slices.Equal(from, now) {
		return issued, nil
	}
	return p.ob.ep, nil
}

// unreadStill: the reply stays where it is, until its type was mended or a
// person gives it up.
func (p *performer) unreadStill(err error) {
	p.fail(err)
	p.r.again = true // without the order, to go on with what else there is to do
}

// retireReread gives up what a kept reply brought of a credential that is no
// longer declared, or that was given up since, itself or with the grant that it
// refreshed: the API may have ended all of that, and what goes on begins with a
// new one.
func (p *performer) retireReread(c *call, t providers.Token) {
	rec := &p.ob.in.Record
	g, err := p.grantReread(c, t, rec.Raw)
	if err != nil {
		p.unreadStill(err)
		return
	}
	g.Generation = p.ob.in.nextGeneration()
	cause := causeRemove
	for _, old := range rec.Retiring {
		if old.Retired != nil && old.Generation == rec.Raw.Generation {
			cause = old.Retired.Cause // it goes as what it was to follow
		}
	}
	rec.Raw = nil
	rec.Head.Generation = g.Generation
	rec.Retiring = append(rec.Retiring, p.retiring(g, cause))
	p.r.again = p.save("what a kept reply brought")
	p.answer()
}

// grantReread is what a kept reply brought, with all that its revocation needs, but for
// a generation.
func (p *performer) grantReread(c *call, t providers.Token, raw *state.Raw) (state.Grant, error) {
	g := newGrant(t, p.w.now())
	g.GrantedAt, g.Type, g.InputHashes = raw.At, raw.Type, raw.InputHashes
	g.Endpoint, g.GrantType, g.RedirectURI = c.blob, c.c.Grant, c.c.Flow.RedirectURI
	origins, err := c.ep.ep.Origins(c.c.Grant, c.c.Inputs)
	if err != nil {
		return g, err
	}
	sort.Strings(origins)
	g.Origins = origins
	g.Inputs, err = keptInputs(c)
	return g, err
}
