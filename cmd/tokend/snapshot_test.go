package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/providers/catalog"
	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// TestALargeDirectoryIsKeptInParts: put together they are all that was read, and
// a changed file changes one of them.
func TestALargeDirectoryIsKeptInParts(t *testing.T) {
	dir := t.TempDir()
	filler := bytes.Repeat([]byte("# some words that take room\n"), 800)
	file := func(i int, more string) {
		t.Helper()
		text := fmt.Sprintf("locals { a%d = 1 }\n%s%s", i, more, filler)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%02d.hcl", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		file(i, "")
	}
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte("locals { list = file(\"list\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &globals{process: process{out: t.Output(), err: t.Output()}, catalog: catalog.FS, config: dir}
	load := func() *spec.Config {
		t.Helper()
		c, diags := g.read(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return c
	}
	first := load()
	joined, parts := together(t, g, first)
	s, err := readSnapshot(joined)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Sources(), s.Files, cmp.Comparer(bytes.Equal)); diff != "" { // byte by byte it takes seconds
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	again, err := g.unpackSnapshot(joined)
	if err != nil || !again.SameSources(first) {
		t.Errorf("loaded from the parts it is another configuration (%v)", err)
	}
	file(7, "# changed\n")
	second := load()
	if second.SameSources(first) {
		t.Error("a changed file was not seen")
	}
	_, after := together(t, g, second)
	changed := 0
	for i := range after {
		if after[i].Sum != parts[i].Sum {
			changed++
		}
	}
	if len(after) != len(parts) || len(parts) < 4 || changed != 1 {
		t.Errorf("%d of %d parts changed, want one", changed, len(parts))
	}
}

// together is what the state keeps of a configuration, joined as it is read back.
func together(t *testing.T, g *globals, c *spec.Config) ([]byte, []reconcile.Part) {
	t.Helper()
	out, err := g.packSnapshot(c)
	if err != nil {
		t.Fatal(err)
	}
	parts := g.snapshotParts(c)
	for _, p := range parts {
		b, err := p.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, '\n'), b...)
	}
	return out, parts
}

// TestASnapshotKeepsItsOwnValues: a configuration that is read back from a state,
// and recorded again by a process that has other values for its variables, or
// none, is still the one that was in force.
func TestASnapshotKeepsItsOwnValues(t *testing.T) {
	dir, values := t.TempDir(), filepath.Join(t.TempDir(), "values.hcl")
	text := "variable \"a\" { type = string }\nvariable \"b\" { type = string }\nvariable \"c\" { type = string }\n" +
		"sink \"file\" \"x\" {\n  path = \"/run/x\"\n  content = \"${var.a}${var.b}${var.c}\"\n}\n"
	for path, content := range map[string]string{filepath.Join(dir, "main.hcl"): text, values: "c = \"three\"\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	by := func(vars, files []string, environ ...string) *globals {
		return &globals{process: process{out: t.Output(), err: t.Output(), environ: environ}, catalog: catalog.FS, config: dir, vars: vars, varFiles: files}
	}
	first := by([]string{"a=one"}, []string{values}, "TOKEND_VAR_b=two", "OTHER=x")
	cfg, diags := first.read(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if err := os.Remove(values); err != nil {
		t.Fatal(err)
	}
	kept, err := first.packSnapshot(cfg)
	if err != nil {
		t.Fatal(err)
	}
	later := by([]string{"a=other"}, nil)
	for range 3 { // as many starts
		back, err := later.unpackSnapshot(kept)
		if err != nil {
			t.Fatal(err)
		}
		args, err := back.SinkArgs("sink.file.x", spec.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := args.String("content"); err != nil || got != "onetwothree" {
			t.Errorf("the content is %q, %v", got, err)
		}
		if kept, err = later.packSnapshot(back); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Contains(kept, []byte("OTHER")) {
		t.Error("more of the environment is kept than its variables")
	}
}
