package spec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// nameKey has the diagnostic of an index that is not there say which key of what
// it is: hcl's own words name neither, and its place is not shown where what is
// indexed is a secret. A key that stands in the text of a reference is no value of
// anything, so it may be shown; which keys there are may not.
func nameKey(d *hcl.Diagnostic, ref hcl.Traversal) {
	if d.Summary != "Invalid index" || d.Subject == nil || ref.IsRelative() {
		return
	}
	for i, step := range ref {
		at, ok := step.(hcl.TraverseIndex)
		if !ok || at.SrcRange != *d.Subject {
			continue
		}
		d.Detail = fmt.Sprintf("%s has no %s.", referenceText(ref[:i]), keyText(at.Key))
		return
	}
}

// nameKeys is nameKey for an expression that has references in it.
func nameKeys(diags hcl.Diagnostics, e hcl.Expression) {
	for _, d := range diags {
		for _, ref := range e.Variables() {
			nameKey(d, ref)
		}
	}
}

// referenceText is a reference as it stands in a file.
func referenceText(t hcl.Traversal) string {
	var b strings.Builder
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(s.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + s.Name)
		case hcl.TraverseIndex:
			b.WriteString("[" + keyText(s.Key) + "]")
		}
	}
	return b.String()
}

// keyText is the key of an index that is part of a reference's text; the parser
// takes nothing but texts and numbers for that.
func keyText(k cty.Value) string {
	if k.Type() == cty.String {
		return fmt.Sprintf("%q", k.AsString())
	}
	return k.AsBigFloat().Text('f', -1)
}
