package reconcile

import "tokend/pkg/secret"

// sharedError: another credential has got what ends with a token since it was decided to
// revoke that. It is errNotBegun.
type sharedError struct{ why string }

func (e *sharedError) Error() string { return e.why }

func (e *sharedError) Is(target error) bool { return target == errNotBegun }

// endsOthers is what a call ends, or may, of other credentials; and whether it is made
// although one of them has that in force.
func (p *performer) endsOthers(op string, spends secret.Text) (f fate, anyway bool) {
	in := &p.ob.in
	switch {
	case op == opRevoke:
		return in.fateOf(p.step.Retiring), in.Order.Kind == OrderRevoke
	case op == opRevive:
		return fate{refresh: spends}, in.Order.Kind == OrderRevoke
	case op == opRefresh && in.sharesRefresh():
		return fate{refresh: spends}, true
	}
	return fate{}, true
}

// knowsOthers has all records read before the intent of a call that ends something of
// others: they are asked about right before the call, and told as soon as its reply is
// there, which both wait for nothing.
func (p *performer) knowsOthers(c *call) {
	f, _ := p.endsOthers(c.op, c.spends)
	if f.none() {
		return
	}
	if _, _, err := p.w.othersOf(p.ctx, p.j.addr, f, 1, true); err != nil {
		p.log().Warn("finding out who else has what is about to end failed", "op", c.op, "error", err)
	}
}

// ending says that a call is about to be made which may end what others have; an error
// where one has got that in force since it was decided.
func (p *performer) ending(c *call) (end func(), err error) {
	in := &p.ob.in
	f, anyway := p.endsOthers(c.op, c.spends)
	if end = p.w.tokens.revoke(p.j.addr, f, anyway); end != nil {
		if c.op == opRefresh {
			p.findTwins(f.refresh)
		}
		return end, nil
	}
	if _, unread := p.w.tokens.begin(); !unread { // all records are not read here, where others wait for the place
		x := sharing{}
		if x.with, x.what, err = p.w.sharedWith(p.ctx, p.j.addr, f, false); err == nil && x.with != "" {
			return nil, &sharedError{in.untilFree(x)}
		}
	}
	return nil, &sharedError{"another credential has got what the revocation would end; which one is found out at the next look, or `" + in.mend("revoke") + "` ends both"}
}
