package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/spec"
)

// said is what a command line printed, and its status.
type said struct {
	out, err string
	status   int
}

func tokend(t *testing.T, config string, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	dir := t.TempDir()
	p := process{args: append([]string{"--config", config, "--state", filepath.Join(dir, "state"), "--control", filepath.Join(dir, "none.sock")}, args...),
		in: strings.NewReader(""), out: &out, err: &errs}
	status := run(context.Background(), p)
	return said{out.String(), errs.String(), status}
}

func configOf(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What a sink cannot be written with is found without a token, all of it in
// one run and each at its place.
func TestValidateSinks(t *testing.T) {
	dir := configOf(t, `
secret "file" "pw" { path = "/nowhere" }
sink "file" "letters" {
  path    = "/run/x/letters"
  content = secret.file.pw.value
  mode    = "rwx"
}
sink "file" "digits" {
  path    = "/"
  content = secret.file.pw.value
  mode    = "0999"
}
sink "file" "nowhere" {
  path    = ""
  content = secret.file.pw.value
}
sink "env" "names" {
  path = "/run/x/names"
  vars = {
    GOOD  = secret.file.pw.value
    "a b" = secret.file.pw.value
    "1A"  = "x"
  }
}
sink "env" "nothing" {
  path = "/run/x/nothing"
}
sink "file" "each" {
  for_each = { a = "0600", b = "0888" }
  path     = "/run/x/each-${each.key}"
  content  = secret.file.pw.value
  mode     = each.value
}
`)
	got := tokend(t, dir, "validate")
	for _, want := range []string{
		"line 6, column 13", `mode of sink "file" "letters": "rwx" is not a mode`,
		"line 9, column 13", "path of sink \"file\" \"digits\": it ends in a slash",
		"line 11, column 13", `"0999" is not a mode`,
		"line 14, column 13", "it must name a file",
		"line 21, column 5", `variable name "a b"`,
		"line 22, column 5", `variable name "1A"`,
		"line 25, column 1", "there is no variable to write",
		"line 32, column 14", `mode of sink.file.each["b"]: "0888" is not a mode`,
		"8 errors",
	} {
		if !strings.Contains(got.err, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if got.status != exitFailed || t.Failed() {
		t.Errorf("status %d:\n%s", got.status, got.err)
	}
}

// What is right, or not known yet, is no mistake.
func TestValidateLeavesUnknownSinks(t *testing.T) {
	dir := configOf(t, `
secret "file" "pw" { path = "/nowhere" }
sink "env" "template" {
  path     = "relative.env"
  template = "comes-later.tmpl"
  vars     = { any-name = secret.file.pw.value }
}
sink "env" "unknown" {
  path = "/run/x/unknown"
  vars = jsondecode(secret.file.pw.value)
}
sink "file" "none" {
  for_each = toset([])
  path     = "/run/x/${each.key}"
  content  = secret.file.pw.value
}
`)
	if got := tokend(t, dir, "validate"); got.status != exitOK {
		t.Errorf("status %d:\n%s", got.status, got.err)
	}
}

// The check of sinks is a small part of reading a large directory.
func BenchmarkLoadSinks(b *testing.B) {
	dir := b.TempDir()
	text := `
locals { users = [for i in range(1000) : "user-${i}"] }
secret "file" "pw" { path = "/nowhere" }
sink "file" "t" {
  for_each = toset(flatten([for u in local.users : [for i in range(100) : "${u}-${i}"]]))
  path     = "/run/x/${each.key}"
  mode     = "0640"
  content  = secret.file.pw.value
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, check := range map[string]func(string, spec.Values) error{"checked": checkSink, "unchecked": nil} {
		b.Run(name, func(b *testing.B) {
			o := (&globals{}).specOptions()
			o.CheckSink = check
			for range b.N {
				if _, diags := spec.Load(dir, o); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}
