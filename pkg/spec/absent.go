package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// An instance that a block has not is a mistake only where it is needed. A block
// that has no instances itself needs nothing; and an expression may try it, or ask
// first. So both are switched off together by their count, as in Terraform.

// noSuchInstance is the summary of the diagnostic of a reference to an instance
// that its block has not.
const noSuchInstance = "No such instance"

// lacksInstance says that d is that diagnostic, and not one that follows from
// another mistake.
func lacksInstance(d *hcl.Diagnostic) bool {
	if d == nil || d.Summary != noSuchInstance {
		return false
	}
	_, follows := d.Extra.(followed)
	return !follows
}

// madeUp says that a block has no instances, and this one is made up to check it.
func madeUp(in *instance) bool { return in != nil && in.set != nil && in.set.guess }

// mayDoWithout reports whether an expression may have a value though a part of it
// has none.
func mayDoWithout(e hclsyntax.Expression) bool {
	found := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		switch x := n.(type) {
		case *hclsyntax.ConditionalExpr, *hclsyntax.ForExpr:
			found = true
		case *hclsyntax.FunctionCallExpr:
			found = found || x.Name == "try" || x.Name == "can"
		}
		return nil
	})
	return found
}
