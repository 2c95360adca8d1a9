package spec

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// credentialPlan is what is worked out once for a credential block and holds
// for each of its instances.
type credentialPlan struct {
	form    *form
	typ     *ProviderType
	grant   *GrantType
	schema  *Schema
	base    atomic.Pointer[Credential] // complete but for Addr and Uses, unless varies
	varies  bool                       // an argument that is not an input depends on the instance
	inputs  []Input
	uses    []Address // of references that are the same for every instance
	useRefs []ref     // those that are not
	diags   Diagnostics
}

// credentialPlan parses and analyses a credential block.
func (c *Config) credentialPlan(res *resource) *credentialPlan {
	if p, ok := c.plans.get(res).(*credentialPlan); ok {
		return p
	}
	p := c.planCredential(res)
	c.plans.put(res, p)
	return p
}

func (c *Config) planCredential(res *resource) *credentialPlan {
	p := &credentialPlan{}
	p.form, p.diags = newForm(res.src, int(res.row))
	typ := p.form.labels[0]
	p.typ = c.types[typ]
	if p.typ == nil {
		b := res.block()
		p.diags = append(p.diags, unknownType(typ, res.src.rangeOf(b, b.labels[0]), c))
		return p
	}
	ev := c.evaluator(Scope{})
	grant, d := c.grantOf(ev, p, res)
	if d != nil {
		p.diags = append(p.diags, d)
		return p
	}
	p.grant = grant
	p.schema = c.grantSchemas[grant]
	for i := range grant.Inputs {
		p.inputs = append(p.inputs, c.planInput(p.form, res.insts, &grant.Inputs[i]))
	}
	c.planUses(ev, p, res)
	for i := range p.form.args {
		a := &p.form.args[i]
		p.varies = p.varies || contains(c.static, a.name) && a.varies()
	}
	for _, b := range p.form.blocks {
		p.varies = p.varies || b.anyVaries()
	}
	return p
}

func (f *form) anyVaries() bool {
	for i := range f.args {
		if f.args[i].varies() {
			return true
		}
	}
	for _, b := range f.blocks {
		if b.anyVaries() {
			return true
		}
	}
	return false
}

// commonOrInput reports whether an argument means something in some grant.
func (p *credentialPlan) commonOrInput(n string) bool {
	if sc := CredentialSchema(); sc.attr(n) != nil {
		return true
	}
	return slices.ContainsFunc(p.typ.Grants, func(g *GrantType) bool { return g.input(n) != nil })
}

// grantOf finds the grant that a credential says, or the only one of its type.
func (c *Config) grantOf(ev *evaluator, p *credentialPlan, res *resource) (*GrantType, *hcl.Diagnostic) {
	names := make([]string, 0, len(p.typ.Grants))
	for _, g := range p.typ.Grants {
		names = append(names, g.Name)
	}
	a := p.form.arg("grant")
	if a == nil || a.expr != nil && isLiteralNull(a.expr) {
		if len(p.typ.Grants) == 1 {
			return p.typ.Grants[0], nil
		}
		for i := range p.form.args {
			if x := &p.form.args[i]; nearest(x.name, []string{"grant"}) != "" && !p.commonOrInput(x.name) {
				return nil, unknownArgument(x, p.form.title(), []string{"grant"})
			}
		}
		return nil, absence(problem(p.form.header(), "Missing argument", "%s needs the argument grant: one of %s.", p.form.title(), quoted(names)), "")
	}
	if a.expr == nil {
		return nil, problem(a.nameRange, "Invalid grant", "grant must be one of %s.", quoted(names))
	}
	if a.varies() {
		return nil, problem(a.rng(), "Grant differs between instances", "All instances of a block have the same grant. Write a block for each grant.")
	}
	if diags := c.checkRefs(ev, a, nil); diags.HasErrors() {
		return nil, diags[0]
	}
	if c.onBroken(a.refs) {
		return nil, following(a)
	}
	v, diags := ev.eval(a.expr, a.refs, nil)
	if diags.HasErrors() {
		return nil, diags[0]
	}
	u, _ := v.Unmark()
	if !u.IsKnown() || u.IsNull() || u.Type() != cty.String || IsSensitive(v) {
		return nil, problem(a.rng(), "Invalid grant", "grant must be one of %s.", quoted(names))
	}
	for _, g := range p.typ.Grants {
		if g.Name == u.AsString() {
			return g, nil
		}
	}
	return nil, problem(a.rng(), "Unknown grant", "The provider type %s has no grant %q.%s", p.typ.Name, u.AsString(), didYouMean(u.AsString(), names))
}

// planInput describes one input as far as all instances have it in common; set
// are those of the block.
func (c *Config) planInput(f *form, set *instances, field *Field) Input {
	in := Input{Name: field.Name, Sensitive: field.Sensitive, OnChange: field.OnChange}
	fromCredential := false
	if a := f.arg(field.Name); a != nil && a.expr != nil && !isLiteralNull(a.expr) {
		in.Given = true
		for _, r := range c.deepRefs(a.refs) {
			kind := r.root()
			if kind == "each" && r.attr(1) == "value" && set != nil {
				kind = set.sourceKind(c)
			}
			in.Deferred = in.Deferred || kind == kindSecret || kind == kindCredential
			fromCredential = fromCredential || kind == kindCredential
		}
	}
	if in.OnChange == "" {
		in.OnChange = OnChangeReplace
		if field.Sensitive || fromCredential {
			in.OnChange = OnChangeNextUse
		}
	}
	return in
}

// sourceKind says what each.value comes from: "credential" before "secret"
// before nothing.
func (s *instances) sourceKind(c *Config) string {
	if s.of != nil {
		return s.of.kind
	}
	kind := s.from
	if s.expr != nil {
		for _, r := range c.deepRefs(s.refs) {
			switch r.root() {
			case kindCredential:
				return kindCredential
			case kindSecret:
				kind = kindSecret
			}
		}
	}
	return kind
}

// staticNames are the arguments of a credential that are not inputs.
func staticNames() []string {
	var out []string
	sc := CredentialSchema()
	for _, a := range sc.Attrs {
		if !isMeta(a.Name) {
			out = append(out, a.Name)
		}
	}
	for _, b := range sc.Blocks {
		out = append(out, b.Name)
	}
	return out
}

// Credential returns the static part of a credential instance. It is worked
// out on demand and not kept.
func (c *Config) Credential(a Address) (*Credential, error) {
	p, in, plan, err := c.credentialAt(a)
	if err != nil {
		return nil, err
	}
	ev := c.evaluator(Scope{})
	var cr Credential
	if base := plan.base.Load(); base != nil {
		cr = *base
	} else {
		m, diags := ev.args(plan.form, plan.schema, in, &selectArgs{names: c.static})
		if err := ev.failure(a, diags); err != nil {
			return nil, err
		}
		cr = c.readCredential(plan, section{f: plan.form, v: NewValues(m), in: in})
		if !plan.varies {
			kept := cr
			plan.base.Store(&kept)
		}
	}
	cr.Addr = c.now(p.address())
	cr.Uses = plan.uses
	if len(plan.useRefs) > 0 {
		uses := append([]Address(nil), plan.uses...)
		for i := range plan.useRefs {
			uses = append(uses, ev.addresses(&plan.useRefs[i], in)...)
		}
		cr.Uses = sortAddresses(uses)
	}
	cr.Uses = c.allNow(cr.Uses)
	return &cr, nil
}

// Inputs evaluates inputs of a credential instance (nil names: all), the type's
// defaults applied, marked where the type says that they are sensitive. What
// the scope cannot give is an [UnreadableError]; what cannot be evaluated with
// the values it gave, or does not fit the input's type, an [EvalError].
func (c *Config) Inputs(a Address, names []string, s Scope) (Values, error) {
	_, in, plan, err := c.credentialAt(a)
	if err != nil {
		return Values{}, err
	}
	ev := c.evaluator(s)
	out := make(map[string]cty.Value, len(plan.grant.Inputs))
	for i := range plan.grant.Inputs {
		var given cty.Value
		field := &plan.grant.Inputs[i]
		if names != nil && !contains(names, field.Name) {
			continue
		}
		if arg := plan.form.arg(field.Name); arg != nil && arg.expr != nil {
			v, diags := ev.arg(arg, plan.schema.attr(field.Name), in, &selectArgs{})
			if err := ev.failure(a, diags); err != nil {
				return Values{}, err
			}
			if !isNull(v) {
				given = v
			} else if field.Default == nil {
				return Values{}, ev.failure(a, Diagnostics{problem(arg.rng(), "Missing argument", "%s is null, and the type requires it.", field.Name)})
			}
		}
		out[field.Name] = field.valueOf(given)
	}
	return NewValues(out), nil
}

// credentialAt finds a credential instance and the plan of its block.
func (c *Config) credentialAt(a Address) (parsed, *instance, *credentialPlan, error) {
	p, err := parseAddress(string(c.own(a)))
	if err != nil || p.kind != kindCredential {
		return p, nil, nil, &UnknownAddressError{Addr: a}
	}
	res := c.find(p.kind, p.typ, p.label)
	if res == nil {
		return p, nil, nil, &UnknownAddressError{Addr: a}
	}
	in, err := c.instanceOf(p, res)
	if err != nil {
		return p, nil, nil, err
	}
	plan := c.credentialPlan(res)
	if plan.grant == nil {
		return p, nil, nil, &EvalError{Addr: a, Diags: plan.diags}
	}
	return p, in, plan, nil
}

// readCredential reads the static arguments of one instance.
func (c *Config) readCredential(plan *credentialPlan, v section) Credential {
	cr := Credential{
		Type: plan.typ, Grant: plan.grant, Inputs: plan.inputs,
		Provider:  Address(v.text("provider")),
		Refresh:   c.settings.Refresh,
		Retry:     c.settings.Retry,
		Lifecycle: Lifecycle{OnRemove: OnRemoveRevoke, Overlap: 30 * time.Second, MaxOverlap: time.Hour},
	}
	if cr.Provider == "" {
		cr.Provider = name(kindProvider, plan.typ.Name, defaultAlias, instKey{})
	} else if !strings.HasPrefix(string(cr.Provider), kindProvider+"."+plan.typ.Name+".") {
		v.wrong("provider", "%s is of another type; a credential of %s needs a provider of %s.", cr.Provider, plan.typ.Name, plan.typ.Name)
	}
	if v.has("scopes") {
		cr.Scopes, _ = v.v.Strings("scopes")
	}
	c.readRedirect(&cr, plan, v)
	v.duration("default_lifetime", &cr.DefaultLifetime, time.Second)
	v.bool("expose_refresh_token", &cr.ExposeRefreshToken)
	v.refresh(&cr.Refresh)
	v.retry(&cr.Retry)
	if lc, ok := v.block("lifecycle"); ok {
		if s := lc.text("on_remove"); s != "" {
			cr.Lifecycle.OnRemove = s
		}
		lc.bool("prevent_destroy", &cr.Lifecycle.PreventDestroy)
		lc.bool("revoke_on_shutdown", &cr.Lifecycle.RevokeOnShutdown)
		lc.duration("overlap", &cr.Lifecycle.Overlap, 0)
		lc.duration("max_overlap", &cr.Lifecycle.MaxOverlap, 0)
		if lc.settled("overlap", "max_overlap") && cr.Lifecycle.MaxOverlap < cr.Lifecycle.Overlap {
			if lc.has("max_overlap") {
				lc.wrong("max_overlap", "max_overlap must be at least overlap (%s).", shortDuration(cr.Lifecycle.Overlap))
			} else {
				lc.wrong("overlap", "overlap must be at most max_overlap (%s).", shortDuration(cr.Lifecycle.MaxOverlap))
			}
		}
	}
	cr.Verify = verifyOf(plan, v)
	return cr
}

// defaultCallback is where redirects go without a public_url.
const (
	defaultCallbackPort = "8250"
	defaultCallback     = "http://127.0.0.1:" + defaultCallbackPort + "/callback"
)

func (c *Config) readRedirect(cr *Credential, plan *credentialPlan, v section) {
	a := plan.form.arg("redirect_uri")
	switch {
	case v.has("redirect_uri"):
		cr.RedirectURI = v.text("redirect_uri")
		if !strings.Contains(cr.RedirectURI, ":") || strings.Contains(cr.RedirectURI, "#") {
			v.wrong("redirect_uri", "redirect_uri must be an absolute URI without a fragment.")
		}
	case a != nil:
		cr.RedirectURIOmitted = true
	case c.settings.PublicURL != "":
		cr.RedirectURI = c.settings.PublicURL + "/callback"
	default:
		cr.RedirectURI = defaultCallback
	}
}

// credentialAttrs lists the attributes of a credential; open: its type's
// outputs are not all known by name.
func (c *Config) credentialAttrs(a Address) ([]string, bool) {
	p, err := parseAddress(string(a))
	if err != nil {
		return nil, false
	}
	res := c.find(p.kind, p.typ, p.label)
	if res == nil {
		return nil, false
	}
	s := c.attrsOf(res)
	return s.names, s.open
}

// attrsOf says which attributes a credential block has: of most from the text of
// its grant alone.
func (c *Config) attrsOf(res *resource) *attrPlan {
	if s := c.plainAttrs(res); s != nil {
		return s
	}
	if s, ok := c.attrPlans.get(res).(*attrPlan); ok {
		return s
	}
	s := c.planAttrs(res)
	c.attrPlans.put(res, s)
	return s
}

// plainAttrs is what planAttrs says of a block whose grant is a plain string, or
// the only one of its type, and which says nothing of its refresh token; of
// others nil.
func (c *Config) plainAttrs(res *resource) *attrPlan {
	b := res.block()
	typ := c.types[res.src.label(b, 0)]
	if typ == nil {
		return nil
	}
	grant := ""
	for _, row := range res.src.attrs[b.attrs:b.attrsEnd] {
		switch res.src.ident(row.name) {
		case "expose_refresh_token":
			return nil
		case "grant":
			text := res.src.cut(row.expr)
			if len(text) < 3 || text[0] != '"' || text[len(text)-1] != '"' || !plainString(text[1:len(text)-1]) {
				return nil
			}
			grant = text[1 : len(text)-1]
		}
	}
	for _, g := range typ.Grants {
		if g.Name == grant || grant == "" && len(typ.Grants) == 1 {
			return c.grantAttrs[g]
		}
	}
	return nil
}

// attrPlan is which attributes a credential block has; open: not all are known
// by name.
type attrPlan struct {
	names []string
	open  bool
}

// attrs are the attributes that every credential of a grant has.
func (o outputNames) attrs() *attrPlan {
	return &attrPlan{names: append(baseAttrs[:len(baseAttrs):len(baseAttrs)], o.names...), open: o.open}
}

func (c *Config) planAttrs(res *resource) *attrPlan {
	f, _ := newForm(res.src, int(res.row))
	p := &credentialPlan{form: f, typ: c.types[f.labels[0]]}
	s := &attrPlan{names: baseAttrs[:len(baseAttrs):len(baseAttrs)]}
	if p.typ == nil {
		s.open = true
		return s
	}
	ev := c.evaluator(Scope{})
	if g, d := c.grantOf(ev, p, res); d == nil {
		s = c.grantOutputs[g].attrs()
	} else {
		s.names = append(s.names, p.typ.allOutputs()...) // what no grant has is mistaken whichever is meant
	}
	if a := f.arg("expose_refresh_token"); a != nil && a.expr != nil {
		if v, diags := ev.eval(a.expr, a.refs, nil); !diags.HasErrors() {
			v, _ = v.Unmark()
			if v.IsKnown() && !v.IsNull() && v.Type() == cty.Bool && v.True() {
				s.names = append(s.names, "refresh_token")
			}
		}
	}
	return s
}
