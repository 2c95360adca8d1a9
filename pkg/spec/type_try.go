package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// checkTries warns of a try that is to give an alternative where a reply lacks a member:
// that is null, which is no error.
func (d *typeDecoder) checkTries(p typePlace) {
	e, ok := p.expr.(hclsyntax.Expression)
	if !ok {
		return
	}
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok || call.Name != "try" || len(call.Args) == 0 {
			return nil
		}
		for _, arg := range call.Args[:len(call.Args)-1] {
			if !ofReply(arg) {
				continue
			}
			w := problem(arg.Range(), "Alternative that is not taken", "A member that a reply lacks is null, which is no error: where this one is lacking, try gives null, and not what comes after it.")
			w.Severity = hcl.DiagWarning
			d.add(hinted(w, "write coalesce in the place of try"))
			break
		}
		return nil
	})
}

// ofReply says that an expression names a member of a reply's body or a header, and
// nothing else.
func ofReply(e hclsyntax.Expression) bool {
	t, ok := e.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(t.Traversal) < 2 || t.Traversal.RootName() != "body" && t.Traversal.RootName() != "headers" {
		return false
	}
	for _, step := range t.Traversal[1:] {
		if _, attr := step.(hcl.TraverseAttr); !attr {
			return false
		}
	}
	return true
}
