package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// saidOf is the expression that each.value, or a member of it, stands for in an
// instance; nil where the text does not tell: for_each is to be an object whose keys
// are all written out.
func saidOf(e hclsyntax.Expression, in *instance) hclsyntax.Expression {
	refs := collectRefs(e, nil)
	if _, plain := e.(*hclsyntax.ScopeTraversalExpr); !plain || len(refs) != 1 || len(refs[0].trav) < 2 {
		return nil
	}
	if in == nil || in.set == nil || in.set.expr == nil || in.key.kind != strKey {
		return nil
	}
	if _, hidden := in.extra["each"]; hidden || refs[0].root() != "each" || refs[0].attr(1) != "value" {
		return nil
	}
	said := saidMember(unwrap(in.set.expr), in.key.str)
	for _, step := range refs[0].trav[2:] {
		attr, ok := step.(hcl.TraverseAttr)
		if !ok || said == nil {
			return nil
		}
		said = saidMember(said, attr.Name)
	}
	return said
}

// saidMember is what an object says of a key, where all of its keys are written out and
// this one once: else another may stand in its place.
func saidMember(e hclsyntax.Expression, key string) (said hclsyntax.Expression) {
	obj, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	for _, item := range obj.Items {
		k, written := objectKey(item.KeyExpr)
		switch {
		case !written, k == key && said != nil:
			return nil
		case k == key:
			said = unwrap(item.ValueExpr)
		}
	}
	return said
}
