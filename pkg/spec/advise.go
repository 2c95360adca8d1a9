package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// adviseMembers adds to mistakes about a member of an object which one may have
// been meant, as the evaluator itself does not.
func adviseMembers(diags hcl.Diagnostics, e hclsyntax.Expression, ctx *hcl.EvalContext) {
	for _, d := range diags {
		if d.Summary == unknownFunction {
			adviseFunction(d, e)
		}
		if d.Summary != unsupportedAttribute {
			continue
		}
		for _, t := range e.Variables() {
			adviseMember(d, t, func(n int) (cty.Value, hcl.Diagnostics) {
				if n == 0 {
					return cty.NilVal, hcl.Diagnostics{d}
				}
				return t[:n].TraverseAbs(ctx)
			})
		}
	}
}

// unknownFunction is the evaluator's summary for a function that is not there.
const unknownFunction = "Call to unknown function"

// adviseFunction says why a function of Terraform is not there.
func adviseFunction(d *hcl.Diagnostic, e hclsyntax.Expression) {
	if d.Subject == nil {
		return
	}
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok || call.NameRange != *d.Subject {
			return nil
		}
		switch call.Name {
		case "timestamp", "plantimestamp", "uuid", "bcrypt":
			d.Detail += " No function gives another value each time: a plan is the same twice."
		case "pathexpand":
			d.Detail += " Paths do not depend on who runs tokend: write it in full, or relative to the directory."
		}
		return nil
	})
}

// unsupportedAttribute is the evaluator's summary for a member that is not there.
const unsupportedAttribute = "Unsupported attribute"

// adviseMember looks for the step of a traversal that d is about. before
// evaluates the traversal up to a step. Names out of a sensitive value are not
// suggested.
func adviseMember(d *hcl.Diagnostic, t hcl.Traversal, before func(n int) (cty.Value, hcl.Diagnostics)) {
	if d.Summary != unsupportedAttribute || d.Subject == nil {
		return
	}
	for i, step := range t {
		name := stepName(t, i)
		if name == "" || step.SourceRange() != *d.Subject {
			continue
		}
		v, diags := before(i)
		if diags.HasErrors() || v == cty.NilVal || v.IsMarked() || !v.Type().IsObjectType() {
			return
		}
		d.Detail += didYouMean(name, sortedKeys(v.Type().AttributeTypes()))
		return
	}
}
