package spec

import "github.com/hashicorp/hcl/v2/hclsyntax"

// subExpressions lists an expression, or the values of an object's items.
func subExpressions(e hclsyntax.Expression) []hclsyntax.Expression {
	obj, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return []hclsyntax.Expression{e}
	}
	var out []hclsyntax.Expression
	for _, item := range obj.Items {
		out = append(out, item.ValueExpr)
	}
	return out
}
