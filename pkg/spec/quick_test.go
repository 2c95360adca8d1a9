package spec

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// change is one kind of edit of a directory of blocks.
type change struct {
	name string
	edit func(r *rand.Rand, text string) string
}

func changes() []change {
	replace := func(old, new string) func(*rand.Rand, string) string {
		return func(_ *rand.Rand, text string) string { return strings.Replace(text, old, new, 1) }
	}
	add := func(block string) func(*rand.Rand, string) string {
		return func(r *rand.Rand, text string) string {
			return text + strings.ReplaceAll(block, "ID", fmt.Sprintf("n%d", r.IntN(40))) + "\n"
		}
	}
	return []change{
		{"nothing", replace("", "")},
		{"a comment", replace("credential", "# why\ncredential")},
		{"a path", replace(".token\"", ".tok\"")},
		{"a value", replace("@example.com", "@example.org")},
		{"a sink", add(`sink "file" "ID" { path = "/x/ID", content = "x" }`)},
		{"a new sink", add("sink \"file\" \"ID\" {\n  path    = \"/new/ID\"\n  content = credential.apirone.c0000-000.access_token\n}")},
		{"a new credential", add("credential \"apirone\" \"ID\" {\n  grant    = \"login\"\n  login    = \"ID\"\n  password = secret.file.pw.value\n}")},
		{"a chained credential", add("credential \"apirone\" \"ID\" {\n  grant    = \"login\"\n  login    = credential.apirone.c0001-000.token_type\n  password = secret.file.pw.value\n}")},
		{"a self reference", add("credential \"apirone\" \"ID\" {\n  grant    = \"login\"\n  login    = credential.apirone.ID.token_type\n  password = secret.file.pw.value\n}")},
		{"a taken path", add("sink \"file\" \"ID\" {\n  path    = \"/run/tokend/c0000-000.token\"\n  content = \"x\"\n}")},
		{"a secret's path", add("sink \"file\" \"ID\" {\n  path    = \"pw\"\n  content = \"x\"\n}")},
		{"a path of the configuration", add("sink \"file\" \"ID\" {\n  path    = \"ID.hcl\"\n  content = \"x\"\n}")},
		{"a path of the state", add("sink \"file\" \"ID\" {\n  path    = \"/var/state/ID\"\n  content = \"x\"\n}")},
		{"a template at a sink", add("sink \"env\" \"ID\" {\n  path     = \"/new/env/ID\"\n  template = \"/run/tokend/c0001-000.token\"\n}")},
		{"a read of a sink", add("sink \"file\" \"ID\" {\n  path    = \"/new/read/ID\"\n  content = fileexists(\"/run/tokend/c0001-001.token\") ? \"a\" : \"b\"\n}")},
		{"an undeclared reference", replace("var.partner", "var.nobody")},
		{"a literal secret", replace("secret.file.pw.value", "\"CANARY\"")},
		{"an argument too many", replace("login      =", "logon      = 1\n  login      =")},
		{"another grant", replace("grant      = \"login\"", "grant      = \"transfer_key\"")},
		{"an instance key", replace("sink \"file\"", "sink \"file\" \"each\" {\n  for_each = toset([\"a\"])\n  path     = \"/each/${each.key}\"\n  content  = \"x\"\n}\nsink \"file\"")},
		{"a broken line", replace("login      =", "login      = =")},
		{"no first block", func(_ *rand.Rand, text string) string {
			if i := strings.Index(text, "\n}\n"); i >= 0 {
				return text[i+3:]
			}
			return text
		}},
		{"nothing left", func(*rand.Rand, string) string { return "" }},
		{"a local", add("locals {\n  ID = 1\n}")},
	}
}

// TestQuickLoadIsAFullLoad makes random changes, good and bad, and holds what
// loading with a previous configuration says against loading everything.
func TestQuickLoadIsAFullLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dir := manyBlocks(t, 4, 3)
	o := testOptions()
	o.Own = func(StateSettings) []OwnPath {
		return []OwnPath{{Path: "/var/state", Below: true, What: "belongs to tokend's state"}}
	}
	last := loadDir(t, dir, o)
	all := changes()
	quick := 0
	for step := range 400 {
		ch := all[r.IntN(len(all))]
		path := filepath.Join(dir, fmt.Sprintf("part-%04d.hcl", r.IntN(5)))
		before, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		after := ch.edit(r, string(before))
		if r.IntN(20) == 0 {
			_ = os.Remove(path) // it may not be there
		} else {
			write(t, dir, filepath.Base(path), after)
		}
		o.Previous = last
		got, gotDiags := Load(dir, o)
		o.Previous = nil
		want, wantDiags := Load(dir, o)
		name := fmt.Sprintf("step %d (%s in %s)", step, ch.name, filepath.Base(path))
		if diff := cmp.Diff(lines(wantDiags), lines(gotDiags)); diff != "" {
			t.Fatalf("%s: diagnostics (-full +with the previous one):\n%s", name, diff)
		}
		if (got == nil) != (want == nil) {
			t.Fatalf("%s: only one load gave a configuration", name)
		}
		if got == nil {
			write(t, dir, filepath.Base(path), string(before)) // so that mistakes do not pile up
			continue
		}
		if diff := cmp.Diff(summary(t, want), summary(t, got)); diff != "" {
			t.Fatalf("%s: (-full +with the previous one):\n%s", name, diff)
		}
		for _, a := range append(want.Credentials(), want.Sinks()...) {
			d1, _ := want.Digest(a)
			if d2, _ := got.Digest(a); d1 != d2 {
				t.Fatalf("%s: the digest of %s differs", name, a)
			}
		}
		if got.settings == last.settings && got.memo == last.memo {
			quick++
		}
		last = got
	}
	if quick < 50 {
		t.Errorf("only %d loads were quick", quick)
	}
}

func lines(diags Diagnostics) []string {
	var out []string
	for _, d := range diags {
		out = append(out, fmt.Sprintf("%s %v %s", describe(d), ShowSource(d), Hint(d)))
	}
	return out
}

// TestQuickLoadSeesOtherChanges: what is not a file of the directory makes
// everything be loaded.
func TestQuickLoadSeesOtherChanges(t *testing.T) {
	dir := manyBlocks(t, 1, 1)
	write(t, dir, "more.hcl", "locals {\n  x = file(\"x.txt\")\n}\n")
	write(t, dir, "x.txt", "1")
	base := testOptions()
	base.Previous = loadDir(t, dir, base)
	if c := loadDir(t, dir, base); c.memo != base.Previous.memo {
		t.Error("nothing changed, and all was loaded again")
	}
	for name, change := range map[string]func(*Options){
		"a variable":     func(o *Options) { o.Vars = map[string]string{"partner": "8"} },
		"an environment": func(o *Options) { o.Environ = []string{"TOKEND_VAR_partner=8"} },
		"the host":       func(o *Options) { o.HostName = "other" },
		"a kind":         func(o *Options) { o.Hooks = map[string]Schema{} },
		"the catalogue":  func(o *Options) { o.Catalog = nil },
		"a read file":    func(*Options) { write(t, dir, "x.txt", "2") },
	} {
		o := base
		change(&o)
		if c, _ := Load(dir, o); c != nil && c.memo == base.Previous.memo {
			t.Errorf("%s changed, and the previous configuration was taken over", name)
		}
		write(t, dir, "x.txt", "1")
	}
}

// TestQuickLoadFindsABlockTwice: a changed file that declares what another one
// declares, or the same twice, before, between and after all others.
func TestQuickLoadFindsABlockTwice(t *testing.T) {
	block := func(id string) string {
		return fmt.Sprintf("credential \"apirone\" %q {\n  grant    = \"login\"\n  login    = \"x\"\n  password = secret.file.pw.value\n}\n", id)
	}
	for name, blocks := range map[string][]string{
		"the first of another file": {"c0000-000"},
		"one between":               {"c0001-001"},
		"the last of another file":  {"c0003-001"},
		"the same twice":            {"c0001-0005", "c0001-0005"},
		"after all others, twice":   {"z", "z"},
		"before all others, twice":  {"a", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := manyBlocks(t, 4, 2)
			write(t, dir, "extra.hcl", "")
			o := testOptions()
			o.Previous = loadDir(t, dir, o)
			var text string
			for _, b := range blocks {
				text += block(b)
			}
			write(t, dir, "extra.hcl", text)
			_, got := Load(dir, o)
			o.Previous = nil
			_, want := Load(dir, o)
			if diff := cmp.Diff(lines(want), lines(got)); diff != "" || !got.HasErrors() {
				t.Errorf("diagnostics (-full +with the previous one):\n%s", diff)
			}
		})
	}
}
