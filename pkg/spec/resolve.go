package spec

import (
	"errors"
	"reflect"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
)

// referenceType is the type of `hook.exec.nginx` and its like in expressions:
// opaque, so that it can be chosen by a condition but put into no string.
var referenceType = cty.Capsule("reference", reflect.TypeFor[Address]())

func referenceTo(a Address) cty.Value { return cty.CapsuleVal(referenceType, &a) }

// target is what a reference means: an instance, or with whole all instances
// of a block (or the one of a block without for_each).
type target struct {
	p     parsed
	res   *resource // nil: a provider block that is left out
	whole bool
	rest  hcl.Traversal
}

// target resolves a reference to something with an address; what is wrong with
// it comes back as a diagnostic.
func (ev *evaluator) target(r *ref, in *instance) (target, *hcl.Diagnostic) {
	p, rest, err := parseTraversal(r.trav)
	if err != nil {
		return target{}, problem(r.rng, "Invalid reference", "%s.", sentence(err.Error()))
	}
	t := target{p: p, rest: rest}
	res := ev.remembered(p)
	if res == nil {
		var d *hcl.Diagnostic
		if res, d = ev.lookup(p, r.rng); d != nil {
			return target{}, d
		}
		ev.last, ev.found = p, res
	}
	t.res = res
	if ev.expand != nil && res != nil {
		ev.expand(p.kind, res)
	}
	if r.index != nil {
		key, d := ev.indexKey(r, in)
		if d != nil {
			return target{}, d
		}
		t.rest = r.rest
		if key == nil {
			t.whole = true
			t.rest = nil
			return t, nil
		}
		t.p.key = *key
	}
	if !expands(p.kind) {
		return t, nil
	}
	return t, ev.c.checkKey(&t, r)
}

// lookup is [Config.lookup], which looks first where it found a block last, and
// behind that: what is written in order names others in that order.
func (ev *evaluator) lookup(p parsed, at hcl.Range) (*resource, *hcl.Diagnostic) {
	list := ev.c.resources[p.kind]
	if ev.nearKind == p.kind {
		for i := ev.near; i < min(ev.near+2, len(list)); i++ {
			if list[i].compare(p.typ, p.label) == 0 {
				ev.near = i
				return &list[i], nil
			}
		}
	}
	if i, found := ev.c.position(p.kind, p.typ, p.label); found {
		ev.nearKind, ev.near = p.kind, i
		return &list[i], nil
	}
	return ev.c.lookup(p, at)
}

// remembered is the block that an address names where the evaluator looked that
// one up last: an expression's references are checked, and then evaluated.
func (ev *evaluator) remembered(p parsed) *resource {
	if ev.found != nil && ev.last.kind == p.kind && ev.last.typ == p.typ && ev.last.label == p.label {
		return ev.found
	}
	return nil
}

// indexKey evaluates the index of a reference; nil: it is not known before the
// expression is evaluated, so that all instances are needed.
func (ev *evaluator) indexKey(r *ref, in *instance) (*instKey, *hcl.Diagnostic) {
	v, ok := ev.fast(r.index, in)
	var diags Diagnostics
	if !ok {
		v, diags = ev.eval(r.index, collectRefs(r.index, nil), in)
	}
	if diags.HasErrors() {
		return nil, diags[0]
	}
	v, _ = v.Unmark()
	if !v.IsKnown() {
		return nil, nil
	}
	key, ok := keyOf(v)
	if !ok {
		return nil, problem(r.index.Range(), "Invalid instance key", "The key of an instance is a string or a whole number.")
	}
	return &key, nil
}

// attribute returns one attribute of an instance; false where only the whole
// object can say what a mistaken attribute means.
func (ev *evaluator) attribute(kind string, a Address, attr string) (cty.Value, bool) {
	if ev.trace != nil {
		return cty.NilVal, false
	}
	switch kind {
	case kindSecret:
		if attr == "value" {
			return ev.secret(a), true
		}
	case kindCredential:
		return ev.credentialAttr(a, attr)
	}
	return cty.NilVal, false
}

// instanceValue is an instance as an object.
func (ev *evaluator) instanceValue(kind string, a Address) (cty.Value, Diagnostics) {
	if ev.trace != nil {
		return ev.trace.instance(ev.c, kind, a), nil
	}
	switch kind {
	case kindSecret:
		return cty.ObjectVal(map[string]cty.Value{"value": ev.secret(a)}), nil
	case kindCredential:
		names, open := ev.c.credentialAttrs(a)
		if open && ev.scope.Credential == nil {
			return sourced(cty.DynamicVal), nil
		}
		m := make(map[string]cty.Value, len(names))
		for _, n := range names {
			if v, ok := ev.credentialAttr(a, n); ok {
				m[n] = v
			}
		}
		if open {
			if at := ev.attributes(a); at != nil {
				for _, n := range at.Outputs.Names() {
					if _, taken := m[n]; !taken {
						m[n] = sourced(at.Outputs.Cty(n))
					}
				}
			}
		}
		return cty.ObjectVal(m), nil
	}
	return cty.EmptyObjectVal, nil
}

// secret is the value of a secret instance, marked.
func (ev *evaluator) secret(a Address) cty.Value {
	if v, ok := ev.secrets.of(a); ok {
		return v
	}
	v := cty.DynamicVal
	if ev.scope.Secret != nil && ev.err == nil {
		got, err := ev.scope.Secret(a)
		if err != nil {
			ev.unreadable(a, err)
		} else if got != cty.NilVal {
			v, _ = got.UnmarkDeep()
		}
	}
	v = sourced(v)
	ev.secrets.keep(a, v)
	return v
}

// attributes asks the scope for a credential's attributes; nil: unknown.
func (ev *evaluator) attributes(a Address) *Attributes {
	if ev.scope.Credential == nil {
		return nil
	}
	if at, ok := ev.creds.of(a); ok {
		return at
	}
	var at *Attributes
	if ev.err == nil {
		got, err := ev.credential(a)
		if err != nil {
			ev.unreadable(ev.c.now(a), err)
		} else {
			at = &got
		}
	}
	ev.creds.keep(a, at)
	return at
}

// credential asks the scope for what the text calls a. One in the place of which
// another one has moved is nowhere: that one's token is not given out for its own.
func (ev *evaluator) credential(a Address) (Attributes, error) {
	if ev.c.hidden(a) {
		return Attributes{}, errors.New("what was declared under that name is not there any more: another has moved to its address")
	}
	return ev.scope.Credential(ev.c.now(a))
}

// The attributes that every credential has.
var baseAttrs = [...]string{"access_token", "token_type", "header_name", "header", "expires_at", "obtained_at", "scopes", "generation"}

// credentialAttrs lists the attributes of a credential, for which it was looked
// up already most times.
func (ev *evaluator) credentialAttrs(a Address) ([]string, bool) {
	if res := ev.found; res != nil && ev.last.kind == kindCredential && res.insts == nil && ev.last.block() == a {
		s := ev.c.attrsOf(res)
		return s.names, s.open
	}
	return ev.c.credentialAttrs(a)
}

// credentialAttr is one attribute of a credential: of the scope where that
// knows it, else unknown of the attribute's type.
func (ev *evaluator) credentialAttr(a Address, attr string) (cty.Value, bool) {
	names, open := ev.credentialAttrs(a)
	if !contains(names, attr) && !open {
		return cty.NilVal, false
	}
	at := ev.attributes(a)
	switch attr {
	case "access_token":
		return textVal(at, func(x *Attributes) secret.Text { return x.AccessToken }), true
	case "header":
		return textVal(at, func(x *Attributes) secret.Text { return x.Header }), true
	case "refresh_token":
		if contains(names, attr) {
			return textVal(at, func(x *Attributes) secret.Text { return x.RefreshToken }), true
		}
		return cty.NilVal, false
	case "token_type":
		return plainVal(at, func(x *Attributes) string { return x.TokenType }), true
	case "header_name":
		return plainVal(at, func(x *Attributes) string { return x.HeaderName }), true
	case "expires_at":
		return timeVal(at, func(x *Attributes) time.Time { return x.ExpiresAt }), true
	case "obtained_at":
		return timeVal(at, func(x *Attributes) time.Time { return x.ObtainedAt }), true
	case "scopes":
		return scopesVal(at), true
	case "generation":
		if at == nil {
			return cty.UnknownVal(cty.Number), true
		}
		return cty.NumberUIntVal(at.Generation), true
	}
	if at == nil {
		return sourced(cty.DynamicVal), true
	}
	if !contains(at.Outputs.Names(), attr) {
		if at.awaited() {
			return sourced(cty.DynamicVal), true
		}
		return sourced(cty.NullVal(cty.DynamicPseudoType)), true
	}
	return sourced(at.Outputs.Cty(attr)), true
}

func textVal(at *Attributes, get func(*Attributes) secret.Text) cty.Value {
	if at == nil {
		return sourced(cty.UnknownVal(cty.String))
	}
	text := get(at).Reveal()
	if text == "" && at.awaited() {
		return sourced(cty.UnknownVal(cty.String)) // a key has no token, and its successor will
	}
	return sourced(cty.StringVal(text))
}

func plainVal(at *Attributes, get func(*Attributes) string) cty.Value {
	if at == nil {
		return cty.UnknownVal(cty.String)
	}
	return cty.StringVal(get(at))
}

func timeVal(at *Attributes, get func(*Attributes) time.Time) cty.Value {
	if at == nil {
		return cty.UnknownVal(cty.String)
	}
	t := get(at)
	if t.IsZero() {
		return cty.NullVal(cty.String)
	}
	return cty.StringVal(t.UTC().Format(time.RFC3339))
}

func scopesVal(at *Attributes) cty.Value {
	if at == nil {
		return cty.UnknownVal(cty.List(cty.String))
	}
	if len(at.Scopes) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	list := make([]cty.Value, len(at.Scopes))
	for i, s := range at.Scopes {
		list[i] = cty.StringVal(s)
	}
	return cty.ListVal(list)
}

// refTree collects which blocks, and which of their instances, an expression
// names.
type refTree map[string]map[string]map[string]*selection

type selection struct {
	whole bool
	keys  map[instKey]bool
}

func (t *refTree) add(x target) {
	s := t.of(x)
	if x.whole {
		s.whole = true
	} else {
		s.keys[x.p.key] = true
	}
}

// of is what is collected of a block.
func (t *refTree) of(x target) *selection {
	if *t == nil {
		*t = refTree{}
	}
	types := (*t)[x.p.kind]
	if types == nil {
		types = map[string]map[string]*selection{}
		(*t)[x.p.kind] = types
	}
	labels := types[x.p.typ]
	if labels == nil {
		labels = map[string]*selection{}
		types[x.p.typ] = labels
	}
	s := labels[x.p.label]
	if s == nil {
		s = &selection{keys: map[instKey]bool{}}
		labels[x.p.label] = s
	}
	return s
}

// resolveTree puts the collected blocks into vars as nested objects.
func (ev *evaluator) resolveTree(t *refTree, vars map[string]cty.Value) Diagnostics {
	var diags Diagnostics
	for kind, types := range *t {
		top := map[string]cty.Value{}
		for typ, labels := range types {
			m := map[string]cty.Value{}
			for label, sel := range labels {
				if !expands(kind) {
					m[label] = referenceTo(name(kind, typ, label, instKey{}))
					continue
				}
				v, more := ev.blockValue(kind, typ, label, sel)
				diags = append(diags, more...)
				m[label] = v
			}
			if typ == "" {
				top = m
			} else {
				top[typ] = cty.ObjectVal(m)
			}
		}
		vars[kind] = cty.ObjectVal(top)
	}
	return diags
}

// blockValue is a block as expressions see it: one object, or with for_each an
// object of them by key, or with count a tuple. Of many instances only the
// selected ones are evaluated (nil: all).
func (ev *evaluator) blockValue(kind, typ, label string, sel *selection) (cty.Value, Diagnostics) {
	res := ev.c.find(kind, typ, label)
	if res == nil {
		return cty.DynamicVal, nil
	}
	if ev.expand != nil {
		ev.expand(kind, res)
	}
	set := res.insts
	if set == nil {
		return ev.instanceValue(kind, name(kind, typ, label, instKey{}))
	}
	var diags Diagnostics
	wanted := func(k instKey) bool { return sel == nil || sel.whole || sel.keys[k] }
	if set.kind == numKey {
		list := make([]cty.Value, set.len())
		for i := range list {
			k := set.key(i)
			list[i] = cty.DynamicVal
			if wanted(k) {
				v, more := ev.instanceValue(kind, name(kind, typ, label, k))
				diags = append(diags, more...)
				list[i] = v
			}
		}
		return cty.TupleVal(list), diags
	}
	m := map[string]cty.Value{}
	put := func(k instKey) {
		v, more := ev.instanceValue(kind, name(kind, typ, label, k))
		diags = append(diags, more...)
		m[k.str] = v
	}
	if sel != nil && !sel.whole {
		for k := range sel.keys {
			put(k)
		}
		return cty.ObjectVal(m), diags
	}
	for i := range set.len() {
		put(set.key(i))
	}
	return cty.ObjectVal(m), diags
}
