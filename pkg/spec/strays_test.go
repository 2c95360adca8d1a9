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

// A moved block that leads to nothing is warned of for as long as it does, also where
// only the file of what it leads to is read anew.
func TestAMoveToNothingIsWarnedOfForAsLongAsItLeadsThere(t *testing.T) {
	dir := t.TempDir()
	text := func(label string) string {
		return "sink \"file\" \"" + label + "\" {\n  path    = \"/run/" + label + "\"\n  content = \"x\"\n}\n"
	}
	save(t, dir, "moved.hcl", "moved {\n  from = sink.file.old\n  to   = sink.file.billing\n}\n")
	o := spec.Options{CheckSink: func(string, spec.Values) error { return nil },
		Sinks: map[string]spec.Schema{"file": {Attrs: []spec.Attr{{Name: "path", Type: cty.String}, {Name: "content", Type: cty.String}}, Unique: []string{"path"}}}}
	for _, step := range []struct{ file, declared, want string }{
		{"main.hcl", "biling", "Did you mean sink.file.biling?"},
		{"more.hcl", "billing", ""},
		{"more.hcl", "other", "Did you mean sink.file.biling?"},
		{"main.hcl", "billing", ""},
	} {
		save(t, dir, step.file, text(step.declared))
		cfg, diags := spec.Load(dir, o)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		o.Previous = cfg
		said := ""
		for _, d := range diags {
			if d.Severity == hcl.DiagWarning {
				said += d.Summary + ": " + d.Detail
			}
		}
		if step.want == "" && said != "" || !strings.Contains(said, step.want) {
			t.Errorf("%s is declared in %s, and it says %q", step.declared, step.file, said)
		}
	}
}

func save(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
