package spec

import (
	"net/url"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// defaultAlias is the name of a type's provider block without an alias.
const defaultAlias = "default"

// providerDecl is one provider block, or with form nil one that is left out.
type providerDecl struct {
	typ   *ProviderType
	alias string
	at    place
}

// loadTypes collects provider types: a directory's own shadow built-in ones.
func (l *loader) loadTypes() {
	for _, sources := range [][]*source{l.c.catalog, l.c.sources} {
		own := map[string]*ProviderType{}
		for _, s := range sources {
			for _, t := range s.types {
				if first, dup := own[t.Name]; dup {
					l.report(duplicate("provider_type "+t.Name, first.DeclRange, t.DeclRange))
					continue
				}
				own[t.Name] = t
				l.c.types[t.Name] = t
			}
			for _, n := range s.badTypes {
				if l.c.badTypes == nil {
					l.c.badTypes = map[string]bool{}
				}
				l.c.badTypes[n] = true
				delete(l.c.types, n) // the built-in one is not what is meant
			}
		}
	}
	for _, t := range l.c.types {
		l.c.typeSchemas[t.Name] = typeSchema(t)
		for _, g := range t.Grants {
			l.c.grantSchemas[g] = grantSchema(g)
			l.c.grantOutputs[g] = outputsOf(t, g)
			l.c.grantAttrs[g] = l.c.grantOutputs[g].attrs()
		}
	}
}

// typeSchema is the schema of a type's provider blocks.
func typeSchema(t *ProviderType) *Schema {
	return withAttrs(ProviderSchema(), fieldAttrs(t.Config))
}

// grantSchema is the schema of credentials of a grant.
func grantSchema(g *GrantType) *Schema {
	return withAttrs(CredentialSchema(), fieldAttrs(g.Inputs))
}

func fieldAttrs(fields []Field) []Attr {
	out := make([]Attr, 0, len(fields))
	for _, f := range fields {
		out = append(out, Attr{Name: f.Name, Type: f.Type, Required: f.Default == nil, Deferred: true, Sensitive: f.Sensitive, Oneof: f.OneOf, Doc: f.Description})
	}
	return out
}

// outputNames are the outputs of a grant; open: not all names are known.
type outputNames struct {
	names []string
	open  bool
}

// outputsOf lists the names under `outputs`, which a type always writes out.
func outputsOf(t *ProviderType, g *GrantType) outputNames {
	return outputNames{names: t.OutputNames(g)}
}

// loadProviders declares provider blocks.
func (l *loader) loadProviders() {
	for _, at := range l.providers {
		b := &at.src.blocks[at.row]
		typ := at.src.label(b, 0)
		t, ok := l.c.types[typ]
		if !ok {
			l.report(unknownType(typ, at.src.rangeOf(b, b.labels[0]), l.c))
			continue
		}
		f, _ := newForm(at.src, at.row)
		alias := defaultAlias
		if a := f.arg("alias"); a != nil && a.expr != nil {
			v, ok := literal(a.expr)
			if !ok || v.IsNull() || v.Type() != cty.String || !isName(v.AsString()) || v.AsString() == defaultAlias {
				l.report(problem(a.rng(), "Invalid alias", `An alias is a name in quotes, other than "default".`))
				continue
			}
			alias = v.AsString()
		}
		addr := name(kindProvider, typ, alias, instKey{})
		if first, dup := l.c.providers[addr]; dup {
			l.report(duplicate(string(addr), first.at.header(), at.header()))
			continue
		}
		l.c.providers[addr] = &providerDecl{typ: t, alias: alias, at: at}
	}
}

func unknownType(typ string, at hcl.Range, c *Config) *hcl.Diagnostic {
	if c.badTypes[typ] {
		d := problem(at, "Unknown provider type", "The provider type %q has mistakes.", typ)
		d.Extra = followed{}
		return d
	}
	return absence(hinted(problem(at, "Unknown provider type", "There is no provider type %q.%s", typ, didYouMean(typ, sortedKeys(c.types))),
		"`tokend provider list` shows the built-in types; a provider_type block adds one"), typ)
}

// checkProvider says whether a provider address can be used: the default of
// each type can, declared or not.
func (c *Config) checkProvider(p parsed, at hcl.Range) *hcl.Diagnostic {
	if _, ok := c.types[p.typ]; !ok {
		return unknownType(p.typ, at, c)
	}
	if _, ok := c.providers[p.address()]; ok || p.label == defaultAlias {
		return nil
	}
	known := []string{defaultAlias}
	for _, d := range c.providers {
		if d.typ.Name == p.typ {
			known = append(known, d.alias)
		}
	}
	return absence(problem(at, "Reference to undeclared provider", "No block declares %s.%s Declare it with provider %q { alias = %q … }.",
		p.address(), didYouMean(p.label, known), p.typ, p.label), p.label)
}

// providerArgs evaluates a provider block.
func (c *Config) providerArgs(ev *evaluator, d *providerDecl, sel *selectArgs) (*form, map[string]cty.Value, Diagnostics) {
	f, diags := newForm(d.at.src, d.at.row)
	m, more := ev.args(f, c.typeSchemas[d.typ.Name], nil, sel)
	return f, m, append(diags, more...)
}

// Provider evaluates a provider block. One that is left out has all defaults.
func (c *Config) Provider(a Address, s Scope) (*Provider, error) {
	p, err := parseAddress(string(a))
	if err != nil || p.kind != kindProvider {
		return nil, &UnknownAddressError{Addr: a}
	}
	t, ok := c.types[p.typ]
	if !ok {
		return nil, &UnknownAddressError{Addr: a}
	}
	d, declared := c.providers[a]
	if !declared && p.label != defaultAlias {
		return nil, &UnknownAddressError{Addr: a}
	}
	var m map[string]cty.Value
	v := section{v: NewValues(nil)}
	if declared {
		ev := c.evaluator(s)
		f, got, diags := c.providerArgs(ev, d, &selectArgs{})
		if err := ev.failure(a, diags); err != nil {
			return nil, err
		}
		m = got
		v = section{f: f, v: NewValues(got)}
	}
	out := readProvider(a, t, v)
	config := map[string]cty.Value{}
	for i := range t.Config {
		config[t.Config[i].Name] = t.Config[i].valueOf(m[t.Config[i].Name])
	}
	out.Config = NewValues(config)
	return out, nil
}

// valueOf is a field's value: the given one (NilVal: none is), else the default, else
// null. A default of a sensitive field is marked like any other value of it.
func (f *Field) valueOf(v cty.Value) cty.Value {
	switch {
	case v != cty.NilVal:
		v = publish(v)
	case f.Default != nil:
		v = *f.Default
	default:
		v = cty.NullVal(f.Type)
	}
	if f.Sensitive && !IsSensitive(v) {
		v = Sensitive(v)
	}
	return v
}

// readProvider reads what every provider has.
func readProvider(a Address, t *ProviderType, v section) *Provider {
	p := &Provider{
		Addr: a, Type: t,
		HTTP:      HTTPSettings{Timeout: 30 * time.Second},
		RateLimit: RateLimit{Per: time.Second, Concurrency: 32},
	}
	if v.f == nil {
		return p
	}
	v.bool("allow_insecure_http", &p.AllowInsecureHTTP)
	if h, ok := v.block("http"); ok {
		h.duration("timeout", &p.HTTP.Timeout, time.Millisecond)
		p.HTTP.CAFile = h.text("ca_file")
		p.HTTP.Proxy = h.text("proxy")
		p.HTTP.ClientCertFile = h.text("client_cert_file")
		p.HTTP.ClientKeyFile = h.text("client_key_file")
		if p.HTTP.Proxy != "" {
			if u, err := url.Parse(p.HTTP.Proxy); err != nil || u.Host == "" || u.User != nil {
				h.wrong("proxy", `proxy must be a URL such as "http://proxy.example.com:3128", without user and password.`)
			}
		}
		if (p.HTTP.ClientCertFile == "") != (p.HTTP.ClientKeyFile == "") {
			h.wrong("client_cert_file", "client_cert_file and client_key_file are given together.")
		}
	}
	if r, ok := v.block("rate_limit"); ok {
		r.int("requests", &p.RateLimit.Requests, 1, 1_000_000)
		r.duration("per", &p.RateLimit.Per, time.Millisecond)
		r.int("concurrency", &p.RateLimit.Concurrency, 1, 10_000)
	}
	return p
}

// checkProviders evaluates every provider block with unknown secrets.
func (l *loader) checkProviders() {
	requests := newRequestCheck(l.c)
	for _, a := range sortedAddressKeys(l.c.providers) {
		d := l.c.providers[a]
		f, m, diags := l.c.providerArgs(l.ev, d, &selectArgs{check: true})
		l.report(diags...)
		readProvider(a, d.typ, section{l: l, f: f, v: NewValues(m)})
		l.readings = l.c.noteReadings(l.c.typeSchemas[d.typ.Name], a, m, l.readings)
		if l.o.CheckContents {
			l.absentOf(f, l.c.typeSchemas[d.typ.Name], m, "http", string(a))
		}
		if !l.o.WasInForce {
			l.report(requests.provider(a, d)...)
		}
	}
}
