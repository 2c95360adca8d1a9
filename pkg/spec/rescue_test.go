package spec

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRescueState(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		path  string // "DIR" stands for the directory
		key   string
	}{
		"the mistake is elsewhere": {map[string]string{"a.hcl": "tokend {\n  state {\n    path = \"/s\"\n    key_file = \"/k\"\n  }\n}\n", "b.hcl": "credential {"}, "/s", "/k"},
		"after it, in its file":    {map[string]string{"a.hcl": "tokend {\n  state {\n    path = \"/s\"\n  }\n}\ncredential {{{\n"}, "/s", ""},
		"in it":                    {map[string]string{"a.hcl": "tokend {\n  state {\n    path = \"/s\n  }\n}\n"}, "", ""},
		"a word that it knows":     {map[string]string{"a.hcl": "tokend {\n  bogus = 1\n  state {\n    path = \"${path.config}/s\"\n  }\n}\n"}, "DIR/s", ""},
		"a variable":               {map[string]string{"a.hcl": "tokend {\n  state {\n    path = var.nothing\n    key_file = \"/k\"\n  }\n}\n"}, "", "/k"},
		"JSON":                     {map[string]string{"a.hcl.json": `{"tokend": {"bogus": 1, "state": {"path": "/s"}}}`}, "/s", ""},
		"nothing of the kind":      {map[string]string{"a.hcl": "nonsense"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for n, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, n), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, diags := RescueState(dir, Options{}, nil)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			want := c.path
			if len(want) > 3 && want[:3] == "DIR" {
				want = dir + want[3:]
			}
			if s := cfg.Settings().State; s.Path != want || s.KeyFile != c.key {
				t.Errorf("%+v; want path %q, key_file %q", s, want, c.key)
			}
		})
	}
}

// What a policy refuses decides nothing, be it what the directory is refused for.
func TestRescueStateLeavesOutWhatIsNotAllowed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte("tokend {\n  state {\n    path = \"/s\"\n    key_file = \"/k\"\n  }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, diags := RescueState(dir, Options{}, func(path string) bool { return path == "/k" })
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if s := cfg.Settings().State; s.Path != "" || s.KeyFile != "/k" {
		t.Errorf("%+v; want the key file alone", s)
	}
}
