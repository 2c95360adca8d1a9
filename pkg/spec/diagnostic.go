package spec

import (
	"github.com/hashicorp/hcl/v2"
)

// NoSource is the Extra of a diagnostic whose source line must not be shown,
// because a literal secret may be in it.
type NoSource struct{ Hint string }

// Hinted is the Extra of a diagnostic that says what to do next in a sentence
// of its own.
type Hinted struct{ Hint string }

// ShowSource reports whether d's source lines may be shown.
func ShowSource(d *hcl.Diagnostic) bool {
	_, hidden := d.Extra.(NoSource)
	return !hidden && d.Subject != nil
}

// Hint returns what to do about d, or "".
func Hint(d *hcl.Diagnostic) string {
	switch x := d.Extra.(type) {
	case NoSource:
		return x.Hint
	case Hinted:
		return x.Hint
	}
	return ""
}
