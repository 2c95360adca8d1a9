package spec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// A file that belongs to a sink and is not there yet is a warning at the argument that
// names it, where contents are looked into, and nothing otherwise.
func TestFileIsNotThere(t *testing.T) {
	dir := t.TempDir()
	src := "sink \"env\" \"x\" {\n  path     = \"/run/x.env\"\n  template = \"gone.tmpl\"\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	env := spec.Schema{Attrs: []spec.Attr{{Name: "path", Type: cty.String}, {Name: "template", Type: cty.String, Content: true}}, Unique: []string{"path"}}
	for _, looks := range []bool{true, false} {
		_, diags := spec.Load(dir, spec.Options{Sinks: map[string]spec.Schema{"env": env}, CheckContents: looks,
			CheckSink: func(string, spec.Values) error { return nil }})
		found := 0
		for _, d := range diags {
			if d.Severity == hcl.DiagError {
				t.Errorf("an error: %v", d)
			}
			if d.Summary == "File is not there" {
				found++
				if d.Subject == nil || d.Subject.Start.Line != 3 || !strings.Contains(spec.Hint(d), "create the file gone.tmpl") {
					t.Errorf("at %v, hint %q", d.Subject, spec.Hint(d))
				}
			}
		}
		if want := map[bool]int{true: 1, false: 0}[looks]; found != want {
			t.Errorf("contents looked into: %t; %d warnings, want %d: %v", looks, found, want, diags)
		}
	}
}
