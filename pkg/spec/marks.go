package spec

import (
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// sourcedMark is on sensitive values that come from where secrets are kept: a
// secret, a credential, a variable that was given from outside. It tells them
// from literals inside sensitive(), and never leaves this package.
type sourcedMark struct{}

// sourcedMarks are those of a sensitive value that comes from where secrets are
// kept. Nobody changes them.
var sourcedMarks = cty.NewValueMarks(sensitiveMark{}, sourcedMark{})

// sourced marks v as sensitive and as coming from where secrets are kept.
func sourced(v cty.Value) cty.Value { return v.WithMarks(sourcedMarks) }

// variableMark is on what is made of a sensitive variable, and tells it from what
// is made of other secrets. It never leaves this package.
type variableMark struct{}

// hasMark reports whether v or anything in it has the mark.
func hasMark(v cty.Value, mark any) bool {
	if !v.ContainsMarked() {
		return false
	}
	if v.HasMark(mark) {
		return true
	}
	if v.Type().IsPrimitiveType() {
		return false // nothing is in it
	}
	_, pvm := v.UnmarkDeepWithPaths()
	for _, m := range pvm {
		if _, ok := m.Marks[mark]; ok {
			return true
		}
	}
	return false
}

// publish takes the marks that are this package's own from a value that leaves it.
func publish(v cty.Value) cty.Value {
	if !v.ContainsMarked() {
		return v
	}
	if v.IsMarked() && v.Type().IsPrimitiveType() {
		u, marks := v.Unmark()
		if _, ok := marks[sensitiveMark{}]; ok {
			return Sensitive(u)
		}
		return u
	}
	u, pvm := v.UnmarkDeepWithPaths()
	kept := pvm[:0]
	for _, m := range pvm {
		if _, ok := m.Marks[sensitiveMark{}]; ok {
			kept = append(kept, cty.PathValueMarks{Path: m.Path, Marks: cty.NewValueMarks(sensitiveMark{})})
		}
	}
	return u.MarkWithPaths(kept)
}

// safeDetail tells those diagnostics of hcl whose detail never has a value in it,
// only names from the text and types.
func safeDetail(d *hcl.Diagnostic) bool {
	switch d.Summary {
	case "Inconsistent conditional result types":
		return !strings.Contains(d.Detail, `"`) // an object's type has its keys, which may be values
	case "Unsupported attribute", "Invalid index", "Attempt to index null value", "Attempt to get attribute from null value",
		"Call to unknown function", "Not enough function arguments", "Too many function arguments", "Missing map element",
		"Invalid operand", "Incorrect condition type", "Null condition", "Invalid template interpolation value",
		"Iteration over null value", "Iteration over non-iterable value",
		"Unknown variable", "Operation failed":
		return true
	}
	return false
}

// callError is the error of a function's call that d reports.
func callError(d *hcl.Diagnostic) (error, bool) {
	call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d)
	if !ok || call.FunctionCallError() == nil {
		return nil, false
	}
	return call.FunctionCallError(), true
}

// withoutValues makes the diagnostics of one evaluation fit to be shown. Where
// a sensitive value took part, a detail that could quote one is replaced.
func withoutValues(diags hcl.Diagnostics, sensitive bool) Diagnostics {
	shown := make([]bool, len(diags))
	for i, d := range diags {
		var t *templateError
		if err, ok := callError(d); ok {
			if shown[i] = errors.As(err, &t) && t.plain; shown[i] {
				t.describe(d)
			}
		}
	}
	for i, d := range tidy(diags) {
		if sensitive && !safeDetail(d) && !shown[i] {
			d.Detail = "The reason is not shown, because a sensitive value takes part in this expression."
		}
	}
	return diags
}
