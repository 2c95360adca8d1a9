package spec

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// A diagnostic shows the lines that it is about, but none that nobody would
// read.
func TestALongLineIsNotShown(t *testing.T) {
	for _, c := range []struct {
		long  int
		shown bool
	}{{1 << 10, true}, {maxShown + 1, false}} {
		text := "tokend {\n  listen = 1 /* " + strings.Repeat("x", c.long) + " */ + nothing.at.all\n}\n"
		_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(text)}, testOptions())
		if !diags.HasErrors() {
			t.Fatalf("%d bytes: no error", c.long)
		}
		for _, d := range diags {
			if _, hidden := hcl.DiagnosticExtra[NoSource](d); hidden == c.shown {
				t.Errorf("%d bytes: %s: hidden %v", c.long, d.Summary, hidden)
			}
		}
	}
}
