package spec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const listing = `
sink "file" "names" {
  path    = "/run/names"
  content = join(",", fileset("users", "*.user"))
}
sink "file" "flag" {
  path    = "/run/flag"
  content = fileexists("flag") ? "yes" : "no"
}
sink "file" "text" {
  path    = "/run/text"
  content = file("text")
}
`

// TestWhatIsListedChanges: a sink that names files by a pattern, or asks whether
// there is one, says something else when they come and go, though nobody reads
// what is in them; and a sink that does not says nothing else.
func TestWhatIsListedChanges(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "users"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "main.hcl", listing)
	write(t, dir, "text", "text")
	write(t, dir, "users/a.user", "")
	o := testOptions()
	was := loadDir(t, dir, o)
	for _, step := range []struct {
		name string
		do   func()
		want []Address
	}{
		{"a file comes that matches", func() { write(t, dir, "users/b.user", "") }, []Address{"sink.file.names"}},
		{"one that does not", func() { write(t, dir, "users/c.md", "") }, nil},
		{"one goes", func() { remove(t, filepath.Join(dir, "users/a.user")) }, []Address{"sink.file.names"}},
		{"the flag is raised", func() { write(t, dir, "flag", "") }, []Address{"sink.file.flag"}},
		{"what is in it matters to nobody", func() { write(t, dir, "flag", "x") }, nil},
		{"and taken down", func() { remove(t, filepath.Join(dir, "flag")) }, []Address{"sink.file.flag"}},
		{"a text", func() { write(t, dir, "text", "other") }, []Address{"sink.file.text"}},
	} {
		step.do()
		o.Previous = was
		now := loadDir(t, dir, o)
		changed, gone := now.Changed(was)
		if diff := cmp.Diff(step.want, changed); diff != "" || len(gone) > 0 {
			t.Errorf("%s: (-want +got):\n%s gone %v", step.name, diff, gone)
		}
		if same := now.SameSources(was); same != (step.want == nil) {
			t.Errorf("%s: the same sources: %v", step.name, same)
		}
		was = now
	}
}

// TestWhatWasListedIsKept: what a configuration listed is among its sources, and
// is so again when it was made of them, after the files went.
func TestWhatWasListedIsKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "users"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "main.hcl", listing)
	write(t, dir, "text", "text")
	write(t, dir, "users/a.user", "")
	write(t, dir, "flag", "")
	first := loadDir(t, dir, testOptions())
	want := summary(t, first)
	digest, _ := first.Digest("sink.file.names")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	c := first
	for i := range 3 { // made of what was made of it
		again, diags := LoadFiles(dir, c.Sources(), testOptions())
		if again == nil {
			t.Fatal(diags.Error())
		}
		if diff := cmp.Diff(want, summary(t, again)); diff != "" {
			t.Errorf("time %d (-want +got):\n%s", i, diff)
		}
		if d, _ := again.Digest("sink.file.names"); d != digest {
			t.Errorf("time %d: it has another digest", i)
		}
		c = again
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
