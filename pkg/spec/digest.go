package spec

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Digest returns a hash of all that the configuration says of an address: its
// block, the instance's key and value, and what it names (variables, locals,
// secrets, hooks, its provider and provider type, files read by functions),
// but not the values of secrets, nor other credentials beyond their address.
// It changes when any of this does. A sensitive variable is among what is
// hashed, so that a digest is to be kept where secrets may be. The second
// result is false where the address is not declared.
func (c *Config) Digest(a Address) ([16]byte, bool) {
	p, err := parseAddress(string(a))
	if err != nil {
		return [16]byte{}, false
	}
	d := &digester{c: c, ev: c.evaluator(Scope{}), h: sha256.New(), seen: map[string]bool{}}
	if !d.address(p) {
		return [16]byte{}, false
	}
	var out [16]byte
	copy(out[:], d.h.Sum(nil))
	return out, true
}

type digester struct {
	c    *Config
	ev   *evaluator
	h    hash.Hash
	seen map[string]bool
}

// text adds a string, delimited by its length.
func (d *digester) text(s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	_, _ = d.h.Write(n[:]) // a hash never fails
	_, _ = d.h.Write([]byte(s))
}

// once reports whether a name is added for the first time, and adds it.
func (d *digester) once(name string) bool {
	d.text(name)
	if d.seen[name] {
		return false
	}
	d.seen[name] = true
	return true
}

func (d *digester) value(v cty.Value) {
	u, _ := v.UnmarkDeep()
	if !u.IsWhollyKnown() {
		d.text("unknown")
		return
	}
	b, err := ctyjson.Marshal(u, cty.DynamicPseudoType)
	if err != nil { // a reference, which has no JSON
		d.text(u.GoString())
		return
	}
	d.text(string(b))
}

// address adds everything of one address.
func (d *digester) address(p parsed) bool {
	if !d.once(string(p.address())) {
		return true
	}
	if p.kind == kindProvider {
		return d.provider(p)
	}
	res := d.c.find(p.kind, p.typ, p.label)
	if res == nil {
		return false
	}
	in, err := d.c.instanceOf(p, res)
	if err != nil {
		return false
	}
	if in.set != nil && in.set.vals != nil {
		d.value(in.set.vals[in.index])
	}
	f := d.form(p.kind, res)
	d.block(f, in)
	if p.kind == kindCredential {
		if cr, err := d.c.Credential(p.address()); err == nil {
			if pp, err := parseAddress(string(cr.Provider)); err == nil {
				d.address(pp)
			}
			d.policies(cr)
		}
	}
	if sc := d.c.kinds[p.kind][p.typ]; sc != nil && p.kind == kindSecret && f.arg(kindVault) == nil {
		if at := sc.attr(kindVault); at != nil && at.Ref == kindVault {
			if v, diag := d.c.defaultVault(f, false); diag == nil && v != "" {
				if vp, err := parseAddress(string(v)); err == nil {
					d.address(vp)
				}
			}
		}
	}
	return true
}

// policies adds the settings that a credential takes over from `tokend`.
func (d *digester) policies(cr *Credential) {
	f := strconv.FormatFloat
	d.text(f(cr.Refresh.At, 'g', -1, 64) + f(cr.Refresh.Jitter, 'g', -1, 64) + cr.Refresh.MinRemaining.String() +
		cr.Retry.Initial.String() + cr.Retry.Max.String() + cr.RedirectURI)
}

// form is a parsed block, of the cache where it is there.
func (d *digester) form(kind string, res *resource) *form {
	if kind == kindCredential {
		return d.c.credentialPlan(res).form
	}
	return d.c.blockPlan(kind, res).form
}

func (d *digester) provider(p parsed) bool {
	t := d.c.types[p.typ]
	if t == nil {
		return false
	}
	if d.once("provider_type." + p.typ) {
		d.text(string(t.Source))
	}
	if decl, ok := d.c.providers[p.address()]; ok {
		f, _ := newForm(decl.at.src, decl.at.row)
		d.block(f, nil)
	}
	return true
}

// block adds the text of a block's arguments, without blanks and comments
// between them, and what they name. What says which instances there are is not
// what the configuration says of one.
func (d *digester) block(f *form, in *instance) {
	d.text(f.title())
	rows := f.src.attrs[f.row.attrs:f.row.attrsEnd]
	for i := range f.args {
		a := &f.args[i]
		if isMeta(a.name) && in != nil && expands(in.kind) {
			continue
		}
		d.text(a.name)
		d.text(f.src.cut(rows[i].expr))
		if a.expr != nil {
			d.refs(a.refs, in)
			d.files(a.expr, in)
		}
	}
	for _, b := range f.blocks {
		d.block(b, in)
	}
	d.text("end")
}

func (d *digester) refs(refs []ref, in *instance) {
	for i := range refs {
		r := &refs[i]
		d.refs(r.indexRefs, in)
		switch root := r.root(); root {
		case "var":
			if v := d.c.vars[r.attr(1)]; v != nil && d.once("var."+v.name) {
				d.value(v.value)
			}
		case "path", "host":
			if d.once(root) {
				d.value(d.c.roots[root])
			}
		case "local":
			d.local(r.attr(1))
		case "each":
			if in != nil && in.set != nil && r.attr(1) == "value" {
				d.each(in)
			}
		case kindCredential:
			for _, a := range d.ev.addresses(r, in) {
				d.text(string(a))
			}
		case kindSecret:
			for _, a := range d.ev.addresses(r, in) {
				if p, err := parseAddress(string(a)); err == nil {
					d.address(p)
				}
			}
		case kindHook, kindVault:
			if p, _, err := parseTraversal(r.trav); err == nil {
				d.address(p)
			}
		}
	}
}

// each adds what each.value stands for.
func (d *digester) each(in *instance) {
	if of := in.set.of; of != nil {
		a := of.address(in.index)
		if p, err := parseAddress(string(a)); err == nil && of.kind == kindSecret {
			d.address(p)
			return
		}
		d.text(string(a))
		return
	}
	if in.set.expr == nil {
		return
	}
	d.refs(in.set.itemRefs(in.key.str), nil)
	if obj, ok := unwrap(in.set.expr).(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range obj.Items {
			if k, ok := objectKey(item.KeyExpr); ok && k == in.key.str {
				d.expr(item.ValueExpr)
				return
			}
		}
	}
	d.expr(in.set.expr)
}

// expr adds an expression's text, from its file.
func (d *digester) expr(e hclsyntax.Expression) {
	r := e.Range()
	if s := d.c.source(r.Filename, false); s != nil && r.End.Byte <= len(s.text) && r.Start.Byte <= r.End.Byte {
		d.text(s.text[r.Start.Byte:r.End.Byte])
	}
}

func (d *digester) local(n string) {
	lo := d.c.locals[n]
	if lo == nil || !d.once("local."+n) {
		return
	}
	if lo.static {
		sum := lo.digest.get(func() [16]byte {
			inner := &digester{h: sha256.New()}
			inner.value(lo.value)
			var out [16]byte
			copy(out[:], inner.h.Sum(nil))
			return out
		})
		d.text(string(sum[:]))
		return
	}
	d.text(lo.text)
	d.refs(lo.arg.refs, nil)
	if lo.arg.expr != nil {
		d.files(lo.arg.expr, nil)
	}
}

// files adds the content of the files that functions in an expression read; of
// those whose names cannot be told, of all that this configuration read.
func (d *digester) files(e hclsyntax.Expression, in *instance) {
	if !callsFile(e) {
		return
	}
	all := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok || !readsFiles(call.Name) || len(call.Args) == 0 {
			return nil
		}
		v, diags := d.ev.eval(call.Args[0], collectRefs(call.Args[0], nil), in)
		u, _ := v.Unmark()
		if diags.HasErrors() || !u.IsKnown() || u.IsNull() || u.Type() != cty.String || call.Name == "fileset" {
			all = true
			return nil
		}
		d.text(d.c.reads.sum(d.c.abs(u.AsString())))
		return nil
	})
	if all {
		for _, path := range d.c.reads.list() {
			d.text(path)
			d.text(d.c.reads.sum(path))
		}
	}
}
