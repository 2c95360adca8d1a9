package spec

import (
	"crypto/pbkdf2"
	"crypto/sha256"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// address adds the hash of something that a block names.
func (d *digester) address(p parsed) {
	d.text(string(p.address()))
	if p.kind == kindCredential {
		return // its tokens are followed by their generation
	}
	if s, ok := d.c.sumOf(p); ok {
		d.add(s)
	}
}

// refs adds what references name; what can differ between instances is put
// aside.
func (d *digester) refs(refs []ref) {
	for i := range refs {
		r := &refs[i]
		switch root := r.root(); root {
		case "var":
			if v := d.c.vars[r.attr(1)]; v != nil {
				d.add(d.c.variableSum(v))
			}
		case "path", "host":
			d.value(d.c.roots[root])
		case "local":
			d.local(r.attr(1))
		case "each":
			if r.attr(1) == "value" {
				d.aside(r)
			}
		case kindCredential, kindSecret:
			if varying(r.indexRefs) {
				d.aside(r)
			} else {
				d.varying(r)
			}
		case kindHook, kindVault, kindProvider:
			if p, _, err := parseTraversal(r.trav); err == nil {
				d.address(p)
			}
		}
	}
}

func (d *digester) aside(r *ref) {
	if d.out != nil {
		d.out.varying = append(d.out.varying, *r)
	} else {
		d.varying(r)
	}
}

// varying adds what one reference means to the instance.
func (d *digester) varying(r *ref) {
	if r.root() == "each" && d.in != nil && d.in.set.of == nil {
		d.item(d.in)
		return
	}
	for _, a := range d.ev.addresses(r, d.in) {
		if a.Kind() == kindCredential {
			d.text(string(a)) // as address adds it
			continue
		}
		if p, err := parseAddress(string(a)); err == nil {
			d.address(p)
		}
	}
}

// item adds an element of a for_each whose values name secrets or tokens.
func (d *digester) item(in *instance) {
	if in.set.traced {
		d.kept(in.set.vals[in.index])
		return
	}
	if in.set.expr == nil {
		return
	}
	e, refs := in.set.expr, in.set.refs
	if obj, ok := unwrap(e).(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range obj.Items {
			if k, ok := objectKey(item.KeyExpr); ok && k == in.key.str {
				e, refs = item.ValueExpr, collectRefs(item.ValueExpr, nil)
				break
			}
		}
	}
	r := e.Range()
	if s := d.c.source(r.Filename, false); s != nil && s.holds(spanOf(r)) {
		d.text(s.cut(spanOf(r)))
	}
	d.refs(refs)
}

// kept adds an element that is kept as what it is made of.
func (d *digester) kept(v cty.Value) {
	if o, ok := originOf(v); ok {
		if p, err := parseAddress(string(o.addr)); err == nil {
			d.address(p)
		}
		d.text(o.attr)
		return
	}
	if !holdsType(v.Type(), isOrigin) {
		d.value(v)
		return
	}
	for it := v.ElementIterator(); it.Next(); {
		k, x := it.Element()
		d.value(k)
		d.kept(x)
	}
}

// variableSum is the hash of a variable's value. That of a sensitive one is
// slow to compute, so that a digest is no help in guessing it.
func (c *Config) variableSum(v *variable) sum {
	return c.memo.get("var "+v.name, func() sum {
		b := canonicalValue(v.value)
		if !v.sensitive {
			return sum{hash: sha256.Sum256(b)}
		}
		s := sum{hides: true}
		key, err := pbkdf2.Key(sha256.New, string(b), []byte("tokend variable "+v.name), slowRounds, len(s.hash))
		if err != nil { // refused by a policy on key lengths: then only that it is there counts
			return sum{sha256.Sum256([]byte(v.name)), true}
		}
		copy(s.hash[:], key)
		return s
	})
}

// slowRounds of the hash of a sensitive variable cost some hundredths of a
// second, once for a configuration.
const slowRounds = 100_000

func (d *digester) local(n string) {
	lo := d.c.locals[n]
	if lo == nil {
		return
	}
	d.add(lo.digest.get(func() sum {
		if lo.static && !lo.value.ContainsMarked() {
			return sum{hash: sha256.Sum256(canonicalValue(lo.value))}
		}
		inner := &digester{c: d.c, ev: d.ev, h: sha256.New()}
		inner.text(lo.text)
		inner.refs(lo.arg.refs)
		if lo.arg.expr != nil {
			inner.files(lo.arg.expr)
		}
		return inner.sum()
	}))
}
