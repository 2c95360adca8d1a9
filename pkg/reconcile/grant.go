package reconcile

import (
	"errors"
	"fmt"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// call is one request that can spend or create something, with all that the
// durable order needs to know of it.
type call struct {
	op     string
	ep     *openEndpoint
	c      providers.Call
	intent state.Intent
	before *state.Intent // that was open before it
	spends secret.Text   // the refresh token or code
	blob   string        // where the state keeps ep
	took   time.Duration
	reread bool              // its reply came long ago: the configuration may say something else by now
	sent   map[string]string // what sentInputs says of its inputs; nil: it was not asked yet
	origin string            // that it asks
	poll   bool              // asks whether a person has approved a device code
}

// obtain runs the grant, or exchanges a login's code.
func (p *performer) obtain() {
	in := &p.ob.in
	if in.Traits.Static && p.step.Action != ActExchange {
		p.static() // in the place of a token that was obtained
		return
	}
	want := in.Want
	values, err := p.j.cfg.Inputs(spec.Address(p.j.addr), nil, p.ob.scope)
	if err != nil {
		p.unreadable(err)
		return
	}
	if p.step.Action == ActExchange && !p.asBegun(values) {
		return
	}
	if (in.Traits.Lockout || in.Traits.oneSession()) && p.step.Action != ActExchange {
		hashes := p.sentInputs(values)
		end, ok := p.login(hashes)
		if !ok {
			return
		}
		defer end()
		if p.heldBack(hashes) {
			return
		}
		defer p.tookSession(hashes, in.Record.Head.Generation)
	}
	c := call{op: opGrant, ep: p.ob.ep, c: providers.Call{
		Op: providers.OpGrant, Grant: want.Grant.Name, Inputs: values, Scopes: want.Scopes, DefaultLifetime: want.DefaultLifetime, Now: p.w.now(),
	}}
	if g := in.Record.Grant; g != nil && in.Origins == "" && g.GrantType == want.Grant.Name && p.step.Action != ActExchange && p.ob.ep.ep.Traits(want.Grant.Name).Discovers {
		// The issuer may come to name another address at this very call.
		c.c.Origins = g.Origins
	}
	if p.step.Action == ActExchange {
		c.op, c.c.Op, c.c.Flow = opExchange, providers.OpExchange, p.j.order.login.Flow
		c.spends, c.c.Origins = c.c.Flow.Code, p.j.order.login.Origins
		if c.poll = !c.c.Flow.DeviceCode.Empty(); c.poll {
			c.spends = c.c.Flow.DeviceCode
		}
	}
	c.intent.Generation, c.sent = in.nextGeneration(), p.sent
	reply, err := p.send(&c)
	if err != nil {
		p.refused(&c, err)
		return
	}
	p.read(&c, reply, func(t providers.Token) {
		p.polled(&c)
		p.granted(&c, t)
	})
}

// send journals the intent, makes the call once, and hands back the reply. A
// call that was never begun comes back as errNotBegun.
func (p *performer) send(c *call) (*providers.Reply, error) {
	if p.w.isStopped() {
		return nil, errNotBegun
	}
	var err error
	if c.blob, err = p.w.endpoints.name(p.ctx, c.ep); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotBegun, err)
	}
	traits := c.ep.ep.Traits(c.c.Grant)
	if c.op == opExchange && traits.Implicit {
		p.called = true
		return nil, nil // the redirect brought the token itself
	}
	if traits.Discovers {
		// Reading an issuer's metadata spends nothing and needs no intent.
		if err := p.w.discover(p.ctx, p.j, c.ep.ep, c.c.Grant, c.c.Inputs, c.c.Origins); err != nil {
			p.seen(err)
			return nil, err
		}
	}
	req, err := c.ep.ep.Prepare(c.c)
	if err == nil {
		c.origin = req.Origin
		err = p.j.barred(req.Origin, p.w.now())
	}
	if err != nil {
		return nil, err
	}
	p.knowsOthers(c)
	boot, up := p.w.o.Uptime()
	c.intent.Op, c.intent.At, c.intent.Boot, c.intent.Monotonic = c.op, p.w.now(), boot, up
	c.intent.Endpoint, c.intent.GrantType = c.blob, c.c.Grant
	if c.poll {
		c.intent.Op = opPoll
	}
	if !c.spends.Empty() {
		c.intent.TokenHash = state.HashText(p.w.store, "spent", c.spends)
	}
	if c.before = p.ob.in.Intent; c.before != nil {
		c.intent.Attempt = c.before.Attempt
	}
	c.intent.Attempt++
	// Nothing is spent that could not be recorded: an intent that the disk does
	// not take fails here, before the call.
	p.j.seat.reserve(p.w.now())
	if err := p.w.store.Commit(p.ctx, append([]state.Change{{Intent: &c.intent, IntentFor: p.j.addr}}, p.w.sent(p.j)...)...); err != nil {
		return nil, fmt.Errorf("%w: journalling the intent: %w", errNotBegun, err)
	}
	p.w.unwritable.over()
	p.ob.in.Intent, p.called = &c.intent, true
	lookOf(p.ctx).close()
	began := p.w.now()
	reply, err := p.inFlight(func() (*providers.Reply, error) {
		ctx, done, ok := p.inTime(c)
		if !ok {
			return nil, errTooLate
		}
		defer done()
		end, err := p.ending(c)
		if err != nil {
			return nil, err
		}
		defer end()
		switch c.op {
		case opRevoke:
			way, over := p.j.givesWay(ctx, revocationShort)
			defer over()
			ctx = way
		case opGrant, opExchange, opRefresh:
			p.w.tokens.over(p.brings) // one before it has brought nothing, or that is recorded
			p.brings = p.w.tokens.begins()
		}
		return c.ep.ep.Send(ctx, req)
	})
	if errors.Is(err, errNotBegun) {
		p.takeBack(c)
		return nil, err
	}
	c.took = p.w.now().Sub(began)
	if err != nil {
		p.hide(c, err)
		p.observe(c, err)
	}
	return reply, err
}

// judged is what a reply says.
func (p *performer) judged(c *call, reply *providers.Reply) (providers.Token, error) {
	t, err := c.ep.ep.Read(c.c, reply)
	if err != nil {
		p.hide(c, err)
	}
	return t, err
}

// hide takes out of a provider's words what the credential was obtained with: the
// call itself knows the inputs that its request names, and no others.
func (p *performer) hide(c *call, err error) {
	var pe *providers.Error
	if c.op == opGrant || c.op == opExchange || p.j.cfg == nil || !errors.As(err, &pe) || pe.Message == "" {
		return
	}
	all, err := p.j.cfg.Inputs(spec.Address(p.j.addr), nil, p.ob.scope)
	if rd := pendingOf(err); rd != nil {
		pe.Message = "its words are not shown, since " + rd.key.addr.Short() + ", which is not to be in them, has not answered"
		return
	}
	if err != nil {
		return // what cannot be read now was not said to the provider just now either
	}
	known := p.w.secrets.texts()
	for _, n := range all.Names() {
		if t, err := all.Secret(n); err == nil {
			known = append(known, t)
		}
	}
	pe.Message = secret.Scrub(pe.Message, known...)
}

// inFlight makes a call as one of its lane's requests in flight, at the pace of
// its lane. Only the call itself holds a slot: waiting for a commit to reach the
// disk costs no concurrency. A stop waits for neither: the call is not made then.
func (p *performer) inFlight(call func() (*providers.Reply, error)) (*providers.Reply, error) {
	return p.j.inFlight(p.w.now, p.w.stopped, call)
}

func (j *job) inFlight(now func() time.Time, stopped <-chan struct{}, call func() (*providers.Reply, error)) (r *providers.Reply, err error) {
	select {
	case <-stopped:
		return nil, errNotBegun
	default:
	}
	if j.pace != nil && j.keepSent != nil && !j.seat.reserved(now()) {
		j.seat.reserve(now())
		j.keepSent(j)
	}
	var began time.Time // when its turn had come
	if j.calls != nil {
		if !j.takeSlot(stopped) {
			return nil, errNotBegun
		}
		if j.shared != nil {
			select {
			case j.shared <- struct{}{}:
			case <-stopped:
				<-j.calls
				return nil, errNotBegun
			}
			defer func() { <-j.shared }()
		}
		j.called.again()
		defer func() {
			<-j.calls
			// A call that was not answered makes no room for others before the breaker
			// has heard of it: they would be sent to a provider that is away.
			if h, _ := healthOf(err); !h.down {
				if err == nil {
					j.lane.took.took(time.Since(began))
				}
				j.called.over(j.lane)
			}
		}()
	}
	if j.pace != nil {
		end, ok := j.pace.pass(now, stopped)
		if !ok {
			return nil, errNotBegun
		}
		said := j.seat.reserved(now())
		j.seat.leave()
		defer end()
		if !said && j.keepSent != nil { // its turn was longer in coming than was said
			j.keepSent(j)
		}
	}
	began = time.Now()
	r, err = call()
	j.sent = j.sent || !errors.Is(err, errNotBegun)
	return r, err
}

// takeBack takes the intent of a call back that was not made after all, because
// tokend stops or its time has gone by. Where the disk does not take that, the
// next start finds a call whose outcome is unknown, and is on the safe side.
func (p *performer) takeBack(c *call) {
	change := state.Change{IntentFor: p.j.addr, ClearIntent: c.before == nil}
	if c.before != nil {
		change.Intent = c.before
	}
	p.j.seat.leave()
	if err := p.w.store.Commit(p.ctx, append([]state.Change{change}, p.w.sent(p.j)...)...); err != nil {
		p.log().Warn("taking back the intent of a call that was not made failed", "op", c.op, "error", err)
	}
	p.ob.in.Intent, p.called = c.before, false
}

// errNotBegun: the call was not made; nothing was spent. errTooLate: nor is it to
// be made any more.
var (
	errNotBegun = errors.New("not begun")
	errTooLate  = fmt.Errorf("%w: the time for it has gone by", errNotBegun)
)

// observe tells the metrics and the breaker how a call ended.
func (p *performer) observe(c *call, err error) {
	if c.poll && waitsForPerson(err) {
		err = nil // the provider answers as it should
	}
	p.seen(err)
	if p.r.health != nil && c.origin != "" {
		p.r.health.origin = c.origin
	}
	if p.w.o.Observe == nil {
		return
	}
	p.w.o.Observe(Event{Address: p.j.addr, Type: p.providerType(), Op: c.op, Class: classOf(err), Took: c.took})
}

// classOf is how a call ended, for the metrics.
func classOf(err error) string {
	var pe *providers.Error
	switch {
	case errors.As(err, &pe):
		return string(pe.Class)
	case err != nil:
		return "failed"
	}
	return "ok"
}

// seen notes what a call's outcome says of its provider.
func (p *performer) seen(err error) {
	if h, ok := healthOf(err); ok {
		p.r.health = &h
	}
}

func (p *performer) providerType() string {
	if w := p.ob.in.Want; w != nil {
		return w.Type.Name
	}
	if g := p.ob.in.Record.Grant; g != nil {
		return g.Type
	}
	if r := p.ob.in.Record.Retiring; len(r) > 0 {
		return r[0].Type
	}
	return ""
}

// static takes a static grant's outputs over: there is nothing to obtain.
func (p *performer) static() {
	in := &p.ob.in
	values, err := p.j.cfg.Inputs(spec.Address(p.j.addr), nil, p.ob.scope)
	if err != nil {
		p.unreadable(err)
		return
	}
	c := call{op: opGrant, ep: p.ob.ep, c: providers.Call{Op: providers.OpGrant, Grant: in.Want.Grant.Name, Inputs: values, Scopes: in.Want.Scopes, Now: p.w.now()}}
	t, err := c.ep.ep.Static(c.c)
	if err == nil {
		c.blob, err = p.w.endpoints.name(p.ctx, c.ep)
	}
	if err != nil {
		p.refused(&c, err)
		return
	}
	if in.followsKey() {
		in.Record.Grant = nil // what was held is the key itself; there is nothing to revoke
	}
	p.granted(&c, t)
}

// unreadable: an input could not be read, so nothing was tried. The secret may
// be readable a moment later, and its source's events wake the credential.
func (p *performer) unreadable(err error) {
	o := outcome{op: opGrant}
	if p.step.Action == ActRefresh || p.step.Action == ActReplay {
		o.op = opRefresh
	}
	if p.await(o.op, err, p.refreshUntil) {
		return
	}
	err = unready(err)
	o.class, o.message, o.hint = "input", err.Error(), cure(err)
	f := p.failed(o)
	p.r.next = f.NextAt
	p.r.standing = &Standing{State: Failing, Why: err.Error(), Next: "tried again", Mend: mendOf(err, p.j.addr)}
	p.log().Warn("an input could not be read", "error", err)
	if p.save("an input that could not be read") && (o.op == opGrant || p.ob.in.RefreshFailure != nil) {
		p.meanwhile()
	}
	p.fail(err)
}

func (p *performer) retry() spec.RetryPolicy {
	if w := p.ob.in.Want; w != nil {
		return w.Retry
	}
	return spec.RetryPolicy{Initial: time.Second, Max: 5 * time.Minute}
}
