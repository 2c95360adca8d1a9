package spec

import (
	"errors"
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// An element of for_each that is made of other blocks' instances, as those of
// merge(credential.x.a, credential.x.b) are, is kept as what it is made of: a
// sink then waits for its own token alone, and finds it without evaluating all
// the others.
//
// What it is made of is not read off the text but evaluated: for_each is
// evaluated once more, with every attribute of every instance replaced by an
// unknown value of a type of its own. Nothing but the attribute itself has that
// type, so that an element which has it is that attribute, wherever it went
// through. What looks into an attribute fails, and then nothing is claimed.

// origin says which attribute of which instance an element is, or with attr ""
// that it is the instance.
type origin struct {
	addr Address
	attr string
}

// originType is the type of the places in a kept element that stand for
// something of another instance.
var originType = cty.CapsuleWithOps("origin", reflect.TypeFor[origin](), &cty.CapsuleOps{
	RawEquals: func(a, b any) bool { return *a.(*origin) == *b.(*origin) },
	GoString:  func(v any) string { o := v.(*origin); return string(o.addr) + " " + o.attr },
})

// originOf returns what a place in a kept element stands for.
func originOf(v cty.Value) (*origin, bool) {
	if v.Type() != originType {
		return nil, false
	}
	return v.EncapsulatedValue().(*origin), true
}

// traceMark is on every stand-in, and so on all that was computed with it.
type traceMark struct{ addr Address }

// errTraced ends a call that would look into a stand-in.
var errTraced = errors.New("a value is looked into while it is traced")

// tracing are the stand-ins of one evaluation.
type tracing struct {
	leaves map[origin]cty.Value
	types  map[cty.Type]origin
	whole  map[Address]int // how many attributes the stand-in of an instance has
	fns    map[string]function.Function
}

// leaf is the stand-in of an attribute.
func (t *tracing) leaf(o origin) cty.Value {
	if v, ok := t.leaves[o]; ok {
		return v
	}
	ty := cty.Capsule("traced", reflect.TypeFor[origin]())
	v := cty.UnknownVal(ty).RefineNotNull().Mark(traceMark{o.addr})
	t.leaves[o], t.types[ty] = v, o
	return v
}

// instance is the stand-in of an instance.
func (t *tracing) instance(c *Config, kind string, a Address) cty.Value {
	names := []string{"value"}
	switch kind {
	case kindCredential:
		known, open := c.credentialAttrs(a)
		if open { // which attributes it has is not known
			return t.leaf(origin{addr: a})
		}
		names = known
	case kindSecret:
	default:
		return cty.EmptyObjectVal
	}
	m := make(map[string]cty.Value, len(names))
	for _, n := range names {
		m[n] = t.leaf(origin{addr: a, attr: n})
	}
	t.whole[a] = len(m)
	return cty.ObjectVal(m)
}

// origins turns an evaluated element into one to be kept; false: it is, or may
// be, something else than attributes and instances as they are.
func (t *tracing) origins(v cty.Value) (cty.Value, bool) {
	if u, marks := v.Unmark(); t.isLeaf(u.Type()) {
		o := t.types[u.Type()]
		_, own := marks[traceMark{o.addr}]
		if !own || len(marks) != 1 || u.IsKnown() || !u.Range().DefinitelyNotNull() {
			return v, false
		}
		return cty.CapsuleVal(originType, &o), true
	}
	switch ty := v.Type(); {
	case v.IsMarked():
		return v, false
	case !t.mentioned(ty):
		return v, v.IsWhollyKnown() && !v.ContainsMarked()
	case v.IsNull() || !v.IsKnown():
		return v, false
	case ty.IsObjectType():
		return t.originsOfObject(v)
	case ty.IsTupleType():
		list := make([]cty.Value, 0, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			_, x := it.Element()
			y, ok := t.origins(x)
			if !ok {
				return v, false
			}
			list = append(list, y)
		}
		return cty.TupleVal(list), true
	}
	return v, false
}

func (t *tracing) originsOfObject(v cty.Value) (cty.Value, bool) {
	m := v.AsValueMap()
	var of Address
	all := 0
	for n, x := range m {
		y, ok := t.origins(x)
		if !ok {
			return v, false
		}
		m[n] = y
		if o, ok := originOf(y); ok && o.attr == n && (of == "" || of == o.addr) {
			of = o.addr
			all++
		}
	}
	if of != "" && all == len(m) && all == t.whole[of] {
		return cty.CapsuleVal(originType, &origin{addr: of}), true
	}
	return cty.ObjectVal(m), true
}

func (t *tracing) isLeaf(ty cty.Type) bool {
	if !ty.IsCapsuleType() {
		return false
	}
	_, ok := t.types[ty]
	return ok
}

// mentioned reports whether a type has a stand-in's in it.
func (t *tracing) mentioned(ty cty.Type) bool { return holdsType(ty, t.isLeaf) }

func holdsType(ty cty.Type, is func(cty.Type) bool) bool {
	switch {
	case ty.IsPrimitiveType():
		return false
	case ty.IsObjectType():
		for _, x := range ty.AttributeTypes() {
			if holdsType(x, is) {
				return true
			}
		}
		return false
	case ty.IsTupleType():
		for _, x := range ty.TupleElementTypes() {
			if holdsType(x, is) {
				return true
			}
		}
		return false
	case ty.IsCollectionType():
		return holdsType(ty.ElementType(), is)
	}
	return is(ty)
}

// passing are the functions that move values about and never look into them.
var passing = [...]string{
	"chunklist", "concat", "element", "flatten", "keys", "length", "lookup", "merge", "one", "reverse", "setproduct", "slice",
	"tolist", "tomap", "toset", "values", "zipmap",
}

// tracedFunctions are the functions of a traced evaluation: those that would
// look into a stand-in refuse it.
func (t *tracing) tracedFunctions(all map[string]function.Function) map[string]function.Function {
	out := make(map[string]function.Function, len(all))
	for n, f := range all {
		if contains(passing[:], n) {
			out[n] = f
		} else {
			out[n] = t.refusing(f)
		}
	}
	return out
}

func (t *tracing) refusing(f function.Function) function.Function {
	s := &function.Spec{Params: passAll(f.Params())}
	if v := f.VarParam(); v != nil {
		s.VarParam = &passAll([]function.Parameter{*v})[0]
	}
	s.Type = func(args []cty.Value) (cty.Type, error) {
		for _, a := range args {
			if t.inArgument(a) {
				return cty.NilType, errTraced
			}
		}
		return f.ReturnTypeForValues(args)
	}
	s.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) }
	return function.New(s)
}

// inArgument reports whether a stand-in is in an argument, or named by one that
// the function evaluates itself.
func (t *tracing) inArgument(v cty.Value) bool {
	if v.Type() != customdecode.ExpressionClosureType {
		return t.mentioned(v.Type())
	}
	closure := customdecode.ExpressionClosureFromVal(v)
	for _, trav := range closure.Expression.Variables() {
		// As far as the name leads to something.
		for n := len(trav); n > 0; n-- {
			named, diags := trav[:n].TraverseAbs(closure.EvalContext)
			if diags.HasErrors() {
				continue
			}
			if t.mentioned(named.Type()) {
				return true
			}
			break
		}
	}
	return false
}

// trace finds what the elements of for_each are made of; nil: it cannot be
// told, and each of them may be made of all that the expression names.
func (l *loader) trace(a *argument, keys []string) []cty.Value {
	if !l.c.traceable(a.expr, a.refs) {
		return nil
	}
	t := &tracing{leaves: map[origin]cty.Value{}, types: map[cty.Type]origin{}, whole: map[Address]int{}}
	ev := l.c.evaluator(Scope{})
	ev.expand, ev.settle, ev.trace = l.ev.expand, l.ev.settle, t
	t.fns = t.tracedFunctions(l.c.fns)
	v, diags := ev.eval(a.expr, a.refs, nil)
	if diags.HasErrors() || v.IsMarked() || v.IsNull() || !v.IsKnown() || !(v.Type().IsObjectType() || v.Type().IsMapType()) || v.LengthInt() != len(keys) {
		return nil
	}
	out := make([]cty.Value, 0, len(keys))
	for it := v.ElementIterator(); it.Next(); {
		k, x := it.Element()
		y, ok := t.origins(x)
		if !ok || k.AsString() != keys[len(out)] {
			return nil
		}
		out = append(out, y)
	}
	return out
}

// traceable reports whether an expression, with the locals that it names,
// chooses by nothing that could be a token: a comparison with a stand-in says
// that they differ, where one with the token would say that it is not known.
func (c *Config) traceable(e hclsyntax.Expression, refs []ref) bool {
	found := false
	for _, r := range c.deepRefs(refs) {
		switch r.root() {
		case kindSecret, kindCredential:
			found = true
		case "local":
			if lo := c.locals[r.attr(1)]; lo != nil && !lo.static && lo.arg.expr != nil && c.chooses(lo.arg.expr) {
				return false
			}
		}
	}
	return found && !c.chooses(e)
}

// chooses reports whether an expression compares, or decides by, something that
// is not certain to be known.
func (c *Config) chooses(e hclsyntax.Expression) bool {
	w := &choiceWalker{c: c, names: map[string]bool{}}
	_ = hclsyntax.Walk(e, w)
	return w.found
}

type choiceWalker struct {
	c     *Config
	names map[string]bool // of elements, in for expressions
	found bool
}

func (w *choiceWalker) Enter(n hclsyntax.Node) hcl.Diagnostics {
	switch x := n.(type) {
	case *hclsyntax.ForExpr:
		w.names[x.ValVar] = true
	case *hclsyntax.ConditionalExpr:
		w.check(x.Condition)
	case *hclsyntax.BinaryOpExpr:
		if x.Op == hclsyntax.OpEqual || x.Op == hclsyntax.OpNotEqual {
			w.check(x)
		}
	}
	return nil
}

func (w *choiceWalker) check(e hclsyntax.Expression) {
	for _, v := range hclsyntax.Variables(e) {
		switch root := v.RootName(); root {
		case "var", "path", "host":
		case "local":
			lo := w.c.locals[stepName(v, 1)]
			w.found = w.found || lo == nil || !lo.static
		default:
			w.found = w.found || root == kindSecret || root == kindCredential || w.names[root]
		}
	}
}

// Exit does nothing: a name that an expression defines counts in all of it.
func (w *choiceWalker) Exit(hclsyntax.Node) hcl.Diagnostics { return nil }

// stands says which instance of another block an instance's each.value is.
func (s *instances) stands(i int) (kind string, a Address, ok bool) {
	switch {
	case s.of != nil && i < s.of.set.len():
		return s.of.kind, s.of.address(i), true
	case s.traced && i < len(s.vals):
		if o, ok := originOf(s.vals[i]); ok && o.attr == "" {
			return o.addr.Kind(), o.addr, true
		}
	}
	return "", "", false
}

// into follows a reference into an element that is kept as what it is made of,
// as far as that goes.
func into(v cty.Value, rest hcl.Traversal) (cty.Value, hcl.Traversal) {
	for len(rest) > 0 && v.Type().IsObjectType() {
		n := stepName(rest, 0)
		if n == "" || !v.Type().HasAttribute(n) {
			break
		}
		v, rest = v.GetAttr(n), rest[1:]
	}
	return v, rest
}

// madeOf adds the addresses of all that a kept element is made of.
func madeOf(v cty.Value, out []Address) []Address {
	if o, ok := originOf(v); ok {
		return append(out, o.addr)
	}
	if holdsType(v.Type(), isOrigin) {
		for it := v.ElementIterator(); it.Next(); {
			_, x := it.Element()
			out = madeOf(x, out)
		}
	}
	return out
}

func isOrigin(ty cty.Type) bool { return ty == originType }

// fill evaluates a kept element; with wanted, of other instances than those
// nothing is asked for.
func (ev *evaluator) fill(v cty.Value, wanted map[Address]bool) (cty.Value, Diagnostics) {
	if o, ok := originOf(v); ok {
		switch {
		case wanted != nil && !wanted[o.addr]:
			return sourced(cty.DynamicVal), nil
		case o.attr == "":
			return ev.instanceValue(o.addr.Kind(), o.addr)
		}
		x, ok := ev.attribute(o.addr.Kind(), o.addr, o.attr)
		if !ok {
			x = sourced(cty.DynamicVal)
		}
		return x, nil
	}
	if !holdsType(v.Type(), isOrigin) {
		return v, nil
	}
	var diags Diagnostics
	list := make([]cty.Value, 0, v.LengthInt())
	m := map[string]cty.Value{}
	for it := v.ElementIterator(); it.Next(); {
		k, x := it.Element()
		y, more := ev.fill(x, wanted)
		diags = append(diags, more...)
		if v.Type().IsTupleType() {
			list = append(list, y)
		} else {
			m[k.AsString()] = y
		}
	}
	if v.Type().IsTupleType() {
		return cty.TupleVal(list), diags
	}
	return cty.ObjectVal(m), diags
}
