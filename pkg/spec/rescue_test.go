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
		"a variable that there is": {map[string]string{"a.hcl": "tokend {\n  state {\n    path = \"${local.base}/s\"\n  }\n}\nlocals { base = var.base }\n", "b.hcl": "variable \"base\" { default = \"/b\" }\nvault {"}, "/b/s", ""},
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

// A state whose key a Vault keeps opens with what asking that Vault takes, whatever
// else is wrong in the directory.
func TestRescueStateOfAVaultsKey(t *testing.T) {
	const sealed = "tokend {\n  bogus = 1\n  state {\n    path = var.state\n    transit {\n      vault = vault.main\n      mount = \"transit\"\n      key   = \"k\"\n    }\n  }\n}\n"
	const vault = "vault \"main\" {\n  address = \"https://vault.example.com\"\n  auth \"approle\" {\n    role_id   = \"r\"\n    secret_id = secret.file.id.value\n  }\n}\nsecret \"file\" \"id\" { path = \"id\" }\n"
	const variables = "variable \"state\" { default = \"/s\" }\n"
	for name, c := range map[string]struct {
		files     map[string]string
		forbidden string
		found     bool
	}{
		"the mistake is elsewhere":  {map[string]string{"a.hcl": sealed + vault + variables, "b.hcl": "credential {"}, "", true},
		"after it, in its file":     {map[string]string{"a.hcl": sealed, "b.hcl": vault + variables + "credential {{{"}, "", true},
		"in what is not needed":     {map[string]string{"a.hcl": sealed + vault + variables + "locals { x = credential.nothing.at_all.access_token }\n"}, "", true},
		"there is no such vault":    {map[string]string{"a.hcl": sealed + variables}, "", false},
		"where it is, is forbidden": {map[string]string{"a.hcl": sealed + vault + variables}, "/s", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for n, text := range c.files {
				write(t, dir, n, text)
			}
			cfg, diags := RescueState(dir, testOptions(), func(path string) bool { return path != c.forbidden })
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			s := cfg.Settings().State
			if found := s.Transit != nil; found != c.found || found && (s.Path != "/s" || s.Transit.Vault != "vault.main" || !cfg.Declares("vault.main")) {
				t.Errorf("%+v", s)
			}
		})
	}
}
