package spec

import (
	"strings"
	"testing"
)

// TestCycleThroughACredentialThatNamesNoCredential: only what something refers
// to is looked at, and that is followed to the end.
func TestCycleThroughACredentialThatNamesNoCredential(t *testing.T) {
	text := `
secret "file" "pw" { path = "pw" }
locals { who = credential.apirone.x.token_type }
credential "apirone" "x" {
  grant    = "login"
  login    = local.who
  password = secret.file.pw.value
}
`
	_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(text)}, testOptions())
	if len(diags) != 1 || diags[0].Summary != "Cycle of references" || !strings.Contains(diags[0].Detail, "credential.apirone.x refers to local.who (main.hcl:6)") {
		t.Errorf("got %v", diags)
	}
}
