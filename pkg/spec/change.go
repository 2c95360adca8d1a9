package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// importDecl is an import block and where its token comes from.
type importDecl struct {
	Import
	at place
}

// importSchema is that of the `import` block.
func importSchema() *Schema {
	return &Schema{
		Doc: "an adoption: a refresh token that exists already belongs to a credential, and is not spent before it must be",
		Attrs: []Attr{
			{Name: "to", Type: cty.DynamicPseudoType, Required: true, Doc: "the credential"},
			{Name: "refresh_token", Type: cty.String, Required: true, Deferred: true, Sensitive: true, Doc: "a refresh token that exists already"},
		},
	}
}

// loadChanges reads moved, removed and import blocks.
func (l *loader) loadChanges() {
	for _, at := range l.changes {
		f, diags := newForm(at.src, at.row)
		l.report(diags...)
		for _, b := range f.blocks {
			l.report(unknownNested(b, f.typ, nil))
		}
		switch f.typ {
		case "moved":
			l.readMoved(f)
		case "removed":
			l.readRemoved(f)
		case "import":
			l.readImport(f, at)
		}
	}
	l.movesInCircles()
	l.movedAndRemoved()
	l.movesToNothing()
}

// onlyArgs reports arguments that are unknown or missing.
func (l *loader) onlyArgs(f *form, sc Schema) bool {
	ok, names := true, sc.argNames()
	for i := range f.args {
		if !contains(names, f.args[i].name) {
			l.report(unknownArgument(&f.args[i], f.typ, names))
			ok = false
		}
	}
	for _, n := range names {
		a := f.arg(n)
		if a == nil {
			l.report(problem(f.header(), "Missing argument", "%s needs the argument %s%s.", f.title(), n, what(sc.attr(n).Doc)))
			ok = false
		} else if a.expr == nil {
			ok = false
		}
	}
	return ok
}

// endpoint reads an address that need not be declared.
func (l *loader) endpoint(a *argument, kinds ...string) (parsed, bool) {
	e := unwrap(a.expr)
	var trav hcl.Traversal
	if t, ok := e.(*hclsyntax.ScopeTraversalExpr); ok {
		trav = t.Traversal
	} else if s, ok := literal(e); ok && s.Type() == cty.String && !s.IsNull() && l.c.isJSON(a.rng().Filename) {
		parsedTrav, diags := hclsyntax.ParseTraversalAbs([]byte(s.AsString()), a.rng().Filename, a.rng().Start)
		if !diags.HasErrors() {
			trav = parsedTrav
		}
	}
	if trav != nil {
		p, rest, err := parseTraversal(trav)
		if err == nil && len(rest) == 0 && contains(kinds, p.kind) {
			return p, true
		}
	}
	l.report(problem(a.rng(), "Address required", "%s must be the address of a %s, such as credential.coinify.trader or credential.coinify.trader[\"alice\"].", a.name, orKinds(kinds)))
	return parsed{}, false
}

func orKinds(list []string) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += " or a "
		}
		out += s
	}
	return out
}

// declared reports whether an address is declared: as a block, or as one of its
// instances.
func (c *Config) declared(p parsed) bool {
	res := c.find(p.kind, p.typ, p.label)
	if res == nil {
		return false
	}
	if p.key.kind == noKey {
		return true
	}
	return res.insts != nil && res.insts.indexOf(p.key) >= 0
}

// stands reports whether what moved is still declared: of a block that was its own
// only instance before it got its for_each, whether it still is.
func (c *Config) stands(from, to parsed) bool {
	if from.key.kind == noKey && from.block() == to.block() {
		res := c.find(from.kind, from.typ, from.label)
		return res != nil && res.insts == nil
	}
	return c.declared(from)
}

func (l *loader) readMoved(f *form) {
	if !l.onlyArgs(f, movedSchema()) {
		return
	}
	from, ok1 := l.endpoint(f.arg("from"), kindCredential, kindSink)
	to, ok2 := l.endpoint(f.arg("to"), kindCredential, kindSink)
	if !ok1 || !ok2 {
		return
	}
	switch {
	case from.kind != to.kind:
		l.report(problem(f.arg("to").rng(), "Ends of moved differ", "A %s cannot become a %s.", from.kind, to.kind))
	case from.typ != to.typ:
		l.report(problem(f.arg("to").rng(), "Ends of moved differ", "A %s of type %s cannot become one of type %s: what was obtained from one API is nothing to another.", from.kind, from.typ, to.typ))
	case from == to:
		l.report(problem(f.arg("to").rng(), "Nothing moved", "from and to are the same address."))
	case !l.sameShape(from, to):
		l.report(problem(f.arg("to").rng(), "Ends of moved differ", "An instance moves to an instance, and a whole block to a whole block."))
	case l.c.stands(from, to):
		l.report(problem(f.arg("from").rng(), "Moved block is still declared", "%s is still declared. Rename it to %s, or remove this block.", from.address(), to.address()))
	default:
		l.addMoved(f, from, to)
	}
}

// sameShape reports whether both ends are instances or both are blocks. A block
// without for_each is its own only instance, so that it can become one of many
// and the other way round.
func (l *loader) sameShape(from, to parsed) bool {
	if (from.key.kind == noKey) == (to.key.kind == noKey) || from.block() == to.block() {
		return true // or the block got its for_each, or lost it
	}
	keyless := to
	if from.key.kind == noKey {
		keyless = from
	}
	res := l.c.find(keyless.kind, keyless.typ, keyless.label)
	return res == nil || res.insts == nil
}

func (l *loader) addMoved(f *form, from, to parsed) {
	for i := range l.c.moved {
		m := &l.c.moved[i]
		switch {
		case m.From == from.address():
			l.report(duplicate("move of "+string(m.From), m.Range, f.header()))
			return
		case m.To == to.address():
			l.report(problem(f.arg("to").rng(), "Two moves to one address", "%s is where %s moved already (%s:%d).", m.To, m.From, m.Range.Filename, m.Range.Start.Line))
			return
		}
	}
	l.c.moved = append(l.c.moved, Moved{From: from.address(), To: to.address(), Range: f.header()})
	if l.movedTo == nil {
		l.movedTo = map[Address]hcl.Range{}
	}
	l.movedTo[to.address()] = f.arg("to").rng()
}

func (l *loader) readRemoved(f *form) {
	if !l.onlyArgs(f, removedSchema()) {
		return
	}
	from, ok := l.endpoint(f.arg("from"), kindCredential, kindSink)
	if !ok {
		return
	}
	if l.c.declared(from) {
		l.report(problem(f.arg("from").rng(), "Removed block is still declared", "%s is still declared. Remove its block, or this one.", from.address()))
		return
	}
	for i := range l.c.removed {
		if l.c.removed[i].From == from.address() {
			l.report(duplicate("removal of "+string(from.address()), l.c.removed[i].Range, f.header()))
			return
		}
	}
	l.c.removed = append(l.c.removed, Removed{From: from.address(), Range: f.header()})
}

func (l *loader) readImport(f *form, at place) {
	if !l.onlyArgs(f, *importSchema()) {
		return
	}
	to, ok := l.endpoint(f.arg("to"), kindCredential)
	if !ok {
		return
	}
	res, d := l.c.lookup(to, f.arg("to").rng())
	if d != nil {
		l.report(d)
		return
	}
	t := &target{p: to, res: res}
	if d := l.c.checkKey(t, &ref{rng: f.arg("to").rng()}); d != nil {
		l.report(d)
		return
	}
	if res.insts != nil && to.key.kind == noKey {
		l.report(problem(f.arg("to").rng(), "Instance key missing", "%s has several instances; say which one.", to.address()))
		return
	}
	if l.cannotImport(f, to, res) {
		return
	}
	a := f.arg("refresh_token")
	_, diags := l.ev.arg(a, importSchema().attr("refresh_token"), nil, &selectArgs{check: true})
	l.report(diags...)
	for i := range l.c.imports {
		if l.c.imports[i].To == to.address() {
			l.report(duplicate("import to "+string(to.address()), l.c.imports[i].Range, f.header()))
			return
		}
	}
	var uses []Address
	var refs []ref
	l.c.splitUses(l.ev, a, &uses, &refs)
	l.c.imports = append(l.c.imports, importDecl{Import: Import{To: to.address(), Uses: sortAddresses(uses), Range: f.header()}, at: at})
}

// Moved lists the moved blocks in the order of the text.
func (c *Config) Moved() []Moved {
	out := append([]Moved(nil), c.moved...)
	for i := range out {
		out[i].To = c.now(out[i].To)
	}
	return out
}

// Removed lists the removed blocks in the order of the text.
func (c *Config) Removed() []Removed { return append([]Removed(nil), c.removed...) }

// Imports lists the import blocks in the order of the text.
func (c *Config) Imports() []Import {
	out := make([]Import, len(c.imports))
	for i := range c.imports {
		out[i] = c.imports[i].Import
		out[i].To, out[i].Uses = c.now(out[i].To), c.allNow(out[i].Uses)
	}
	return out
}

// ImportValues evaluates the import block of a credential: "refresh_token".
func (c *Config) ImportValues(to Address, s Scope) (Values, error) {
	for i := range c.imports {
		if c.imports[i].To != c.own(to) {
			continue
		}
		f, diags := newForm(c.imports[i].at.src, c.imports[i].at.row)
		ev := c.evaluator(s)
		m, more := ev.args(f, importSchema(), nil, &selectArgs{names: []string{"refresh_token"}})
		if err := ev.failure(to, append(diags, more...)); err != nil {
			return Values{}, err
		}
		return published(m), nil
	}
	return Values{}, &UnknownAddressError{Addr: to}
}
