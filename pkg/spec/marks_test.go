package spec

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// The type of an object has its keys in it, and what says that two types do not
// fit together quotes them.
func TestNoKeyOfASensitiveObjectIsShown(t *testing.T) {
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{"s": Sensitive(cty.StringVal("canary"))}}
	for text, want := range map[string]string{
		`true ? { (s) = [1] } : { b = { c = 1 } }`:                      "is not shown",
		`false ? [{ x = { (s) = [1] } }] : [{ x = { b = { c = 1 } } }]`: "is not shown",
		`true ? [s] : 1`: "The 'true' value is tuple",
	} {
		e, diags := hclsyntax.ParseExpression([]byte(text), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		_, diags = e.Value(ctx)
		if !diags.HasErrors() {
			t.Errorf("%s: no error", text)
		}
		for _, d := range withoutValues(diags, true) {
			if strings.Contains(d.Summary+d.Detail, "canary") || !strings.Contains(d.Detail, want) {
				t.Errorf("%s: %s: %s", text, d.Summary, d.Detail)
			}
		}
	}
}
