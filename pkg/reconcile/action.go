package reconcile

import (
	"errors"
	"fmt"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// act makes a provider's imperative call, once.
func (p *performer) act() {
	in := &p.ob.in
	name := in.Order.Action
	c, ends, err := p.actionCall(name)
	if p.await(opOrder, err, time.Time{}) {
		return
	}
	if err != nil {
		p.fail(err)
		return
	}
	var with map[string]string
	if ends {
		// Before it is sent, since nothing is waited for after that.
		if with, err = p.loginHashes(); p.await(opOrder, err, time.Time{}) {
			return
		}
	}
	_, err = p.sendAndRead(c)
	if err != nil {
		if errors.Is(err, errNotBegun) {
			p.notBegun(err)
			return
		}
		p.actFailed(c, err)
		return
	}
	rec := &in.Record
	rec.Note = fmt.Sprintf("the action %q was carried out", name)
	p.log().Info("action", "action", name)
	if ends {
		p.end(name, with)
	}
	p.r.again = p.save("an action", state.Change{IntentFor: p.j.addr, ClearIntent: true})
	p.answer()
}

// end stops a credential whose account was ended: no login will ever succeed
// again, so none is tried. with is what one would have sent before the action.
func (p *performer) end(action string, with map[string]string) {
	rec := &p.ob.in.Record
	rec.Grant.RefreshState = state.RefreshRefused
	if f := rec.Failure; f != nil && f.Op == opGrant && f.Stopped {
		return // what was refused before is not asked for again because something else has ended
	}
	now := p.w.now()
	rec.Failure = &state.Failure{Op: opAction, InputHash: p.endedWith(with), Class: string(providers.ClassPermanent), Count: 1, FirstAt: now, LastAt: now, NextAt: now, Stopped: true,
		Message: fmt.Sprintf("its account was ended by the action %q", action), Hint: "remove its block"}
}

// endedWith are hashes of what a login to the ended account would send: as it is
// now, since what changed before its end is no reason to try again. Where the
// configuration wants another account by now, it is what the token was obtained with.
func (p *performer) endedWith(before map[string]string) map[string]string {
	in := &p.ob.in
	if len(in.WantsNew) == 0 {
		if hashes, err := p.loginHashes(); err == nil && hashes != nil {
			return hashes
		}
		if before != nil {
			return before // a secret has not answered since
		}
	}
	return in.Record.Grant.InputHashes
}

// loginHashes are hashes of what a login would send now.
func (p *performer) loginHashes() (map[string]string, error) {
	values, err := p.j.cfg.Inputs(spec.Address(p.j.addr), nil, p.ob.scope)
	if err != nil {
		return nil, err
	}
	return p.sentInputs(values), nil
}

func (p *performer) actionCall(name string) (*call, bool, error) {
	in := &p.ob.in
	if in.Want == nil || in.Record.Grant == nil || unspent(in.Record.Grant) {
		return nil, false, fmt.Errorf("the action %q needs a credential that is declared and has a token", name)
	}
	ends := false
	found := false
	for _, a := range in.Want.Type.Actions {
		if a.Name == name {
			found, ends = true, a.EndsAccount
		}
	}
	if !found {
		return nil, false, fmt.Errorf("the provider type %s has no action %q", in.Want.Type.Name, name)
	}
	g := in.Record.Grant
	token, err := tokenOf(g)
	if err != nil {
		return nil, false, err
	}
	values, err := p.j.cfg.Inputs(spec.Address(p.j.addr), p.ob.ep.ep.Needs(providers.OpAction, g.GrantType), p.ob.scope)
	if err != nil {
		return nil, false, err
	}
	c := &call{op: opAction, ep: p.ob.ep, c: providers.Call{Op: providers.OpAction, Grant: g.GrantType, Action: name, Inputs: values, Token: token,
		Origins: g.Origins, Scopes: g.Scopes, Flow: providers.Flow{RedirectURI: g.RedirectURI}, Now: p.w.now()}}
	c.intent.Action, c.intent.Generation = name, g.Generation
	return c, ends, nil
}

// actFailed reports a failed action; it is never repeated.
func (p *performer) actFailed(c *call, err error) {
	var pe *providers.Error
	if errors.As(err, &pe) && pe.Class == providers.ClassUnknown {
		err = fmt.Errorf("whether the action %q took effect is unknown, and it is not repeated: %w", c.c.Action, err)
	}
	p.log().Warn("an action failed", "action", c.c.Action, "error", err)
	p.ob.in.Record.Note = fmt.Sprintf("the action %q failed: %s", c.c.Action, err)
	p.r.again = p.save("a failed action", state.Change{IntentFor: p.j.addr, ClearIntent: true})
	p.fail(err)
}
