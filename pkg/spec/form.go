package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// argument is one argument of a block, parsed.
type argument struct {
	name      string
	nameRange hcl.Range
	expr      hclsyntax.Expression // nil: it does not parse, which is reported
	refs      []ref
}

// rng is the range of the argument's expression.
func (a *argument) rng() hcl.Range {
	if a.expr == nil {
		return a.nameRange
	}
	return a.expr.Range()
}

// varies reports whether the argument can differ between instances of a block.
func (a *argument) varies() bool {
	for i := range a.refs {
		switch a.refs[i].root() {
		case "each", "count":
			return true
		}
	}
	return false
}

// namesVary reports whether what the argument names can differ between
// instances, so that its references must be checked for each.
func (a *argument) namesVary() bool {
	for i := range a.refs {
		if a.refs[i].index != nil || a.refs[i].root() == "each" && a.refs[i].attr(1) == "value" {
			return true
		}
	}
	return false
}

// form is one block, parsed again from its bytes. Forms live in a small cache
// and are made anew when they are asked for again.
type form struct {
	src    *source
	row    *blockRow
	typ    string
	labels []string
	args   []argument
	blocks []*form
}

func (f *form) header() hcl.Range { return f.src.header(f.row) }

// closing is where the block's body ends: where something that is missing
// would stand.
func (f *form) missing() hcl.Range { return f.header() }

func (f *form) arg(name string) *argument {
	for i := range f.args {
		if f.args[i].name == name {
			return &f.args[i]
		}
	}
	return nil
}

// iterator is the name that a dynamic block gives to its element: what its
// argument iterator says, else its label.
func (s *source) iterator(row *blockRow) string {
	for _, a := range s.attrs[row.attrs:row.attrsEnd] {
		if s.ident(a.name) == iteratorArg {
			return strings.Trim(s.cut(a.expr), `"`)
		}
	}
	return s.label(row, 0)
}

// iteratorArg is the argument of a dynamic block that names its element.
const iteratorArg = "iterator"

// newForm parses the block of row i.
func newForm(s *source, i int) (*form, Diagnostics) {
	f, _, diags := formAt(s, i, nil)
	return f, diags
}

// formAt parses the block of row i and what is nested in it; locals are names
// that a `dynamic` block around it adds.
func formAt(s *source, i int, locals []string) (*form, int, Diagnostics) {
	row := &s.blocks[i]
	f := &form{src: s, row: row, typ: s.ident(row.typ)}
	for n := range min(int(row.nlabels), len(row.labels)) {
		if f.labels == nil {
			f.labels = make([]string, 0, len(row.labels))
		}
		f.labels = append(f.labels, s.label(row, n))
	}
	if f.typ == "dynamic" {
		locals = append(locals[:len(locals):len(locals)], s.iterator(row))
	}
	var diags Diagnostics
	rows := s.attrs[row.attrs:row.attrsEnd]
	f.args = make([]argument, len(rows))
	for n, r := range rows {
		a := &f.args[n]
		a.name = s.ident(r.name)
		a.nameRange = s.rangeOf(row, r.name)
		expr, more := parseExpr(s, row, r.expr)
		diags = append(diags, more...)
		if expr == nil {
			continue
		}
		a.expr = expr
		a.refs = collectRefs(expr, locals)
	}
	next := i + 1
	for next < int(row.next) {
		nested, after, more := formAt(s, next, locals)
		f.blocks = append(f.blocks, nested)
		diags = append(diags, more...)
		next = after
	}
	return f, next, diags
}
