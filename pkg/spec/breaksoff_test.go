package spec

import (
	"os"
	"path/filepath"
	"testing"
)

// A file that breaks off, wherever that is, as while somebody writes it: what is
// said of it is a mistake in it, never that the parser failed.
func TestAFileThatBreaksOff(t *testing.T) {
	var texts []string
	for _, pattern := range []string{"testdata/diagnostics/*.hcl", "../providers/catalog/*.hcl"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no files in %s (%v)", pattern, err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(b))
		}
	}
	// All that can stand between an argument's name and its end, in a few words.
	texts = append(texts, "provider_type \"x\" {\n  session = \n  grant \"a\" {\n    lockout = \n    input \"b\" {\n      type = string\n      sensitive = \n      optional = \n"+
		"    }\n  }\n  refresh {\n    rotates = \n    replay_window = \n  }\n  revoke {\n    on = \n    needs = \n  }\n}\n")
	c, diags := LoadFiles(t.TempDir(), nil, testOptions())
	if c == nil {
		t.Fatal(diags)
	}
	l := &lowering{fns: c.fns}
	for _, text := range texts {
		for i, c := range []byte(text) {
			if i+1 < len(text) && c != '=' && c != '(' {
				continue
			}
			for _, d := range newSource("main.hcl", []byte(text[:i+1]), l).diags {
				if d.Summary == parserFailed || d.Summary == evaluatorFailed {
					t.Fatalf("%s\nof a file that ends so:\n%s", describe(d), text[max(0, i-200):i+1])
				}
			}
		}
	}
}
