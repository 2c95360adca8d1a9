package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoSinkOverWhatIsTokends lists the names by which a sink could reach what
// tokend keeps, with links on the way.
func TestNoSinkOverWhatIsTokends(t *testing.T) {
	root := t.TempDir()
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	at := func(p string) string { return filepath.Join(root, p) }
	for _, dir := range []string{"state", "config", "secrets"} {
		if err := os.Mkdir(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, at("secrets"), "pw", "x")
	for from, to := range map[string]string{
		"other": at("state"), "later": "later-state", "named": at("config"), "link-pw": at("secrets/pw"), "up": ".", "loop": "loop",
	} {
		if err := os.Symlink(to, at(from)); err != nil {
			t.Fatal(err)
		}
	}
	o := testOptions()
	o.Own = func(s StateSettings) []OwnPath {
		if s.Path != at("state") {
			t.Errorf("the state is asked for by the path %q", s.Path)
		}
		return []OwnPath{
			{Path: at("state"), Below: true, What: "belongs to tokend's state"},
			{Path: at("later-state"), Below: true, What: "comes later"},
			{Path: at("policy.hcl"), What: "is the policy"},
			{Path: ""},
		}
	}
	for _, c := range []struct{ path, what string }{
		{"state/state.db", "belongs to tokend's state"},
		{"state", "belongs to tokend's state"},
		{"state/git/1/x", "belongs to tokend's state"},
		{"state/../state/./state.key", "belongs to tokend's state"},
		{"other/state.db", "belongs to tokend's state"},
		{"up/up/other/deep/x", "belongs to tokend's state"},
		{"later/x", "comes later"},
		{"later-state/x/y", "comes later"},
		{"policy.hcl", "is the policy"},
		{"up/policy.hcl", "is the policy"},
		{"named/x.hcl", "is a file of this configuration"},
		{"config/x.hcl.json", "is a file of this configuration"},
		{"secrets/pw", "is read by secret.file.pw"}, // the secret names a link to it
		{"link-pw", "is read by secret.file.pw"},
		{"up/link-pw", "is read by secret.file.pw"},
		{"states/x", ""},
		{"config/x.token", ""},
		{"config/sub/x.hcl", ""},
		{"secrets/other", ""},
		{"loop/x", ""},
		{"policy.hcl.d/x", ""},
	} {
		text := fmt.Sprintf("tokend {\n  state { path = %q }\n}\nsecret \"file\" \"pw\" { path = %q }\nsink \"file\" \"x\" {\n  path = %q\n  content = \"x\"\n}\n",
			at("state"), at("link-pw"), root+"/"+c.path)
		got, diags := LoadFiles(at("config"), map[string][]byte{"main.hcl": []byte(text)}, o)
		switch {
		case c.what == "":
			if diags.HasErrors() {
				t.Errorf("%s: %v", c.path, diags)
			}
		case got != nil || len(diags) != 1 || diags[0].Summary != "Path in use by tokend" || !strings.Contains(diags[0].Detail, "which "+c.what+"."):
			t.Errorf("%s: %v; want %q", c.path, diags, c.what)
		}
		was := o
		was.WasInForce = true
		if _, diags := LoadFiles(at("config"), map[string][]byte{"main.hcl": []byte(text)}, was); diags.HasErrors() {
			t.Errorf("%s: what was in force is refused: %v", c.path, diags)
		}
	}
}

// TestLinkedFilesOfAConfiguration: what a link in the directory leads to is the
// configuration too.
func TestLinkedFilesOfAConfiguration(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	text := fmt.Sprintf("sink \"file\" \"x\" {\n  path    = %q\n  content = \"x\"\n}\n", filepath.Join(elsewhere, "v1.txt"))
	write(t, elsewhere, "v1.txt", text)
	if err := os.Symlink(filepath.Join(elsewhere, "v1.txt"), filepath.Join(dir, "main.hcl")); err != nil {
		t.Fatal(err)
	}
	if _, diags := Load(dir, testOptions()); len(diags) != 1 || !strings.Contains(diags[0].Detail, "which is a file of this configuration.") {
		t.Errorf("%v", diags)
	}
}

// TestOnePathByTwoNames: two sinks whose directories are one by a link write to one
// file, also where one of them comes later.
func TestOnePathByTwoNames(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(root, "run"), 0o700), os.Symlink("run", filepath.Join(root, "var"))); err != nil {
		t.Fatal(err)
	}
	sink := func(name, path string) string {
		return fmt.Sprintf("sink \"file\" %q {\n  path    = %q\n  content = \"x\"\n}\n", name, filepath.Join(root, path))
	}
	refused := func(diags Diagnostics) bool {
		return len(diags) == 1 && diags[0].Summary == "Two sinks with one path" && strings.Contains(diags[0].Detail, "are the same file")
	}
	o := testOptions()
	for _, c := range []struct{ first, second string }{{"run/x", "var/x"}, {"var/x", "run/x"}, {"var/missing/x", "run/missing/x"}} {
		write(t, dir, "a.hcl", sink("a", c.first))
		write(t, dir, "b.hcl", sink("b", "run/other"))
		o.Previous = nil
		cfg, diags := Load(dir, o)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		write(t, dir, "b.hcl", sink("b", c.second))
		for _, previous := range []*Config{nil, cfg} {
			o.Previous = previous
			if _, diags := Load(dir, o); !refused(diags) {
				t.Errorf("%s and %s, after another %v: %v", c.first, c.second, previous != nil, diags)
			}
		}
		was := o
		was.Previous, was.WasInForce = nil, true
		if _, diags := Load(dir, was); diags.HasErrors() {
			t.Errorf("what was in force is refused: %v", diags)
		}
	}
}
