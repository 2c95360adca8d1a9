package spec

import (
	"sync/atomic"

	"github.com/zclconf/go-cty/cty"
)

// blockPlan is what is worked out once for a sink, secret, hook or vault block.
type blockPlan struct {
	form    *form
	schema  *Schema
	uses    []Address
	useRefs []ref
	diags   Diagnostics
	outline atomic.Pointer[Sink] // of a sink: what Outline gives, where all instances have it in common
}

// blockPlan parses a block and finds its schema.
func (c *Config) blockPlan(kind string, res *resource) *blockPlan {
	if p, ok := c.plans.get(res).(*blockPlan); ok {
		return p
	}
	p := c.planBlock(kind, res)
	c.plans.put(res, p)
	return p
}

func (c *Config) planBlock(kind string, res *resource) *blockPlan {
	p := &blockPlan{}
	p.form, p.diags = newForm(res.src, int(res.row))
	if kind == kindVault {
		p.schema = c.vaultSchema
	} else if sc := c.kinds[kind][p.form.labels[0]]; sc != nil {
		p.schema = sc
	} else {
		b := res.block()
		p.diags = append(p.diags, c.unknownKind(kind, p.form.labels[0], res.src.rangeOf(b, b.labels[0])))
	}
	if kind == kindSink {
		ev := c.evaluator(Scope{})
		p.form.walk(func(a *argument) {
			if !isMeta(a.name) && a.expr != nil {
				c.splitUses(ev, a, &p.uses, &p.useRefs)
			}
		})
		p.uses = sortAddresses(p.uses)
	}
	return p
}

// walk calls f for every argument of a block and of what is nested in it.
func (f *form) walk(visit func(*argument)) {
	for i := range f.args {
		visit(&f.args[i])
	}
	for _, b := range f.blocks {
		b.walk(visit)
	}
}

// blockAt finds an instance of a block other than a credential.
func (c *Config) blockAt(kind string, a Address) (*instance, *blockPlan, error) {
	p, err := parseAddress(string(c.own(a)))
	if err != nil || p.kind != kind {
		return nil, nil, &UnknownAddressError{Addr: a}
	}
	res := c.find(p.kind, p.typ, p.label)
	if res == nil {
		return nil, nil, &UnknownAddressError{Addr: a}
	}
	in, err := c.instanceOf(p, res)
	if err != nil {
		return nil, nil, err
	}
	plan := c.blockPlan(kind, res)
	if plan.schema == nil {
		return nil, nil, &EvalError{Addr: a, Diags: plan.diags}
	}
	return in, plan, nil
}

// Sink returns the static part of a sink instance.
func (c *Config) Sink(a Address) (*Sink, error) {
	in, plan, err := c.blockAt(kindSink, a)
	if err != nil {
		return nil, err
	}
	ev := c.evaluator(Scope{})
	m, diags := ev.args(plan.form, plan.schema, in, &selectArgs{})
	ev.fillVault(plan, m)
	if err := ev.failure(a, diags); err != nil {
		return nil, err
	}
	s := &Sink{Addr: c.now(in.address()), Kind: in.typ, Notify: notifyOf(m), Uses: plan.uses}
	delete(m, "notify")
	s.Static = c.withContents(plan.schema, published(m))
	if len(plan.useRefs) > 0 {
		uses := append([]Address(nil), plan.uses...)
		for i := range plan.useRefs {
			uses = append(uses, ev.addresses(&plan.useRefs[i], in)...)
		}
		s.Uses = sortAddresses(uses)
	}
	s.Uses = c.allNow(s.Uses)
	return s, nil
}

// Outline returns the static part of a sink instance but for its arguments.
// Static has none.
func (c *Config) Outline(a Address) (*Sink, error) {
	in, plan, err := c.blockAt(kindSink, a)
	if err != nil {
		return nil, err
	}
	if o := plan.outline.Load(); o != nil {
		return &Sink{Addr: a, Kind: o.Kind, Notify: o.Notify, Uses: c.allNow(c.usesOf(plan.uses, plan.useRefs, in))}, nil
	}
	s, err := c.Sink(a)
	if err != nil {
		return nil, err
	}
	s.Static = Values{}
	if n := plan.form.arg("notify"); n == nil || !n.varies() {
		plan.outline.Store(&Sink{Kind: s.Kind, Notify: s.Notify})
	}
	return s, nil
}

func notifyOf(m map[string]cty.Value) []Address {
	v, ok := m["notify"]
	if !ok || !v.IsKnown() || v.IsNull() {
		return nil
	}
	var out []Address
	for it := v.ElementIterator(); it.Next(); {
		_, x := it.Element()
		out = append(out, Address(x.AsString()))
	}
	return out
}

// published are values that leave this package; the map goes with them.
func published(m map[string]cty.Value) Values {
	for n, v := range m {
		m[n] = publish(v)
	}
	return NewValues(m)
}

// SinkArgs evaluates all arguments of a sink instance.
func (c *Config) SinkArgs(a Address, s Scope) (Values, error) {
	v, _, err := c.SinkArgsFrom(a, s)
	return v, err
}

// SinkArgsFrom is SinkArgs, and says whether a sensitive variable has reached any
// of them, so that what is made of them may not be shown even where all else in
// them is invented.
func (c *Config) SinkArgsFrom(a Address, s Scope) (args Values, reached bool, err error) {
	in, plan, err := c.blockAt(kindSink, a)
	if err != nil {
		return Values{}, false, err
	}
	m, err := c.blockArgs(a, in, plan, s)
	if err != nil {
		return Values{}, false, err
	}
	for _, v := range m {
		reached = reached || hasMark(v, variableMark{})
	}
	delete(m, "notify")
	return c.withContents(plan.schema, published(m)), reached, nil
}

// blockArgs evaluates all arguments of a block.
func (c *Config) blockArgs(a Address, in *instance, plan *blockPlan, s Scope) (map[string]cty.Value, error) {
	ev := c.evaluator(s)
	m, diags := ev.args(plan.form, plan.schema, in, &selectArgs{})
	if err := ev.failure(a, diags); err != nil {
		return nil, err
	}
	ev.fillVault(plan, m)
	return m, nil
}

// fillVault names the only vault where a block names none.
func (ev *evaluator) fillVault(plan *blockPlan, m map[string]cty.Value) {
	for i := range plan.schema.Attrs {
		at := &plan.schema.Attrs[i]
		if at.Ref != kindVault || plan.form.arg(at.Name) != nil {
			continue
		}
		if v, d := ev.c.defaultVault(plan.form, false); d == nil && v != "" {
			m[at.Name] = cty.StringVal(string(v))
		}
	}
}

// Hook evaluates a hook.
func (c *Config) Hook(a Address, s Scope) (*Block, error) { return c.evalBlock(kindHook, a, s) }

// Secret evaluates the block of a secret instance: where its value is, not the
// value.
func (c *Config) Secret(a Address, s Scope) (*Block, error) { return c.evalBlock(kindSecret, a, s) }

// Vault evaluates a vault block. Its Kind is the label of the auth block, whose
// arguments are nested as "auth".
func (c *Config) Vault(a Address, s Scope) (*Block, error) {
	b, err := c.evalBlock(kindVault, a, s)
	if err != nil {
		return nil, err
	}
	auth, ok := b.Args.Nested(authBlock)
	if !ok {
		return b, nil
	}
	b.Kind, err = auth.String(labelKey("type"))
	if err != nil {
		return nil, err
	}
	m := map[string]cty.Value{}
	for _, n := range auth.Names() {
		if n != labelKey("type") {
			m[n] = auth.Cty(n)
		}
	}
	b.Args = b.Args.With(authBlock, object(m))
	return b, nil
}

func (c *Config) evalBlock(kind string, a Address, s Scope) (*Block, error) {
	in, plan, err := c.blockAt(kind, a)
	if err != nil {
		return nil, err
	}
	m, err := c.blockArgs(a, in, plan, s)
	if err != nil {
		return nil, err
	}
	return &Block{Addr: in.address(), Kind: in.typ, Args: published(m)}, nil
}
