package policy

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// Whatever a policy says and whatever is asked of it, an answer comes; and no
// spelling of a path leads out of the directory that is allowed.
func FuzzPolicy(f *testing.F) {
	f.Add("sink \"file\" {\n  paths = [\"/run/tokend/**\"]\n}\n", "/run/tokend/../x")
	f.Add("provider {\n  origins = [\"https://*.example.com\"]\n}\nvault {\n  addresses = [\"https://v:8200\"]\n}\n", "https://a.example.com:443")
	f.Add("hook \"exec\" {\n  commands = [[\"/usr/bin/nginx\", \"-s\", \"*\"]]\n}\n", "nginx")
	f.Add("read {\n  paths = [\"/etc/tokend/*\"]\n}\n", "//run/tokend/./a")
	fixed, diags := Parse("fixed.hcl", []byte("sink \"file\" {\n  paths = [\"/run/tokend/**\"]\n}\n"), Options{Dir: "/etc/tokend"})
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, text, word string) {
		// A policy is its host's own: brackets in brackets, which cost the parser
		// more than time is given here, and stars beyond measure are nobody's gain.
		brackets := strings.Count(text, "(") + strings.Count(text, "[") + strings.Count(text, "{")
		if brackets > 16 || strings.Count(text, "*") > 12 || len(text)+len(word) > 2000 {
			return
		}
		args := spec.NewValues(map[string]cty.Value{
			"path": cty.StringVal(word), "unit": cty.StringVal(word), "mount": cty.StringVal(word), "name": cty.StringVal(word),
			"command": cty.ListVal([]cty.Value{cty.StringVal(word), cty.StringVal(word)}),
		})
		if fixed.Sink("file", args) == nil {
			path := cty.StringVal(word).AsString()
			if !filepath.IsAbs(path) {
				path = filepath.Join("/etc/tokend", path)
			}
			if path = filepath.Clean(path); !strings.HasPrefix(path+"/", "/run/tokend/") {
				t.Errorf("%q is allowed, which is %s", word, path)
			}
		}
		p, diags := Parse("policy.hcl", []byte(text), Options{Dir: "/etc/tokend", Path: "/usr/bin"})
		if (p == nil) != diags.HasErrors() {
			t.Fatal("a policy beside errors, or none without")
		}
		if p == nil {
			return
		}
		for _, kind := range []string{"file", "env", "vault_kv", "exec", "systemd", "signal"} {
			for _, err := range []error{p.Sink(kind, args), p.Secret(kind, args), p.Hook(kind, args)} {
				if err != nil && err.Error() == "" {
					t.Error("a refusal without a word")
				}
			}
		}
		_, _, _, _, _ = p.Origin("oauth2", word), p.Vault(word, word, word), p.Mount(word), p.State(word), p.Type(word)
	})
}
