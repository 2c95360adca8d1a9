package spec

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// A directory that was emptied can be read; whoever reads it is warned.
func TestLoadEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "main.hcl", `secret "file" "pw" { path = "pw" }`)
	full, diags := Load(dir, testOptions())
	if len(diags) != 0 {
		t.Fatal(diags)
	}
	o := testOptions()
	o.Previous = full
	for name, at := range map[string]string{"empty": t.TempDir(), "full": dir} {
		c, diags := Load(at, o)
		if c == nil {
			t.Fatalf("%s: %v", name, diags)
		}
		warned := len(diags) == 1 && diags[0].Severity == hcl.DiagWarning && diags[0].Summary == NoFiles
		if warned != (name == "empty") {
			t.Errorf("%s: %v", name, diags)
		}
	}
}
