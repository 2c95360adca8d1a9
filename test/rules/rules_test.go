// Package rules_test keeps the rules of the source tree that no compiler knows:
// which package may import which, who may take a secret's text out, that time is a
// parameter and sleeping is no test, that every package says once what it is for.
//
// A rule is a function from the tree to its violations, in words. Each is shown to
// bite by an archive in testdata: a small tree that breaks it, headed by the rule's
// name and the violations that it must report.
package rules_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"tokend/test/parts"
)

// A rule of the tree.
type rule struct {
	name  string
	check func(*tree) []string // violations, in the order of the files
}

func rules() []rule {
	return []rule{
		{"imports", imports},
		{"package doc", packageDoc},
		{"exported docs", exportedDocs},
		{"no replace", noReplace},
		{"no init", noInit},
		{"no sleep", noSleep},
		{"reveal", reveal},
		{"tint", tint},
		{"exit", exit},
		{"no outside paths", noOutsidePaths},
		{"top level", topLevel},
	}
}

func TestTree(t *testing.T) {
	root, err := parts.Root()
	if err != nil {
		t.Fatal(err)
	}
	tr := read(t, os.DirFS(root))
	if len(tr.files) < 10 {
		t.Fatalf("the tree in %s has %d Go files", root, len(tr.files))
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, violation := range r.check(tr) {
				t.Error(violation)
			}
		})
	}
}

func TestRulesBite(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]rule{}
	for _, r := range rules() {
		byName[r.name] = r
	}
	bites := map[string]bool{}
	for _, path := range archives {
		t.Run(filepath.Base(path), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, want, _ := strings.Cut(string(archive.Comment), "\n")
			r, ok := byName[name]
			if !ok {
				t.Fatalf("there is no rule %q", name)
			}
			fsys := fstest.MapFS{}
			for _, f := range archive.Files {
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			got := strings.Join(append(r.check(read(t, fsys)), ""), "\n")
			if diff := cmp.Diff(strings.TrimLeft(want, "\n"), got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			bites[name] = bites[name] || got != ""
		})
	}
	for _, r := range rules() {
		if !bites[r.name] {
			t.Errorf("no archive in testdata shows that the rule %q bites", r.name)
		}
	}
}

func read(t *testing.T, fsys fs.FS) *tree {
	t.Helper()
	tr, err := readTree(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}
