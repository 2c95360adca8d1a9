package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// fast evaluates the shapes that nearly all expressions of a block with
// for_each have (a reference, a template of references, an index by each.key)
// without building a context. It gives what the general evaluation gives, or
// false: whatever is unusual or wrong is left to that.
func (ev *evaluator) fast(e hclsyntax.Expression, in *instance) (cty.Value, bool) {
	switch x := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return x.Val, true
	case *hclsyntax.ParenthesesExpr:
		return ev.fast(x.Expression, in)
	case *hclsyntax.TemplateWrapExpr:
		return ev.fast(x.Wrapped, in)
	case *hclsyntax.ScopeTraversalExpr:
		v, diags := ev.traverse(&ref{trav: x.Traversal, rng: x.SrcRange}, in)
		return v, len(diags) == 0
	case *hclsyntax.TemplateExpr:
		return ev.fastTemplate(x, in)
	case *hclsyntax.IndexExpr:
		return ev.fastIndex(x, nil, in)
	case *hclsyntax.RelativeTraversalExpr:
		if ix, ok := x.Source.(*hclsyntax.IndexExpr); ok {
			return ev.fastIndex(ix, x.Traversal, in)
		}
	}
	return cty.NilVal, false
}

// fastIndex evaluates `collection[key]` and the traversal that follows it.
func (ev *evaluator) fastIndex(x *hclsyntax.IndexExpr, rest hcl.Traversal, in *instance) (cty.Value, bool) {
	coll, ok := x.Collection.(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return cty.NilVal, false
	}
	var v cty.Value
	if len(coll.Traversal) == 3 && expands(coll.Traversal.RootName()) && !in.defines(coll.Traversal.RootName()) {
		r := &ref{trav: coll.Traversal, index: x.Key, rest: rest, rng: x.SrcRange}
		var diags Diagnostics
		v, rest, diags = ev.startAddress(r, in)
		if len(diags) > 0 {
			return cty.NilVal, false
		}
	} else {
		from, ok1 := ev.fast(coll, in)
		key, ok2 := ev.fast(x.Key, in)
		if !ok1 || !ok2 {
			return cty.NilVal, false
		}
		at, diags := hcl.Index(from, key, nil)
		if len(diags) > 0 {
			return cty.NilVal, false
		}
		v = at.WithMarks(marksIn(key)...)
	}
	if len(rest) == 0 {
		return v, true
	}
	out, diags := rest.TraverseRel(v)
	return out, len(diags) == 0
}

// fastTemplate joins parts that are all known.
func (ev *evaluator) fastTemplate(x *hclsyntax.TemplateExpr, in *instance) (cty.Value, bool) {
	var b strings.Builder
	var marks []cty.ValueMarks
	for _, p := range x.Parts {
		v, ok := ev.fast(p, in)
		if !ok {
			return cty.NilVal, false
		}
		u, m := v.Unmark()
		if len(m) > 0 {
			marks = append(marks, m)
		}
		if u.IsNull() || !u.IsKnown() || !u.Type().IsPrimitiveType() {
			return cty.NilVal, false
		}
		if u.Type() != cty.String {
			s, err := convert.Convert(u, cty.String)
			if err != nil {
				return cty.NilVal, false
			}
			u = s
		}
		b.WriteString(u.AsString())
	}
	return cty.StringVal(b.String()).WithMarks(marks...), true
}

// defines reports whether a dynamic block around the expression defines a name.
func (in *instance) defines(name string) bool {
	if in == nil {
		return false
	}
	_, ok := in.extra[name]
	return ok
}
