package spec

import (
	"strings"
	"testing"
)

// TestContentDigest: the hooks of a sink are no part of what it holds and where;
// all else of it is.
func TestContentDigest(t *testing.T) {
	const text = `
locals { mode = "0600" }
sink "file" "x" {
  for_each = toset(["a", "b"])
  path     = "/run/${each.key}"
  content  = "x"
  mode     = local.mode
  notify   = [hook.exec.one]
}
hook "exec" "one" { command = ["true"] }
hook "exec" "two" { command = ["true"] }
`
	digest := func(old, new string) (whole, content [16]byte) {
		t.Helper()
		c, diags := LoadFiles("/etc/one", map[string][]byte{"main.hcl": []byte(strings.Replace(text, old, new, 1))}, testOptions())
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		whole, _ = c.Digest(`sink.file.x["a"]`)
		content, ok := c.ContentDigest(`sink.file.x["a"]`)
		if !ok {
			t.Fatal("it is not declared")
		}
		if other, _ := c.ContentDigest(`sink.file.x["b"]`); other == content {
			t.Error("two instances have one digest")
		}
		for _, a := range []Address{"sink.file.x", `sink.file.x["c"]`, "sink.file.y", "hook.exec.one", "no address"} {
			if _, ok := c.ContentDigest(a); ok {
				t.Errorf("%s is said to be a sink that is declared", a)
			}
		}
		return whole, content
	}
	whole, content := digest("", "")
	for _, tt := range []struct {
		name, old, new string
		changes        bool
	}{
		{"another hook", "[hook.exec.one]", "[hook.exec.two]", false},
		{"no hook", "  notify   = [hook.exec.one]\n", "", false},
		{"another command of it", `{ command = ["true"] }`, `{ command = ["false"] }`, false},
		{"another content", `"x"
  mode`, `"y"
  mode`, true},
		{"another place", "/run/$", "/run/x/$", true},
		{"another value that it names", `"0600"`, `"0640"`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, c := digest(tt.old, tt.new)
			if w == whole {
				t.Error("its digest is the same")
			}
			if (c != content) != tt.changes {
				t.Errorf("the digest of its content changed: %v", c != content)
			}
		})
	}
}
