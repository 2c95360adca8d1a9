package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Lenient is an access to a member (body.data.token, jwt_claims(x).exp) that
// gives null where the member, or what should hold it, is absent or null. It
// stands in the place of the HCL expression that it embeds, so an expression of
// a [ProviderType] evaluates by [hcl.Expression.Value] as language.md says.
type Lenient struct{ hclsyntax.ParenthesesExpr }

// Unwrap returns the access itself: a *hclsyntax.ScopeTraversalExpr, a
// *hclsyntax.RelativeTraversalExpr or a *hclsyntax.IndexExpr.
func (l *Lenient) Unwrap() hclsyntax.Expression { return l.Expression }

// Value evaluates the access. Only a root variable that does not exist, and
// errors inside what is accessed, are errors.
func (l *Lenient) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	switch x := l.Expression.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		v, diags := x.Traversal[:1].TraverseAbs(ctx)
		if diags.HasErrors() {
			return v, diags
		}
		return Members(v, x.Traversal[1:]), diags
	case *hclsyntax.RelativeTraversalExpr:
		v, diags := x.Source.Value(ctx)
		if diags.HasErrors() {
			return v, diags
		}
		return Members(v, x.Traversal), diags
	case *hclsyntax.IndexExpr:
		v, diags := x.Collection.Value(ctx)
		key, more := x.Key.Value(ctx)
		diags = append(diags, more...)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		return Member(v, key), diags
	}
	return l.Expression.Value(ctx)
}

// Members follows a path from v as [Lenient] does.
func Members(v cty.Value, path hcl.Traversal) cty.Value {
	for _, step := range path {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			v = Member(v, cty.StringVal(s.Name))
		case hcl.TraverseIndex:
			v = Member(v, s.Key)
		}
	}
	return v
}

// Member is the member of v with that key, null when there is none. Marks of
// both are kept.
func Member(v, key cty.Value) cty.Value {
	v, vm := v.Unmark()
	key, km := key.Unmark()
	return member(v, key).WithMarks(vm, km)
}

func member(v, key cty.Value) cty.Value {
	switch {
	case !v.IsKnown() || !key.IsKnown():
		return cty.DynamicVal
	case v.IsNull() || key.IsNull():
		return cty.NullVal(cty.DynamicPseudoType)
	}
	t := v.Type()
	want := cty.Number
	if t.IsObjectType() || t.IsMapType() {
		want = cty.String
	}
	key, err := convert.Convert(key, want)
	switch {
	case err != nil:
	case t.IsObjectType() && t.HasAttribute(key.AsString()):
		return v.GetAttr(key.AsString())
	case t.IsMapType() || t.IsListType() || t.IsTupleType():
		if v.HasIndex(key).True() {
			return v.Index(key)
		}
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// lenient replaces, in place, every access below e whose root strict does not
// name by a [Lenient] one, and returns what stands for e.
func lenient(e hclsyntax.Expression, strict func(root string) bool) hclsyntax.Expression {
	if e == nil {
		return nil
	}
	again := func(p *hclsyntax.Expression) { *p = lenient(*p, strict) }
	switch x := e.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		if len(x.Traversal) > 1 && !strict(x.Traversal.RootName()) {
			return wrapLenient(x)
		}
	case *hclsyntax.RelativeTraversalExpr:
		again(&x.Source)
		if !strict(accessRoot(x)) {
			return wrapLenient(x)
		}
	case *hclsyntax.IndexExpr:
		again(&x.Collection)
		again(&x.Key)
		if !strict(accessRoot(x)) {
			return wrapLenient(x)
		}
	case *hclsyntax.FunctionCallExpr:
		for i := range x.Args {
			again(&x.Args[i])
		}
	case *hclsyntax.ConditionalExpr:
		again(&x.Condition)
		again(&x.TrueResult)
		again(&x.FalseResult)
	case *hclsyntax.TupleConsExpr:
		for i := range x.Exprs {
			again(&x.Exprs[i])
		}
	case *hclsyntax.ObjectConsExpr:
		for i := range x.Items {
			if key, ok := x.Items[i].KeyExpr.(*hclsyntax.ObjectConsKeyExpr); !ok || key.ForceNonLiteral {
				again(&x.Items[i].KeyExpr)
			}
			again(&x.Items[i].ValueExpr)
		}
	case *hclsyntax.ObjectConsKeyExpr:
		again(&x.Wrapped)
	case *hclsyntax.ForExpr:
		again(&x.CollExpr)
		again(&x.KeyExpr)
		again(&x.ValExpr)
		again(&x.CondExpr)
	case *hclsyntax.SplatExpr:
		again(&x.Source)
		again(&x.Each)
	case *hclsyntax.TemplateExpr:
		for i := range x.Parts {
			again(&x.Parts[i])
		}
	case *hclsyntax.TemplateJoinExpr:
		again(&x.Tuple)
	case *hclsyntax.TemplateWrapExpr:
		again(&x.Wrapped)
	case *hclsyntax.ParenthesesExpr:
		again(&x.Expression)
	case *hclsyntax.BinaryOpExpr:
		again(&x.LHS)
		again(&x.RHS)
	case *hclsyntax.UnaryOpExpr:
		again(&x.Val)
	}
	return e
}

func wrapLenient(e hclsyntax.Expression) *Lenient {
	return &Lenient{hclsyntax.ParenthesesExpr{Expression: e, SrcRange: e.Range()}}
}

// accessRoot is the name of the variable that an access starts from; "" when
// it starts from something else, such as a function's result.
func accessRoot(e hclsyntax.Expression) string {
	switch x := e.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return x.Traversal.RootName()
	case *hclsyntax.RelativeTraversalExpr:
		return accessRoot(x.Source)
	case *hclsyntax.IndexExpr:
		return accessRoot(x.Collection)
	case *hclsyntax.ParenthesesExpr:
		return accessRoot(x.Expression)
	case *Lenient:
		return accessRoot(x.Expression)
	}
	return ""
}

// nativeExpr returns e as a native syntax expression. In JSON syntax a string
// is a template, and objects and arrays are what they are.
func nativeExpr(e hcl.Expression) (hclsyntax.Expression, hcl.Diagnostics) {
	if n, ok := e.(hclsyntax.Expression); ok {
		return n, nil
	}
	if pairs, diags := hcl.ExprMap(e); !diags.HasErrors() {
		return nativeObject(e, pairs)
	}
	if items, diags := hcl.ExprList(e); !diags.HasErrors() {
		out := &hclsyntax.TupleConsExpr{SrcRange: e.Range(), OpenRange: e.StartRange()}
		var all hcl.Diagnostics
		for _, item := range items {
			n, diags := nativeExpr(item)
			all = append(all, diags...)
			out.Exprs = append(out.Exprs, n)
		}
		return out, all
	}
	v, diags := e.Value(nil) // without a context a string is not a template yet
	if diags.HasErrors() {
		return &hclsyntax.LiteralValueExpr{Val: cty.DynamicVal, SrcRange: e.Range()}, diags
	}
	if v.IsNull() || v.Type() != cty.String {
		return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: e.Range()}, nil
	}
	start := e.Range().Start
	start.Byte++ // the opening quote
	start.Column++
	return hclsyntax.ParseTemplate([]byte(v.AsString()), e.Range().Filename, start)
}

func nativeObject(e hcl.Expression, pairs []hcl.KeyValuePair) (hclsyntax.Expression, hcl.Diagnostics) {
	out := &hclsyntax.ObjectConsExpr{SrcRange: e.Range(), OpenRange: e.StartRange()}
	var all hcl.Diagnostics
	for _, pair := range pairs {
		k, diags := nativeExpr(pair.Key)
		all = append(all, diags...)
		v, diags := nativeExpr(pair.Value)
		all = append(all, diags...)
		out.Items = append(out.Items, hclsyntax.ObjectConsItem{KeyExpr: k, ValueExpr: v})
	}
	return out, all
}

// literalKey is the key of an object constructor's item when it is written out.
func literalKey(item hclsyntax.ObjectConsItem) (string, bool) {
	v, diags := item.KeyExpr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return "", false
	}
	return v.AsString(), true
}
