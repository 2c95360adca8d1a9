package spec

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
)

func loadDir(t testing.TB, dir string, o Options) *Config {
	t.Helper()
	c, diags := Load(dir, o)
	for _, d := range diags {
		t.Error(describe(d))
	}
	if c == nil {
		t.FailNow()
	}
	return c
}

// TestPreviousFilesAreReused: only changed files are parsed again.
func TestPreviousFilesAreReused(t *testing.T) {
	dir := manyBlocks(t, 5, 3)
	o := testOptions()
	first := loadDir(t, dir, o)
	write(t, dir, "part-0002.hcl", blocksFile(2, 3, ".new"))
	o.Previous = first
	second := loadDir(t, dir, o)
	for _, s := range second.sources {
		if reused := s == first.source(s.name, false); reused == (s.name == "part-0002.hcl") {
			t.Errorf("%s: reused = %v", s.name, reused)
		}
	}
	if first.catalog[0] != second.catalog[0] {
		t.Error("the catalogue was parsed again")
	}
	got, err := second.Sink("sink.file.c0002-001")
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := got.Static.String("path"); !strings.HasSuffix(p, ".new") {
		t.Errorf("path = %q", p)
	}
	if diff := cmp.Diff(first.Credentials(), second.Credentials()); diff != "" {
		t.Error(diff)
	}
}

// TestMistakesAreReportedAgain: a file that was reused keeps its diagnostics.
func TestMistakesAreReportedAgain(t *testing.T) {
	dir := manyBlocks(t, 2, 2)
	o := testOptions()
	o.Previous = loadDir(t, dir, o)
	write(t, dir, "bad.hcl", "locals {\n  a = var.nope\n}\n")
	for range 2 {
		c, diags := Load(dir, o)
		if c != nil || len(diags) != 1 || diags[0].Summary != "Reference to undeclared variable" {
			t.Errorf("got %v", diags)
		}
	}
}

func TestLoadsAgainFromItsSources(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "users.json", `["alice"]`)
	write(t, dir, "a.tmpl", "token ${t}")
	write(t, dir, "x.list", "")
	write(t, dir, "values.tfvars", "key = \"k\"\n")
	write(t, dir, "notes.txt", "not ours")
	write(t, dir, ".hidden.hcl", "nonsense")
	write(t, dir, "main.hcl", `
variable "key" { sensitive = true }
sink "file" "x" {
  for_each = toset(jsondecode(file("users.json")))
  path     = "out/${each.key}"
  content  = templatefile("${path.config}/a.tmpl", { t = var.key })
}
sink "file" "lists" {
  for_each = fileset(path.config, "*.list")
  path     = "lists/${each.key}"
  content  = fileexists("users.json") ? "yes" : "no"
}
`)
	o := testOptions()
	o.VarFiles = []string{filepath.Join(dir, "values.tfvars")}
	c := loadDir(t, dir, o)
	want := summary(t, c)
	for _, name := range []string{"users.json", "a.tmpl", "values.tfvars"} {
		found := false
		for _, r := range c.Reads() {
			found = found || r == filepath.Join(dir, name)
		}
		if !found {
			t.Errorf("%s is not among what was read: %v", name, c.Reads())
		}
	}
	sources := c.Sources()
	if _, ok := sources["notes.txt"]; ok || sources[".hidden.hcl"] != nil {
		t.Error("files that are not configuration are among the sources")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	again, diags := LoadFiles(dir, sources, o)
	if again == nil {
		t.Fatal(diags.Error())
	}
	if diff := cmp.Diff(want, summary(t, again)); diff != "" {
		t.Errorf("from memory (-want +got):\n%s", diff)
	}
}

func TestUnreadableDirectory(t *testing.T) {
	_, diags := Load(filepath.Join(t.TempDir(), "none"), Options{})
	if len(diags) != 1 || diags[0].Summary != "Unreadable configuration" || Hint(diags[0]) == "" {
		t.Errorf("got %v", diags)
	}
	dir := t.TempDir()
	write(t, dir, "big.hcl", strings.Repeat("# comment\n", MaxFileSize/10+1))
	if err := os.Mkdir(filepath.Join(dir, "dir.hcl"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, "link.hcl")); err != nil {
		t.Fatal(err)
	}
	_, diags = Load(dir, testOptions())
	var got []string
	for _, d := range diags {
		got = append(got, d.Summary)
	}
	if diff := cmp.Diff([]string{"Unreadable file"}, got); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove(filepath.Join(dir, "link.hcl")); err != nil {
		t.Fatal(err)
	}
	if _, diags = Load(dir, testOptions()); len(diags) != 1 || diags[0].Summary != "File too large" {
		t.Errorf("got %v", diags)
	}
	c, diags := LoadFiles("/etc/tokend", nil, testOptions())
	if c == nil || len(diags) > 0 || len(c.Credentials()) != 0 {
		t.Errorf("an empty directory: %v", diags)
	}
}

func TestNestingBombs(t *testing.T) {
	deep := func(open, middle, end string, n int) string {
		return "locals {\n  a = " + strings.Repeat(open, n) + middle + strings.Repeat(end, n) + "\n}\n"
	}
	for name, text := range map[string]string{
		"parentheses": deep("(", "1", ")", 20_000),
		"lists":       deep("[", "1", "]", 20_000),
		"negations":   deep("!", "true", "", 100_000),
		"conditions":  deep("true ? 1 : ", "1", "", 50_000),
		"sums":        deep("1+", "1", "", 100_000),
		"templates":   deep(`"${`, "1", `}"`, 10_000),
		"directives":  `locals { a = "` + strings.Repeat("%{if true}", 20_000) + `" }`,
		"indexes":     "locals {\n  a = local" + strings.Repeat("[0]", 50_000) + "\n}\n",
		"attributes":  "locals {\n  a = local" + strings.Repeat(".a", 50_000) + "\n}\n",
		"blocks":      strings.Repeat("a {\n", 20_000) + strings.Repeat("}\n", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			if _, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(text)}, testOptions()); len(diags) != 1 || diags[0].Summary != "Expression too deep" {
				t.Errorf("got %v", diags)
			}
			// The same as a template in JSON.
			inJSON := []byte(`{"locals": {"a": ` + quoteJSON("${"+text+"}") + `}}`)
			if _, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl.json": inJSON}, testOptions()); len(diags) != 1 || diags[0].Summary != "Expression too deep" {
				t.Errorf("in JSON: %v", diags)
			}
		})
	}
	arrays := []byte(`{"locals": {"a": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}}")
	if _, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl.json": arrays}, testOptions()); !diags.HasErrors() {
		t.Error("arrays in JSON: no error")
	}
	chain := []byte("locals {\n  a0 = 1\n")
	for i := 1; i < 5000; i++ {
		chain = append(chain, []byte("  a"+itoa(i)+" = local.a"+itoa(i-1)+"\n")...)
	}
	if _, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": append(chain, "}\n"...)}, testOptions()); !diags.HasErrors() {
		t.Error("a chain of 5000 locals: no error")
	}
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s) // a string always has JSON
	return string(b)
}

func itoa(i int) string {
	return instKey{kind: numKey, num: i}.suffix()[1 : len(instKey{kind: numKey, num: i}.suffix())-1]
}

func TestDigest(t *testing.T) {
	base := map[string]string{
		"main.hcl": `
variable "v" { default = "x" }
locals {
  used   = "${var.v}1"
  unused = "2"
  users  = toset(["alice", "bob"])
}
provider "apirone" { base_url = "https://a.example" }
secret "file" "pw" { path = "pw" }
secret "file" "other" { path = "other" }
credential "apirone" "x" {
  for_each = local.users
  grant    = "login"
  login    = "${each.key}${local.used}"
  password = secret.file.pw.value
}
sink "file" "x" {
  for_each = credential.apirone.x
  path     = "x/${each.key}"
  content  = each.value.access_token
  notify   = [hook.systemd.app]
}
hook "systemd" "app" { unit = "app.service" }
hook "systemd" "other" { unit = "app.service" }
`}
	alice, sink := Address(`credential.apirone.x["alice"]`), Address(`sink.file.x["alice"]`)
	for _, tt := range []struct {
		name, old, new  string
		credential, snk bool // whether it must change
	}{
		{"nothing", "", "", false, false},
		{"a comment and blanks", `  login    = `, "  # who\n  login = ", false, false},
		{"its own text", `"${each.key}${local.used}"`, `"${each.key}!${local.used}"`, true, false},
		{"a variable", `default = "x"`, `default = "y"`, true, false},
		{"a local", `"${var.v}1"`, `"${var.v}2"`, true, false},
		{"another local", `unused = "2"`, `unused = "3"`, false, false},
		{"a secret", `path = "pw"`, `path = "pw2"`, true, false},
		{"another secret", `path = "other"`, `path = "other2"`, false, false},
		{"the provider", "https://a.example", "https://b.example", true, false},
		{"a hook", `hook "systemd" "app" { unit = "app.service" }`, `hook "systemd" "app" { unit = "b.service" }`, false, true},
		{"another hook", `hook "systemd" "other" { unit = "app.service" }`, ``, false, false},
		{"the sink", `path     = "x/${each.key}"`, `path     = "y/${each.key}"`, false, true},
		{"another instance", `toset(["alice", "bob"])`, `toset(["alice", "carol"])`, false, false},
		{"the defaults", `variable "v"`, "tokend {\n  defaults {\n    refresh { at = 0.3 }\n  }\n}\nvariable \"v\"", true, false},
	} {
		before := mustLoad(t, base["main.hcl"])
		text := base["main.hcl"]
		if tt.old != "" && !strings.Contains(text, tt.old) {
			t.Fatalf("%s: the text lacks %q", tt.name, tt.old)
		}
		after := mustLoad(t, strings.Replace(text, tt.old, tt.new, 1))
		for a, changes := range map[Address]bool{alice: tt.credential, sink: tt.snk} {
			d1, ok1 := before.Digest(a)
			d2, ok2 := after.Digest(a)
			if !ok1 || !ok2 || (d1 != d2) != changes {
				t.Errorf("%s: digest of %s changed: %v, want %v", tt.name, a, d1 != d2, changes)
			}
		}
	}
	c := mustLoad(t, base["main.hcl"])
	if _, ok := c.Digest("sink.file.none"); ok {
		t.Error("a digest of what is not declared")
	}
	for _, list := range [][]Address{c.Credentials(), c.Sinks(), c.Secrets(), c.Hooks(), {"provider.apirone.default", "apirone.x[\"bob\"]"}} {
		for _, a := range list {
			if !c.Declares(a) {
				t.Errorf("%s is not declared", a)
			}
		}
	}
	for _, a := range []Address{"", "sink.file.none", "sink.file.x", `sink.file.x["carol"]`, "sink.file.x[0]", `secret.file.pw["a"]`, "provider.apirone.other", "provider.coinify.default"} {
		if c.Declares(a) {
			t.Errorf("%s is declared", a)
		}
	}
}

func TestDigestFollowsTemplates(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "main.hcl", `
sink "file" "a" {
  path    = "a"
  content = templatefile("a.tmpl", {})
}
sink "file" "b" {
  path    = "b"
  content = file("b.txt")
}
`)
	write(t, dir, "a.tmpl", "1")
	write(t, dir, "b.txt", "1")
	before := loadDir(t, dir, testOptions())
	write(t, dir, "a.tmpl", "2")
	after := loadDir(t, dir, testOptions())
	for a, changes := range map[Address]bool{"sink.file.a": true, "sink.file.b": false} {
		d1, _ := before.Digest(a)
		d2, _ := after.Digest(a)
		if (d1 != d2) != changes {
			t.Errorf("digest of %s changed: %v, want %v", a, d1 != d2, changes)
		}
	}
}

// TestConcurrentUse has many goroutines read one Config while its cache is too
// small for all blocks.
func TestConcurrentUse(t *testing.T) {
	c := loadDir(t, manyBlocks(t, 40, 20), testOptions())
	s := Scope{Secret: func(Address) (cty.Value, error) { return cty.DynamicVal, nil }}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			addrs := c.Credentials()
			for i := range addrs {
				a := addrs[(i*7+g*101)%len(addrs)]
				if _, err := c.Credential(a); err != nil {
					t.Error(err)
				}
				if _, err := c.Inputs(a, nil, s); err != nil {
					t.Error(err)
				}
				c.Digest(a)
			}
		}()
	}
	wg.Wait()
}

// FuzzLoad: whatever the text, loading neither panics nor shows the secret that
// stands in it.
func FuzzLoad(f *testing.F) {
	fixtures, _ := filepath.Glob("testdata/diagnostics/*.hcl")
	for _, path := range fixtures {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), false)
	}
	f.Add(evalPrelude, false)
	f.Add(nativeParity, false)
	f.Add(jsonParity, true)
	f.Add(mainPath, false)
	f.Fuzz(func(t *testing.T, text string, isJSON bool) {
		name := "main.hcl"
		if isJSON {
			name = "main.hcl.json"
		}
		const canary = "Xq7CANARYq7X"
		o := testOptions()
		o.Environ = []string{"TOKEND_VAR_key=" + canary, "TOKEND_VAR_literal=" + canary, "TOKEND_VAR_secret=" + canary}
		files := map[string][]byte{name: []byte(text)}
		c, diags := LoadFiles(t.TempDir(), files, o)
		if strings.Contains(text, canary) {
			return
		}
		rendered := []byte(renderDiags(files, diags))
		for _, d := range diags {
			rendered = append(rendered, describe(d)...)
			if d.Summary == evaluatorFailed || d.Summary == parserFailed {
				t.Errorf("something panicked: %s", describe(d))
			}
		}
		secretVariable := strings.Contains(text, "sensitive")
		if secretVariable && bytes.Contains(rendered, []byte(canary)) && !strings.Contains(text, "nonsensitive") {
			t.Errorf("a sensitive value is shown:\n%s", rendered)
		}
		if c == nil {
			if !diags.HasErrors() {
				t.Error("neither a Config nor an error")
			}
			return
		}
		s := Scope{
			Secret:     func(Address) (cty.Value, error) { return cty.StringVal(canary), nil },
			Credential: func(Address) (Attributes, error) { return Attributes{}, nil },
		}
		for _, a := range c.Credentials()[:min(len(c.Credentials()), 20)] {
			if _, err := c.Credential(a); err != nil {
				t.Errorf("the static part of %s fails after loading: %v", a, err)
			}
			checkError(t, canary, text)(c.Inputs(a, nil, s))
			if _, ok := c.Digest(a); !ok {
				t.Errorf("%s has no digest", a)
			}
		}
		for _, a := range c.Sinks()[:min(len(c.Sinks()), 20)] {
			if _, err := c.Sink(a); err != nil {
				t.Errorf("the static part of %s fails after loading: %v", a, err)
			}
			checkError(t, canary, text)(c.SinkArgs(a, s))
		}
	})
}

// checkError looks for the canary in an evaluation's error.
func checkError(t *testing.T, canary, text string) func(Values, error) {
	return func(_ Values, err error) {
		if err != nil && strings.Contains(err.Error(), canary) && !strings.Contains(text, "nonsensitive") {
			t.Errorf("an error shows a secret: %v", err)
		}
	}
}
