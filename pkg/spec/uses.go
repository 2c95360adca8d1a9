package spec

// planUses works out which secrets and credentials the inputs name.
func (c *Config) planUses(ev *evaluator, p *credentialPlan, res *resource) {
	for i := range p.grant.Inputs {
		if a := p.form.arg(p.grant.Inputs[i].Name); a != nil {
			c.splitUses(ev, a, &p.uses, &p.useRefs)
		}
	}
	p.uses = sortAddresses(p.uses)
}

// splitUses sorts an argument's references into addresses that all instances
// have in common and references that must be resolved for each.
func (c *Config) splitUses(ev *evaluator, a *argument, uses *[]Address, refs *[]ref) {
	for _, r := range c.deepRefs(a.refs) {
		switch r.root() {
		case "each":
			if r.attr(1) == "value" {
				*refs = append(*refs, r)
			}
		case kindSecret, kindCredential:
			if varying(r.indexRefs) {
				*refs = append(*refs, r)
				continue
			}
			*uses = append(*uses, ev.addresses(&r, nil)...)
		}
	}
}

func varying(refs []ref) bool {
	for i := range refs {
		switch refs[i].root() {
		case "each", "count":
			return true
		}
	}
	return false
}

// addresses lists the instances that a reference names.
func (ev *evaluator) addresses(r *ref, in *instance) []Address {
	if r.root() == "each" {
		return ev.eachAddresses(r, in)
	}
	t, d := ev.target(r, in)
	if d != nil || t.res == nil {
		return nil
	}
	if !t.whole || t.res.insts == nil {
		return []Address{t.p.address()}
	}
	out := make([]Address, 0, t.res.insts.len())
	for i := range t.res.insts.len() {
		out = append(out, name(t.p.kind, t.p.typ, t.p.label, t.res.insts.key(i)))
	}
	return out
}

// eachAddresses lists what each.value, or the part of it that a reference names,
// stands for or is made of.
func (ev *evaluator) eachAddresses(r *ref, in *instance) []Address {
	if in == nil || in.set == nil {
		return nil
	}
	if of := in.set.of; of != nil {
		if of.kind == kindSecret || of.kind == kindCredential {
			return []Address{of.address(in.index)}
		}
		return nil
	}
	if in.set.traced {
		kept := in.set.vals[in.index]
		if len(r.trav) > 2 {
			kept, _ = into(kept, r.trav[2:])
		}
		return madeOf(kept, nil)
	}
	var out []Address
	for _, r := range ev.c.deepRefs(in.set.itemRefs(in.key.str)) {
		if r.root() == kindSecret || r.root() == kindCredential {
			out = append(out, ev.addresses(&r, nil)...)
		}
	}
	return out
}
