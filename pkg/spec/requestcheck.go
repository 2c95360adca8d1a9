package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// requestCheck finds what a request could not be made with, before any is: an
// address that is none, an input that may be left out and that this way of
// logging in needs. What depends on a secret is unknown, and no mistake.
type requestCheck struct {
	c      *Config
	fns    map[string]function.Function
	known  map[string][]requestMistake // by what the result depends on
	config map[Address]*settingsView
	reads  map[*GrantType]map[string]bool // the inputs that addresses are made of
}

// requestMistake is what is wrong with the requests of a credential: an address
// at the argument or setting that it comes from, or inputs that are missing.
type requestMistake struct {
	input, setting string
	detail         string // of an address: what is wrong with it
	what           string // the address is that of …
	hidden         bool   // its source line may hold a password
	shown          bool   // something sensitive decides where it leads, which is shown
	missing        []string
	hint           string
	warns          bool
}

// settingsView is a provider block as far as it is known without secrets.
type settingsView struct {
	form   *form // nil: the block is left out
	values map[string]cty.Value
	clear  bool
}

func newRequestCheck(c *Config) *requestCheck {
	fns := TypeFunctions()
	fns["jwt_sign"] = JWTSignFunction(nil)
	return &requestCheck{c: c, fns: fns, known: map[string][]requestMistake{}, config: map[Address]*settingsView{}, reads: map[*GrantType]map[string]bool{}}
}

// credentialRequests checks the requests of a credential's instances, and says
// what is wrong of one.
type credentialRequests struct {
	k    *checker
	p    *credentialPlan
	args map[string]cty.Value // of the instance that is looked at; nil: no more are
	own  bool                 // args are not those of the first instance any more
}

// instance checks one instance. m are its arguments: of the first all, of the
// others those that differ.
func (s *credentialRequests) instance(in *instance, m map[string]cty.Value, first, failed bool) {
	switch {
	case s.k.l.o.WasInForce || s.p.grant.Static || !first && s.args == nil:
		return
	case first:
		s.args = m
	default:
		if !s.own {
			s.args, s.own = maps.Clone(s.args), true
		}
		maps.Copy(s.args, m)
	}
	if s.k.requests == nil {
		s.k.requests = newRequestCheck(s.k.l.c)
	}
	diags := s.k.requests.credential(s.p, in, s.args, failed)
	s.k.report(diags...)
	if len(diags) > 0 || failed || first && !s.differs() {
		s.args = nil
	}
}

// differs reports whether another instance can have other requests.
func (s *credentialRequests) differs() bool {
	reads := s.k.requests.addressInputs(s.p.typ, s.p.grant)
	for i := range s.p.form.args {
		a := &s.p.form.args[i]
		field := s.p.grant.input(a.name)
		if a.varies() && (a.name == kindProvider || a.name == "scopes" || reads[a.name] || reads[""] || field != nil && len(field.OneOf) > 0) {
			return true
		}
	}
	return false
}

// settings returns what is known of a provider. What has a mistake of its own is
// not known.
func (r *requestCheck) settings(a Address, t *ProviderType) *settingsView {
	if v, ok := r.config[a]; ok {
		return v
	}
	v := &settingsView{values: map[string]cty.Value{}}
	var m map[string]cty.Value
	failed := false
	if d, ok := r.c.providers[a]; ok {
		f, got, diags := r.c.providerArgs(r.c.evaluator(Scope{}), d, &selectArgs{})
		v.form, m, failed = f, got, diags.HasErrors()
		section{f: f, v: NewValues(got)}.bool("allow_insecure_http", &v.clear)
	}
	for i := range t.Config {
		field := &t.Config[i]
		if _, has := m[field.Name]; !has && (field.Default == nil || failed && v.form.arg(field.Name) != nil) {
			v.values[field.Name] = cty.UnknownVal(field.Type)
			continue
		}
		v.values[field.Name] = field.valueOf(m[field.Name])
	}
	r.config[a] = v
	return v
}

// provider reports the addresses that a provider block alone makes wrong.
func (r *requestCheck) provider(a Address, d *providerDecl) Diagnostics {
	v := r.settings(a, d.typ)
	var out Diagnostics
	for _, g := range d.typ.Grants {
		for _, m := range r.addresses(d.typ, g, v, cty.DynamicVal, r.begins(v, nil, nil)) {
			switch {
			case m.setting == "" || v.form == nil || v.form.arg(m.setting) == nil:
			case m.shown:
				out = append(out, r.shownSetting(v, d.typ, m.setting)...)
			default:
				out = append(out, m.hide(problem(rangeIn(v.form, m.setting), "Invalid address", "%s cannot be the address of a request: %s.", m.setting, m.detail)))
			}
		}
	}
	return out
}

// credential reports what the requests of a credential could not be made with.
// m are its arguments; failed: some of them had mistakes and are not among them.
func (r *requestCheck) credential(p *credentialPlan, at *instance, m map[string]cty.Value, failed bool) Diagnostics {
	provider := name(kindProvider, p.typ.Name, defaultAlias, instKey{})
	if a := p.form.arg(kindProvider); a != nil && !(a.expr != nil && isLiteralNull(a.expr)) {
		v, ok := m[kindProvider]
		if !ok || !strings.HasPrefix(v.AsString(), kindProvider+"."+p.typ.Name+".") {
			return nil // which is reported
		}
		provider = Address(v.AsString())
	}
	v := r.settings(provider, p.typ)
	inputs := r.inputs(p, m, failed)
	begins := r.begins(v, p.form, at)
	key := r.key(p, provider, inputs, begins)
	mistakes, ok := r.known[key]
	if !ok {
		in := cty.ObjectVal(inputs)
		mistakes = append(r.addresses(p.typ, p.grant, v, in, begins), r.absent(p.typ, p.grant, v, in)...)
		r.known[key] = mistakes
	}
	var out Diagnostics
	for i := range mistakes {
		m := &mistakes[i]
		switch d := m.at(p.form, v); {
		case m.shown && m.input != "":
			out = append(out, r.shownAt(p.form, m.input, p.grant.input(m.input).Sensitive))
		case m.shown && v.form != nil:
			out = append(out, r.shownSetting(v, p.typ, m.setting)...)
		case !m.shown && d != nil:
			out = append(out, d)
		}
	}
	return out
}

// at makes a diagnostic at the credential's argument, or at its header. What a
// provider block says wrong is reported there.
func (m *requestMistake) at(f *form, v *settingsView) *hcl.Diagnostic {
	switch {
	case m.setting != "" && v.form != nil && v.form.arg(m.setting) != nil:
		return nil
	case m.input != "":
		return m.hide(problem(rangeIn(f, m.input), "Invalid address", "%s cannot be the address of a request: %s.", m.input, m.detail))
	case m.detail != "":
		return problem(f.header(), "Invalid address", "The address of %s, as its provider type makes it for this credential, cannot be used: %s.", m.what, m.detail)
	}
	d := problem(f.header(), "Incomplete request", "%s cannot make %s: %s.", f.title(), m.what, strings.Join(m.missing, "; "))
	if m.warns {
		d.Severity = hcl.DiagWarning
	}
	return absence(hinted(d, m.hint), "")
}

// hide hides the source of an address in which a password may stand.
func (m *requestMistake) hide(d *hcl.Diagnostic) *hcl.Diagnostic {
	if m.hidden {
		return hideSource(d)
	}
	return d
}

// inputs are the values that the type's expressions see. A required input that
// is missing is reported elsewhere, so that it counts as not known.
func (r *requestCheck) inputs(p *credentialPlan, m map[string]cty.Value, failed bool) map[string]cty.Value {
	out := make(map[string]cty.Value, len(p.grant.Inputs)+1)
	for i := range p.grant.Inputs {
		field := &p.grant.Inputs[i]
		_, has := m[field.Name]
		a := p.form.arg(field.Name)
		if !has && (field.Default == nil || a != nil && failed) {
			out[field.Name] = cty.UnknownVal(field.Type)
			continue
		}
		out[field.Name] = field.valueOf(m[field.Name])
	}
	if _, own := out["scopes"]; !own {
		given, has := m["scopes"]
		switch {
		case has:
			out["scopes"] = given
		case failed && p.form.arg("scopes") != nil:
			out["scopes"] = cty.UnknownVal(cty.List(cty.String))
		default:
			out["scopes"] = cty.NullVal(cty.List(cty.String)) // as the type's expressions see it then
		}
	}
	return out
}

// key says what the result depends on: the grant, the provider, the values of
// inputs that addresses are made of or that choose between a few, and of the
// others whether they are given.
func (r *requestCheck) key(p *credentialPlan, provider Address, inputs map[string]cty.Value, begins func(name string) string) string {
	reads := r.addressInputs(p.typ, p.grant)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%s\x00%t", provider, p.grant.Name, isNull(inputs["scopes"]))
	for i := range p.grant.Inputs {
		field := &p.grant.Inputs[i]
		v, _ := inputs[field.Name].UnmarkDeep()
		if (reads[field.Name] || reads[""]) && IsSensitive(inputs[field.Name]) {
			b.WriteString("\x00!" + begins("input."+field.Name))
		}
		switch {
		case !v.IsKnown():
			b.WriteString("\x00?" + prefixOf(v))
		case v.IsNull():
			b.WriteString("\x00-")
		case v.Type() == cty.String && (reads[field.Name] || reads[""] || len(field.OneOf) > 0):
			b.WriteString("\x00=" + v.AsString())
		default:
			b.WriteString("\x00+")
		}
	}
	return b.String()
}

// typeRequest is one request of a grant, in words and expressions.
type typeRequest struct {
	what  string
	url   hcl.Expression
	parts []hcl.Expression // what else must be there; nil: nobody waits for this request
	// later: it is made once there is a token. Without an address there is none, and what
	// it lacks keeps nobody from that token: it is warned of.
	later bool
}

func requestsOf(t *ProviderType, g *GrantType) []typeRequest {
	var out []typeRequest
	add := func(what string, q *Request, tried, later bool) {
		if q == nil {
			return
		}
		r := typeRequest{what: what, url: q.URL, later: later}
		if tried {
			r.parts = []hcl.Expression{q.Method, q.JSON, q.Form, q.Query, q.Headers}
		}
		out = append(out, r)
	}
	if a := g.Authorize; a != nil {
		out = append(out, typeRequest{what: "its authorization request", url: a.URL, parts: []hcl.Expression{a.Query}})
	}
	if g.Device != nil {
		add("its device authorization request", g.Device.Request, true, false)
	}
	add("the request of its grant "+g.Name, g.Request, true, false)
	if rf := t.RefreshOf(g); rf != nil {
		add("its refresh request", rf.Request, true, true)
	}
	if rv := t.RevokeOf(g); rv != nil {
		add("its revocation", rv.Request, true, true)
	}
	if t.Verify != nil {
		add("its verification", t.Verify.Request, true, true)
	}
	for _, a := range t.Actions {
		add("its action "+a.Name, a.Request, false, true)
	}
	return out
}

// context is what the type's expressions see before there is a token.
func (r *requestCheck) context(t *ProviderType, v *settingsView, in cty.Value) *hcl.EvalContext {
	ctx := &hcl.EvalContext{Functions: r.fns, Variables: map[string]cty.Value{
		"config": object(v.values), "input": in, "token": cty.DynamicVal, "flow": cty.DynamicVal, "now": cty.UnknownVal(cty.Number), "discovered": cty.DynamicVal,
	}}
	if t.Discovery != nil {
		if issuer, diags := safeValue(t.Discovery, ctx); !diags.HasErrors() && isNull(issuer) {
			ctx.Variables["discovered"] = cty.NullVal(cty.DynamicPseudoType)
		}
	}
	return ctx
}

// absent finds what is not given and cannot be left out here.
func (r *requestCheck) absent(t *ProviderType, g *GrantType, v *settingsView, in cty.Value) []requestMistake {
	ctx := r.context(t, v, in)
	var out []requestMistake
	for _, q := range requestsOf(t, g) {
		if q.parts == nil {
			continue
		}
		m := requestMistake{what: q.what, warns: q.later}
		if q.url != nil {
			got, diags := safeValue(q.url, ctx)
			if none := !diags.HasErrors() && isNull(got); none && q.later {
				continue // it is never made
			} else if none {
				m.missing = append(m.missing, noAddress(t, q.url))
			}
		}
		for _, e := range q.parts {
			if e == nil {
				continue
			}
			_, diags := safeValue(e, ctx)
			for _, n := range nullInputs(diags, e, in) {
				if text := n + " is not given" + choice(g, e, in); !slices.Contains(m.missing, text) {
					m.missing = append(m.missing, text)
					m.hint = "give it the argument " + n
					if n == "scopes" && !t.Builtin {
						m.hint += ", or have its provider type do without: input.scopes == null ? null : …"
					}
				}
			}
		}
		if len(m.missing) > 0 {
			out = append(out, m)
			break // the next request most often needs the same
		}
	}
	return out
}

// noAddress says which inputs would give a request its address.
func noAddress(t *ProviderType, e hcl.Expression) string {
	names := sortedKeys(readsOf("input", e))
	if t.Discovery != nil && len(readsOf("discovered", e)) > 0 {
		for _, n := range sortedKeys(readsOf("input", t.Discovery)) {
			if !slices.Contains(names, n) {
				names = append([]string{n}, names...)
			}
		}
	}
	if len(names) == 0 {
		return "it has no address"
	}
	return "it has no address; give it " + strings.Join(names, " or ")
}

// nullInputs lists the inputs without a value at which an evaluation failed.
func nullInputs(diags hcl.Diagnostics, e hcl.Expression, in cty.Value) []string {
	var out []string
	for _, d := range diags {
		if d.Severity != hcl.DiagError || d.Subject == nil {
			continue
		}
		for _, t := range e.Variables() {
			n := memberName(t)
			if t.RootName() != "input" || n == "" || !d.Subject.Overlaps(t.SourceRange()) || !in.Type().HasAttribute(n) {
				continue
			}
			if isNull(in.GetAttr(n)) && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// choice names what the expression chose by, where that is one of a few values.
func choice(g *GrantType, e hcl.Expression, in cty.Value) string {
	for _, n := range sortedKeys(readsOf("input", e)) {
		field := g.input(n)
		if field == nil || len(field.OneOf) == 0 {
			continue
		}
		if v := in.GetAttr(n); v.IsKnown() && !v.IsNull() && !v.IsMarked() && v.Type() == cty.String {
			return fmt.Sprintf(", which %s = %q needs", n, v.AsString())
		}
	}
	return ""
}
