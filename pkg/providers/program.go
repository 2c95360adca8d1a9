package providers

import (
	"maps"
	"net/url"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"tokend/pkg/spec"
)

// requestProgram is a request, compiled.
type requestProgram struct {
	method, url          node
	json                 *jsonProgram
	form, query, headers *mapProgram
	reads                []string // inputs that any of it is made of
	urlReads             []string // inputs that the url is made of
	urlSettings          []string // settings of the provider that it is made of
	laterURL             bool     // the url is made of a token's or a flow's parts
	fixed                *url.URL // the url where it is made of settings alone
	fixedOrigin          string   // of fixed
	fixedErr             error
}

// mapProgram makes the members of a map, in the order in which they are written.
type mapProgram struct{ sources []mapSource }

// mapSource is a run of members written out, or an expression that gives a map.
type mapSource struct {
	members []memberProgram
	whole   node
}

type memberProgram struct {
	key    string
	keyFor node // when the key is an expression
	n      node
}

// member is one evaluated member.
type member struct {
	key string
	v   value
}

// jsonProgram makes a JSON document.
type jsonProgram struct {
	object []jsonMember
	isObj  bool
	array  []*jsonProgram
	isArr  bool
	n      node
}

type jsonMember struct {
	key  string
	expr memberProgram
	sub  *jsonProgram
}

func (c *compiler) request(r *spec.Request) *requestProgram {
	if r == nil {
		return nil
	}
	p := &requestProgram{
		method: c.expr(r.Method), url: c.expr(r.URL), form: c.mapOf(r.Form), query: c.mapOf(r.Query), headers: c.mapOf(r.Headers),
	}
	if r.JSON != nil {
		p.json = c.json(r.JSON)
	}
	p.reads = slices.DeleteFunc(slices.Sorted(maps.Keys(spec.ReadsOf("input", r.Method, r.URL, r.JSON, r.Form, r.Query, r.Headers))), func(name string) bool { return name == "" })
	for name := range spec.ReadsOf("input", r.URL) {
		p.urlReads = append(p.urlReads, name)
	}
	sort.Strings(p.urlReads)
	p.urlSettings = slices.DeleteFunc(slices.Sorted(maps.Keys(spec.ReadsOf("config", r.URL))), func(name string) bool { return name == "" })
	p.laterURL = len(spec.ReadsOf("token", r.URL)) > 0 || len(spec.ReadsOf("flow", r.URL)) > 0
	if e, ok := r.URL.(hclsyntax.Expression); ok {
		if v, ok := c.constantOf(e); ok && !v.isNull() && !v.marked {
			if s, err := v.str(); err == nil {
				if p.fixed, p.fixedErr = parseRequestURL(s); p.fixed != nil {
					p.fixedOrigin = originOf(p.fixed)
				}
			}
		}
	}
	return p
}

func (c *compiler) mapOf(e hcl.Expression) *mapProgram {
	if e == nil {
		return nil
	}
	p := &mapProgram{}
	c.mapSources(p, e)
	return p
}

// mapSources takes merge({…}, x) apart, so that what is written out stays so.
func (c *compiler) mapSources(p *mapProgram, e hcl.Expression) {
	switch x := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		c.mapSources(p, x.Expression)
	case *hclsyntax.ObjectConsExpr:
		p.sources = append(p.sources, mapSource{members: c.members(x)})
	case *hclsyntax.FunctionCallExpr:
		if x.Name == "merge" && !x.ExpandFinal {
			for _, a := range x.Args {
				c.mapSources(p, a)
			}
			return
		}
		p.sources = append(p.sources, mapSource{whole: c.expr(e)})
	default:
		p.sources = append(p.sources, mapSource{whole: c.expr(e)})
	}
}

func (c *compiler) members(x *hclsyntax.ObjectConsExpr) []memberProgram {
	out := make([]memberProgram, 0, len(x.Items))
	for _, item := range x.Items {
		m := memberProgram{n: c.native(item.ValueExpr)}
		if k, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && !k.IsNull() && k.IsKnown() {
			m.key = valueOf(k).text
		} else if key, ok := item.KeyExpr.(*hclsyntax.ObjectConsKeyExpr); ok {
			m.keyFor = c.native(key.Wrapped)
		} else {
			m.keyFor = c.native(item.KeyExpr)
		}
		out = append(out, m)
	}
	return out
}

// eval gives the members that are not null; of equal keys the last counts, in
// the place of the first.
func (p *mapProgram) eval(f *frame) ([]member, error) {
	if p == nil {
		return nil, nil
	}
	var out []member
	put := func(key string, v value) {
		for i := range out {
			if out[i].key == key {
				out[i].v = v
				return
			}
		}
		out = append(out, member{key, v})
	}
	for _, s := range p.sources {
		if s.whole != nil {
			if err := s.eachOf(f, put); err != nil {
				return nil, err
			}
			continue
		}
		if out == nil {
			out = make([]member, 0, len(s.members))
		}
		for i := range s.members {
			m := &s.members[i]
			key, err := m.name(f)
			if err != nil {
				return nil, err
			}
			v, err := m.n(f)
			if err != nil {
				return nil, &memberError{key, err}
			}
			put(key, v)
		}
	}
	kept := out[:0]
	for _, m := range out {
		if !m.v.isNull() {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

func (m *memberProgram) name(f *frame) (string, error) {
	if m.keyFor == nil {
		return m.key, nil
	}
	k, err := m.keyFor(f)
	if err != nil {
		return "", err
	}
	return k.str()
}

// eachOf evaluates an expression that gives a map and hands out its members,
// sorted by key.
func (s mapSource) eachOf(f *frame, put func(string, value)) error {
	v, err := s.whole(f)
	if err != nil || v.isNull() {
		return err
	}
	m, err := v.toCty()
	if err != nil {
		return err
	}
	m, _ = m.Unmark()
	if t := m.Type(); !t.IsObjectType() && !t.IsMapType() || !m.IsKnown() {
		return errNotAMap
	}
	for it := m.ElementIterator(); it.Next(); {
		k, e := it.Element()
		x := valueOf(e)
		x.marked = x.marked || v.marked
		put(k.AsString(), x)
	}
	return nil
}

// memberError says at which member an evaluation failed.
type memberError struct {
	key string
	err error
}

func (e *memberError) Error() string { return e.key + ": " + e.err.Error() }
func (e *memberError) Unwrap() error { return e.err }

func (c *compiler) json(e hcl.Expression) *jsonProgram {
	switch x := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.json(x.Expression)
	case *hclsyntax.ObjectConsExpr:
		p := &jsonProgram{isObj: true}
		for i, m := range c.members(x) {
			p.object = append(p.object, jsonMember{key: m.key, expr: m, sub: c.json(x.Items[i].ValueExpr)})
		}
		return p
	case *hclsyntax.TupleConsExpr:
		p := &jsonProgram{isArr: true}
		for _, e := range x.Exprs {
			p.array = append(p.array, c.json(e))
		}
		return p
	}
	return &jsonProgram{n: c.expr(e)}
}

// append writes the document; null reports a null, of which nothing is written.
func (p *jsonProgram) append(b []byte, f *frame, r *Request) (_ []byte, null bool, err error) {
	switch {
	case p.isObj:
		b, err = p.appendObject(b, f, r)
		return b, false, err
	case p.isArr:
		b = append(b, '[')
		for i, e := range p.array {
			if i > 0 {
				b = append(b, ',')
			}
			if b, null, err = e.append(b, f, r); err != nil {
				return b, false, err
			} else if null {
				b = append(b, "null"...)
			}
		}
		return append(b, ']'), false, nil
	}
	v, err := p.n(f)
	if err != nil || v.isNull() {
		return b, err == nil, err
	}
	r.hide(v)
	b, err = v.appendJSON(b)
	return b, false, err
}

func (p *jsonProgram) appendObject(b []byte, f *frame, r *Request) ([]byte, error) {
	b = append(b, '{')
	first := true
	for i := range p.object {
		m := &p.object[i]
		key, err := m.expr.name(f)
		if err != nil {
			return b, err
		}
		mark := len(b)
		if !first {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, key), ':')
		var null bool
		if b, null, err = m.sub.append(b, f, r); err != nil {
			return b, &memberError{key, err}
		}
		if null {
			b = b[:mark]
			continue
		}
		first = false
	}
	return append(b, '}'), nil
}
