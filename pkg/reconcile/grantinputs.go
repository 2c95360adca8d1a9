package reconcile

import (
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// grantInputs are the inputs that a call about a grant names.
func (p *performer) grantInputs(g *state.Grant, ep *openEndpoint, op providers.Op) (spec.Values, error) {
	sealed, err := spec.OpenValues(g.Inputs)
	if err != nil {
		return spec.Values{}, err
	}
	names := ep.ep.Needs(op, g.GrantType)
	if p.j.cfg == nil || ep != p.ob.ep || len(names) == 0 {
		return sealed, nil
	}
	for _, n := range names {
		// Only what may change under a grant is read anew: an input whose change
		// makes a new grant necessary belongs to the old one until then.
		if !p.followsConfig(n) {
			continue
		}
		v, err := p.j.cfg.Inputs(spec.Address(p.j.addr), []string{n}, p.ob.scope)
		if err == nil {
			sealed = sealed.With(n, v.Cty(n))
		} else if !sealed.Has(n) {
			p.refreshUntil = time.Time{}
			return sealed, err
		} else if rd := pendingOf(err); rd != nil && p.step.Action == ActRefresh {
			if until, waits := p.refreshWaits(rd); waits {
				p.refreshUntil = until
				return sealed, err
			}
		}
	}
	return sealed, nil
}

func (p *performer) followsConfig(name string) bool {
	for _, in := range p.ob.in.Want.Inputs {
		if in.Name == name {
			return in.OnChange == spec.OnChangeNextUse
		}
	}
	return false
}
