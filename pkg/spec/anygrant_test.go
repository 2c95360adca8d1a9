package spec

import (
	"strings"
	"testing"
)

// A grant that is missing or unknown hides no other mistake of its credential, nor
// is any said that another grant would not have.
func TestAnUnknownGrantHidesNothing(t *testing.T) {
	for grant, first := range map[string]string{"": "Missing argument", `grant = "logn"`: "Unknown grant", `grant = 7 + "a"`: ""} {
		_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(`
credential "apirone" "x" {
  ` + grant + `
  login    = "x"
  password = "hunter2"
  nonsense = true
  transfer_kee = "y"
  lifecycle { overlap = "soon" }
}
`)}, testOptions())
		var all []string
		for _, d := range diags {
			all = append(all, describe(d))
		}
		text := strings.Join(all, "\n")
		for _, want := range []string{first, "Secret in the configuration", `no argument nonsense`, `Did you mean "transfer_key"?`, "overlap"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: nothing is said of %q:\n%s", grant, want, text)
			}
		}
		if strings.Contains(text, "hunter2") || len(diags) != 5 {
			t.Errorf("%s: %d diagnostics:\n%s", grant, len(diags), text)
		}
	}
}
