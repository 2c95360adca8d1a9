package spec

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Digest returns a hash of all that the configuration says of an address: its
// block, the instance's key and value, and what it names (variables, locals,
// secrets, hooks, its provider and provider type, files read by functions),
// but not the values of secrets, nor of another credential more than its
// address. It changes when any of this does, and is the same in every process.
// A sensitive variable goes into it by a slow hash. The second result is false
// where the address is not declared.
func (c *Config) Digest(a Address) ([16]byte, bool) {
	p, err := parseAddress(string(c.own(a)))
	if err != nil {
		return [16]byte{}, false
	}
	return c.digest(p)
}

// sum is a full hash; digests that are given out are its first half. It hides
// something where a sensitive variable went into it.
type sum struct {
	hash  [sha256.Size]byte
	hides bool
}

func (c *Config) digest(p parsed) ([16]byte, bool) {
	var out [16]byte
	s, ok := c.sumOf(p)
	copy(out[:], s.hash[:])
	return out, ok
}

// sumOf is the hash of one address: that of its block, which all instances have
// in common, and what is the instance's own.
func (c *Config) sumOf(p parsed) (sum, bool) {
	if p.kind == kindProvider {
		return c.providerSum(p)
	}
	res := c.find(p.kind, p.typ, p.label)
	if res == nil {
		return sum{}, false
	}
	if res.insts == nil {
		if p.key.kind != noKey {
			return sum{}, false
		}
		return c.blockSum(p.kind, res).sum, true
	}
	in, err := c.instanceOf(p, res)
	if err != nil {
		return sum{}, false
	}
	return c.instanceSum(in, c.blockSum(p.kind, res)), true
}

// blockSum is the part of a digest that all instances of a block have in
// common, and what has to be resolved for each.
type blockSum struct {
	sum     sum
	form    *form
	varying []ref       // references that can mean something else in each instance
	files   []*argument // arguments that read files, by names that can differ
}

func (c *Config) blockSum(kind string, res *resource) *blockSum {
	// A credential or sink of its own is asked for seldom: where there are many,
	// keeping them would push out what is asked for each time that anybody uses
	// it, such as a secret.
	kept := res.insts != nil || kind != kindCredential && kind != kindSink || len(c.resources[kind]) <= plansKept/4
	if kept {
		if b, ok := c.sums.get(res).(*blockSum); ok {
			return b
		}
	}
	f, _ := newForm(res.src, int(res.row))
	b := c.formSum(kind, f)
	if kept {
		c.sums.put(res, b)
	}
	return b
}

// formSum is blockSum of a block that is parsed already, and not kept.
func (c *Config) formSum(kind string, f *form) *blockSum {
	return newDigester(c, c.evaluator(Scope{})).form(kind, f)
}

func newDigester(c *Config, ev *evaluator) *digester {
	return &digester{c: c, ev: ev, h: sha256.New()}
}

// form is the sum of a block. Afterwards the digester can be used for another one.
func (d *digester) form(kind string, f *form) *blockSum {
	d.h.Reset()
	d.hides = false
	d.out = &blockSum{form: f}
	d.block(f, expands(kind))
	switch kind {
	case kindCredential:
		d.credential(f)
	case kindSecret:
		d.defaultVault(f)
	}
	d.out.sum = d.sum()
	return d.out
}

// instanceSum adds what is an instance's own: its key and value, and what its
// references mean.
func (c *Config) instanceSum(in *instance, b *blockSum) sum {
	key := in.key.suffix()
	if len(b.varying) == 0 && len(b.files) == 0 && in.set.vals == nil {
		buf := make([]byte, 0, 96)
		return sum{sha256.Sum256(append(append(buf, b.sum.hash[:]...), key...)), b.sum.hides}
	}
	d := &digester{c: c, ev: c.evaluator(Scope{}), h: sha256.New(), in: in}
	d.add(b.sum)
	d.text(key)
	if in.set.vals != nil {
		d.value(in.set.vals[in.index])
	}
	for i := range b.varying {
		d.varying(&b.varying[i])
	}
	for _, a := range b.files {
		d.reads(b.form, a)
	}
	return d.sum()
}

// providerSum covers a provider block, or its absence, and its type.
func (c *Config) providerSum(p parsed) (sum, bool) {
	t := c.types[p.typ]
	decl := c.providers[p.address()]
	if t == nil || decl == nil && p.label != defaultAlias {
		return sum{}, false
	}
	return c.memo.get("provider "+p.typ+"."+p.label, func() sum {
		d := &digester{c: c, ev: c.evaluator(Scope{}), h: sha256.New(), out: &blockSum{}}
		d.text(t.Name)
		d.text(string(t.Source))
		if decl != nil {
			f, _ := newForm(decl.at.src, decl.at.row)
			d.block(f, false)
		}
		return d.sum()
	}), true
}

// sumMemo keeps hashes of what many blocks name. It is bounded: one that is not
// kept is computed again.
type sumMemo struct {
	mu sync.Mutex
	m  map[string]sum
}

const sumsKept = 4096

func (s *sumMemo) get(key string, compute func() sum) sum {
	s.mu.Lock()
	v, ok := s.m[key]
	s.mu.Unlock()
	if ok {
		return v
	}
	v = compute()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil || len(s.m) >= sumsKept {
		s.m = map[string]sum{}
	}
	s.m[key] = v
	return v
}

// digester feeds one hash.
type digester struct {
	c   *Config
	ev  *evaluator
	h   hash.Hash
	buf []byte
	in  *instance // nil: of a block, for all its instances
	out *blockSum // of a block: where what varies is put aside
	// hides: a sensitive variable went into it.
	hides bool
}

// add adds a hash of something else.
func (d *digester) add(s sum) {
	d.text(string(s.hash[:]))
	d.hides = d.hides || s.hides
}

// sum is the hash of all that was added.
func (d *digester) sum() sum {
	s := sum{hides: d.hides}
	d.h.Sum(s.hash[:0])
	return s
}

// text adds a string, delimited by its length.
func (d *digester) text(s string) {
	d.buf = append(binary.BigEndian.AppendUint64(d.buf[:0], uint64(len(s))), s...)
	_, _ = d.h.Write(d.buf) // a hash never fails
}

func (d *digester) value(v cty.Value) { d.text(string(canonicalValue(v))) }

func canonicalValue(v cty.Value) []byte {
	u, _ := v.UnmarkDeep()
	if !u.IsWhollyKnown() {
		return []byte("unknown")
	}
	b, err := ctyjson.Marshal(u, cty.DynamicPseudoType)
	if err != nil { // a reference, which has no JSON
		return []byte(u.GoString())
	}
	return b
}

// block adds the text of a block's arguments, without blanks and comments
// between them, and what they name. What says which instances there are is not
// what the configuration says of one.
func (d *digester) block(f *form, instances bool) {
	d.text(f.title())
	rows := f.src.attrs[f.row.attrs:f.row.attrsEnd]
	for i := range f.args {
		a := &f.args[i]
		if isMeta(a.name) && instances {
			continue
		}
		d.text(a.name)
		d.text(f.src.cut(rows[i].expr))
		if a.expr == nil {
			continue
		}
		at := d.schemaOf(f, a)
		if at != nil && at.Path && relative(a) {
			d.text(d.c.dir)
		}
		d.refs(a.refs)
		if !callsFile(a.expr) && (at == nil || !at.Content) {
			continue
		}
		if a.varies() {
			d.out.files = append(d.out.files, a)
		} else {
			d.reads(f, a)
		}
	}
	for _, b := range f.blocks {
		d.block(b, false)
	}
	d.text("end")
}

// schemaOf is what the block's kind says of one of its arguments, nil where it
// says nothing.
func (d *digester) schemaOf(f *form, a *argument) *Attr {
	if len(f.labels) != 2 {
		return nil
	}
	if sc := d.c.kinds[f.typ][f.labels[0]]; sc != nil {
		return sc.attr(a.name)
	}
	return nil
}

// relative reports whether an argument that says where something is may say it
// relative to the directory: in another one it says something else.
func relative(a *argument) bool {
	e := unwrap(a.expr)
	if t, ok := e.(*hclsyntax.TemplateExpr); ok && len(t.Parts) > 0 {
		e = t.Parts[0]
	}
	v, ok := literal(e)
	return !ok || v.IsNull() || v.Type() != cty.String || !strings.HasPrefix(v.AsString(), "/")
}

// credential adds the provider of a credential and the settings that it takes
// over from `tokend`.
func (d *digester) credential(f *form) {
	s := &d.c.settings
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	d.text(number(s.Refresh.At) + " " + number(s.Refresh.Jitter) + " " + s.Refresh.MinRemaining.String() + " " +
		s.Retry.Initial.String() + " " + s.Retry.Max.String() + " " + s.PublicURL)
	if a := f.arg(kindProvider); a == nil || a.expr == nil || isLiteralNull(a.expr) {
		d.address(parsed{kind: kindProvider, typ: f.labels[0], label: defaultAlias})
	}
}

// defaultVault adds the vault of a secret that names none.
func (d *digester) defaultVault(f *form) {
	sc := d.c.kinds[kindSecret][f.labels[0]]
	if sc == nil || f.arg(kindVault) != nil || sc.attr(kindVault) == nil || sc.attr(kindVault).Ref != kindVault {
		return
	}
	if v, diag := d.c.defaultVault(f, false); diag == nil && v != "" {
		if p, err := parseAddress(string(v)); err == nil {
			d.address(p)
		}
	}
}
