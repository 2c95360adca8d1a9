package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// reference evaluates an argument that names a block.
func (ev *evaluator) reference(a *argument, at *Attr, in *instance) (cty.Value, Diagnostics) {
	if at.Type != cty.NilType && at.Type.IsCollectionType() {
		list, diags := ev.references(a.expr, a.refs, at.Ref, in)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		if len(list) == 0 {
			return cty.ListValEmpty(cty.String), diags
		}
		vals := make([]cty.Value, len(list))
		for i, r := range list {
			vals[i] = cty.StringVal(string(r))
		}
		return cty.ListVal(vals), diags
	}
	if isLiteralNull(a.expr) {
		return cty.NullVal(cty.String), nil
	}
	ref, d := ev.refAddress(a.expr, at.Ref, in)
	if d != nil {
		return cty.DynamicVal, Diagnostics{d}
	}
	return cty.StringVal(string(ref)), nil
}

// references reads a list of references to blocks of a kind.
func (ev *evaluator) references(e hclsyntax.Expression, refs []ref, kind string, in *instance) ([]Address, Diagnostics) {
	if list, ok := unwrap(e).(*hclsyntax.TupleConsExpr); ok {
		var out []Address
		var diags Diagnostics
		for _, item := range list.Exprs {
			a, d := ev.refAddress(item, kind, in)
			if d != nil {
				diags = append(diags, d)
				continue
			}
			out = append(out, a)
		}
		return out, diags
	}
	v, diags := ev.eval(e, refs, in)
	if diags.HasErrors() {
		return nil, diags
	}
	u, _ := v.Unmark()
	if u.IsKnown() && u.IsNull() {
		return nil, nil
	}
	if !u.IsKnown() || !u.CanIterateElements() {
		return nil, append(diags, notReference(e, kind, true))
	}
	var out []Address
	for it := u.ElementIterator(); it.Next(); {
		_, x := it.Element()
		a, ok := asReference(x, kind)
		if !ok {
			return nil, append(diags, notReference(e, kind, true))
		}
		out = append(out, a)
	}
	return out, diags
}

// refAddress reads one reference to a block of a kind. In JSON it may be
// written as a plain string too.
func (ev *evaluator) refAddress(e hclsyntax.Expression, kind string, in *instance) (Address, *hcl.Diagnostic) {
	inner := unwrap(e)
	if s, ok := literal(inner); ok {
		return ev.quotedAddress(s, inner.Range(), kind)
	}
	refs := collectRefs(inner, nil)
	if isPlainRef(inner) && len(refs) > 0 && addressParts(refs[0].root()) > 0 {
		t, d := ev.target(&refs[0], in)
		if d != nil {
			return "", d
		}
		if t.p.kind != kind {
			return "", notReference(e, kind, false)
		}
		if len(t.rest) > 0 {
			return "", problem(refs[0].rng, "Reference to an attribute", "Here the %s itself is named: %s, without what follows it.", kind, t.p.address())
		}
		if t.whole && t.res != nil && t.res.insts != nil {
			return "", problem(refs[0].rng, "Instance key missing", "%s has several instances; say which one.", t.p.address())
		}
		return t.p.address(), nil
	}
	v, diags := ev.eval(inner, refs, in)
	if diags.HasErrors() {
		return "", diags[0]
	}
	a, ok := asReference(v, kind)
	if !ok {
		return "", notReference(e, kind, false)
	}
	return a, nil
}

// isPlainRef reports whether e is a traversal, or an index of one.
func isPlainRef(e hclsyntax.Expression) bool {
	switch x := e.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return true
	case *hclsyntax.IndexExpr:
		return isPlainRef(x.Collection)
	case *hclsyntax.RelativeTraversalExpr:
		return isPlainRef(x.Source)
	}
	return false
}

func (ev *evaluator) quotedAddress(s cty.Value, at hcl.Range, kind string) (Address, *hcl.Diagnostic) {
	bad := problem(at, "Reference required", "Here a %s is named, without quotes: %s.", kind, exampleRef(kind))
	if s.IsNull() || s.Type() != cty.String {
		return "", bad
	}
	if !ev.c.isJSON(at.Filename) {
		if p, err := parseAddress(s.AsString()); err == nil && p.kind == kind {
			return "", problem(at, "Quoted reference", "A reference is written without quotes: %s.", p.address())
		}
		return "", bad
	}
	trav, diags := hclsyntax.ParseTraversalAbs([]byte(s.AsString()), at.Filename, at.Start)
	if diags.HasErrors() || trav.RootName() != kind {
		return "", problem(at, "Reference required", `Here a %s is named: "%s".`, kind, exampleRef(kind))
	}
	t, d := ev.target(&ref{trav: trav, rng: at}, nil)
	if d != nil {
		return "", d
	}
	if len(t.rest) > 0 {
		return "", problem(at, "Reference to an attribute", "Here the %s itself is named: %s.", kind, t.p.address())
	}
	return t.p.address(), nil
}

func exampleRef(kind string) string {
	if addressParts(kind) == 1 {
		return kind + ".NAME"
	}
	if kind == kindProvider {
		return "provider.TYPE.ALIAS"
	}
	return kind + ".TYPE.NAME"
}

func notReference(e hclsyntax.Expression, kind string, list bool) *hcl.Diagnostic {
	if list {
		return problem(e.Range(), "References required", "Here a list of %ss is given: [%s].", kind, exampleRef(kind))
	}
	return problem(e.Range(), "Reference required", "Here a %s is named: %s.", kind, exampleRef(kind))
}

// asReference reads a value that an expression made of references.
func asReference(v cty.Value, kind string) (Address, bool) {
	v, _ = v.Unmark()
	if v.Type() != referenceType || !v.IsKnown() || v.IsNull() {
		return "", false
	}
	a, ok := v.EncapsulatedValue().(*Address)
	if !ok || a.Kind() != kind {
		return "", false
	}
	return *a, true
}
