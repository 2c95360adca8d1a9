package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// instance is one instance of a block while something of it is evaluated.
type instance struct {
	kind, typ, label string
	key              instKey
	set              *instances // nil: the block has neither for_each nor count
	index            int        // of the instance in set
	extra            map[string]cty.Value
}

func (in *instance) address() Address { return name(in.kind, in.typ, in.label, in.key) }

// with adds a name, as the iterator of a dynamic block does.
func (in *instance) with(n string, v cty.Value) *instance {
	c := *in
	c.extra = map[string]cty.Value{n: v}
	for k, x := range in.extra {
		if k != n {
			c.extra[k] = x
		}
	}
	return &c
}

// evaluator evaluates expressions against one Config and one Scope. It is made
// for one call and dropped: what it read is remembered so long, so that one
// evaluation sees one value. Not safe for concurrent use.
type evaluator struct {
	c       *Config
	scope   Scope
	secrets answers[cty.Value]
	creds   answers[*Attributes]
	locals  map[string]cty.Value
	depth   int   // of locals that name locals
	err     error // the first error of a Scope func

	last  parsed    // what was looked up last
	found *resource // where it is declared

	nearKind string // of block that was found last
	near     int    // where among those of its kind

	// While a directory is being loaded, blocks are expanded and locals settled
	// when they are first named.
	expand func(kind string, res *resource)
	settle func(*local)
	trace  *tracing // nil: values are what they are
}

func (c *Config) evaluator(s Scope) *evaluator { return &evaluator{c: c, scope: s} }

// eval evaluates an expression of an instance's block. Diagnostics carry
// nothing that could reveal a value.
func (ev *evaluator) eval(e hclsyntax.Expression, refs []ref, in *instance) (cty.Value, Diagnostics) {
	if v, ok := literal(e); ok {
		return v, nil
	}
	if _, ok := e.(*hclsyntax.ScopeTraversalExpr); ok && len(refs) == 1 {
		return ev.traverse(&refs[0], in)
	}
	if v, ok := ev.fast(e, in); ok {
		return v, nil
	}
	ctx, absent, diags := ev.context(refs, in)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	v, more := safeValue(e, ctx)
	if len(absent) > 0 && more.HasErrors() {
		return cty.DynamicVal, append(diags, absent...)
	}
	if len(more) > 0 {
		adviseMembers(more, e, ctx)
		nameKeys(more, e)
		more = withoutValues(more, sensitiveContext(ctx))
	}
	return withKeyMarks(v, e, ctx), append(diags, more...)
}

// safeValue evaluates e; a panic in the evaluator or in a function becomes a
// diagnostic, because a directory that anybody can push to must not be able to
// end the daemon.
func safeValue(e hcl.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	defer func() {
		if recover() != nil {
			v = cty.DynamicVal
			diags = hcl.Diagnostics{problem(e.Range(), evaluatorFailed,
				"Evaluating this expression failed inside the evaluator. Write it in simpler steps, with locals.")}
		}
	}()
	return e.Value(ctx)
}

func sensitiveContext(ctx *hcl.EvalContext) bool {
	for _, v := range ctx.Variables {
		if v.ContainsMarked() {
			return true
		}
	}
	return false
}

// traverse evaluates an expression that is one plain reference.
func (ev *evaluator) traverse(r *ref, in *instance) (cty.Value, Diagnostics) {
	v, rest, diags := ev.start(r, in)
	if diags.HasErrors() || len(rest) == 0 {
		return v, diags
	}
	sensitive := v.ContainsMarked()
	out, more := rest.TraverseRel(v)
	if len(more) > 0 {
		for _, d := range more {
			if d.Subject == nil {
				d.Subject = r.rng.Ptr()
			}
			nameKey(d, r.trav)
			adviseMember(d, rest, func(n int) (cty.Value, hcl.Diagnostics) { return rest[:n].TraverseRel(v) })
		}
		more = withoutValues(more, sensitive)
	}
	return out, append(diags, more...)
}

// start resolves the beginning of a reference as far as this package knows
// what it means; the rest is traversed as HCL does.
func (ev *evaluator) start(r *ref, in *instance) (cty.Value, hcl.Traversal, Diagnostics) {
	root := r.root()
	if in != nil {
		if v, ok := in.extra[root]; ok {
			return v, r.trav[1:], nil
		}
	}
	second := r.attr(1)
	switch root {
	case "var":
		if v, ok := ev.c.vars[second]; ok {
			return v.value, r.trav[2:], nil
		}
	case "local":
		if _, ok := ev.c.locals[second]; ok {
			v, diags := ev.local(second)
			return v, r.trav[2:], diags
		}
	case "path", "host":
		return ev.c.roots[root], r.trav[1:], nil
	case "each", "count":
		if in != nil && in.set != nil {
			switch {
			case second == "value" && root == "each":
				return ev.startEach(r, in)
			case second == "key" && root == "each", second == "index" && root == "count":
				// As counted would give it, without an object around it.
				return in.key.value(), r.trav[2:], nil
			}
			return ev.counted(root, in), r.trav[1:], nil
		}
	default:
		if addressParts(root) > 0 {
			return ev.startAddress(r, in)
		}
	}
	d := ev.c.checkRef(ev, r, in)
	if d == nil {
		d = problem(r.rng, "Invalid reference", "This reference cannot be evaluated here.")
	}
	return cty.DynamicVal, nil, Diagnostics{d}
}

// startEach resolves each.value…, without building the whole object when
// each.value stands for an instance of another block.
func (ev *evaluator) startEach(r *ref, in *instance) (cty.Value, hcl.Traversal, Diagnostics) {
	if kind, a, ok := in.set.stands(in.index); ok && len(r.trav) > 2 {
		if attr := stepName(r.trav, 2); attr != "" {
			v, ok := ev.attribute(kind, a, attr)
			if ok {
				return v, r.trav[3:], nil
			}
		}
	}
	if in.set.traced {
		kept, rest := into(in.set.vals[in.index], r.trav[2:])
		v, diags := ev.fill(kept, nil)
		return v, rest, diags
	}
	v, diags := ev.eachValue(in, nil)
	return v, r.trav[2:], diags
}

// startAddress resolves a reference to something that has an address.
func (ev *evaluator) startAddress(r *ref, in *instance) (cty.Value, hcl.Traversal, Diagnostics) {
	t, d := ev.target(r, in)
	if d != nil {
		return cty.DynamicVal, nil, Diagnostics{d}
	}
	if !expands(t.p.kind) {
		return referenceTo(t.p.address()), t.rest, nil
	}
	if t.whole {
		v, diags := ev.blockValue(t.p.kind, t.p.typ, t.p.label, nil)
		return v, t.rest, diags
	}
	if len(t.rest) > 0 {
		if attr := stepName(t.rest, 0); attr != "" {
			v, ok := ev.attribute(t.p.kind, t.p.address(), attr)
			if ok {
				return v, t.rest[1:], nil
			}
		}
	}
	v, diags := ev.instanceValue(t.p.kind, t.p.address())
	return v, t.rest, diags
}

// context builds the variables that the references need, and no others. absent says
// which instances are named that there are not: whether that is a mistake,
// evaluating tells.
func (ev *evaluator) context(refs []ref, in *instance) (ctx *hcl.EvalContext, absent, diags Diagnostics) {
	vars := map[string]cty.Value{}
	var tree refTree
	var locals map[string]cty.Value
	each := false
	wanted := map[Address]bool{}
	for i := range refs {
		r := &refs[i]
		switch root := r.root(); root {
		case "var":
			vars[root] = ev.c.roots[root]
		case "path", "host":
			vars[root] = ev.c.roots[root]
		case "local":
			n := r.attr(1)
			if _, ok := ev.c.locals[n]; !ok {
				continue
			}
			if locals == nil {
				locals = map[string]cty.Value{}
			}
			if _, done := locals[n]; !done {
				v, more := ev.local(n)
				diags = append(diags, more...)
				locals[n] = v
			}
		case "each":
			if r.attr(1) == "value" || len(r.trav) == 1 {
				each = true
				for _, a := range ev.eachAddresses(r, in) {
					wanted[a] = true
				}
			}
			vars[root] = cty.NilVal
		case "count":
			if in != nil && in.set != nil {
				vars[root] = ev.counted(root, in)
			}
		default:
			if addressParts(root) == 0 {
				continue
			}
			t, d := ev.target(r, in)
			switch {
			case lacksInstance(d):
				absent = append(absent, d)
				tree.of(t)
			case d != nil:
				diags = append(diags, d)
			default:
				tree.add(t)
			}
		}
	}
	if locals != nil {
		vars["local"] = cty.ObjectVal(locals)
	}
	if _, ok := vars["each"]; ok {
		delete(vars, "each")
		if in != nil && in.set != nil {
			v, more := ev.each(in, each, wanted)
			diags = append(diags, more...)
			vars["each"] = v
		}
	}
	diags = append(diags, ev.resolveTree(&tree, vars)...)
	if in != nil {
		for n, v := range in.extra {
			vars[n] = v
		}
	}
	return &hcl.EvalContext{Variables: vars, Functions: ev.functions()}, absent, diags
}

func (ev *evaluator) functions() map[string]function.Function {
	if ev.trace != nil {
		return ev.trace.fns
	}
	return ev.c.fns
}

// counted is `count`, or `each` without its value.
func (ev *evaluator) counted(root string, in *instance) cty.Value {
	if root == "count" {
		return cty.ObjectVal(map[string]cty.Value{"index": in.key.value()})
	}
	return cty.ObjectVal(map[string]cty.Value{"key": in.key.value()})
}

func (ev *evaluator) each(in *instance, withValue bool, wanted map[Address]bool) (cty.Value, Diagnostics) {
	if in.set.kind == numKey {
		return cty.EmptyObjectVal, nil
	}
	m := map[string]cty.Value{"key": in.key.value()}
	var diags Diagnostics
	if withValue {
		m["value"], diags = ev.eachValue(in, wanted)
	}
	return cty.ObjectVal(m), diags
}

// eachValue is the element of for_each that the instance stands for. Where that
// is made of several instances, only those wanted are asked for (nil: all).
func (ev *evaluator) eachValue(in *instance, wanted map[Address]bool) (cty.Value, Diagnostics) {
	set := in.set
	switch {
	case set.kind != strKey:
		return cty.DynamicVal, nil
	case set.of != nil:
		return ev.instanceValue(set.of.kind, set.of.address(in.index))
	case set.expr != nil:
		return ev.deferredElement(in)
	case set.vals == nil:
		return in.key.value(), nil
	case set.traced:
		return ev.fill(set.vals[in.index], wanted)
	}
	return set.vals[in.index], nil
}

// deferredElement evaluates an element of a for_each whose values name secrets
// or tokens: of an object with literal keys only the one item.
func (ev *evaluator) deferredElement(in *instance) (cty.Value, Diagnostics) {
	e, refs := in.set.expr, in.set.refs
	if obj, ok := unwrap(e).(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range obj.Items {
			if k, ok := objectKey(item.KeyExpr); ok && k == in.key.str {
				return ev.eval(item.ValueExpr, collectRefs(item.ValueExpr, nil), nil)
			}
		}
	}
	v, diags := ev.eval(e, refs, nil)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	u, marks := v.Unmark()
	if u.IsNull() || !u.IsKnown() || !u.CanIterateElements() {
		return cty.DynamicVal.WithMarks(marks), nil
	}
	if u.Type().IsObjectType() {
		if u.Type().HasAttribute(in.key.str) {
			return u.GetAttr(in.key.str).WithMarks(marks), nil
		}
	} else if u.Type().IsMapType() {
		if k := cty.StringVal(in.key.str); u.HasIndex(k).True() {
			return u.Index(k).WithMarks(marks), nil
		}
	}
	return cty.DynamicVal, Diagnostics{problem(e.Range(), "Instance is gone", "With the values as they are now, for_each has no element %q.", in.key.str)}
}

// objectKey returns the literal key of an object's item.
func objectKey(e hclsyntax.Expression) (string, bool) {
	k, ok := e.(*hclsyntax.ObjectConsKeyExpr)
	if !ok {
		return "", false
	}
	if !k.ForceNonLiteral {
		if kw := hcl.ExprAsKeyword(k.Wrapped); kw != "" {
			return kw, true
		}
	}
	v, ok := literal(k.Wrapped)
	if !ok || v.IsNull() || v.Type() != cty.String {
		return "", false
	}
	return v.AsString(), true
}

// maxLocalDepth bounds how deep locals may name each other.
const maxLocalDepth = 200

// local is the value of a local: kept where it is static, else evaluated once
// for this evaluator.
func (ev *evaluator) local(n string) (cty.Value, Diagnostics) {
	l := ev.c.locals[n]
	if ev.settle != nil {
		ev.settle(l)
	}
	if l.static {
		return l.value, nil
	}
	if l.broken {
		return cty.DynamicVal, nil
	}
	if v, ok := ev.locals[n]; ok {
		return v, nil
	}
	if ev.depth >= maxLocalDepth {
		return cty.DynamicVal, Diagnostics{problem(l.arg.nameRange, "Locals nested too deep",
			"Locals may name each other %d deep.", maxLocalDepth)}
	}
	ev.depth++
	v, diags := ev.eval(l.arg.expr, l.arg.refs, nil)
	ev.depth--
	if ev.locals == nil {
		ev.locals = map[string]cty.Value{}
	}
	ev.locals[n] = v
	return v, diags
}

// failure is what an evaluation at run time returns as its error: what could
// not be read, else what could not be evaluated.
func (ev *evaluator) failure(a Address, diags Diagnostics) error {
	if ev.err != nil {
		return ev.err
	}
	if diags.HasErrors() {
		return &EvalError{Addr: a, Diags: finish(diags, nil)}
	}
	return nil
}

func (ev *evaluator) unreadable(a Address, err error) {
	if ev.err == nil {
		ev.err = &UnreadableError{Addr: a, Err: err}
	}
}
