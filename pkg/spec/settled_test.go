package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// moving is a directory whose files change while it is read: reading the note
// calls change, which is the moment between two files.
func moving(t *testing.T, change func(dir string, reading int)) (dir string, o Options) {
	t.Helper()
	dir = t.TempDir()
	put(t, dir, "a.hcl", `locals { version = "1" }`)
	put(t, dir, "b.hcl", `variable "note" { default = "" }`+"\nlocals {\n  note = file(\"note.txt\")\n  both = \"${local.version}${local.note}\"\n}\n")
	put(t, dir, "note.txt", "1")
	readings := 0
	o.CheckRead = func(string) error {
		readings++
		change(dir, readings)
		return nil
	}
	return dir, o
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What changes while it is read is read again: a configuration is of one moment.
func TestLoadIsOfOneMoment(t *testing.T) {
	for what, second := range map[string]func(dir string){
		"a file is written": func(dir string) { put(t, dir, "a.hcl", `locals { version = "2" }`) },
		"a file is replaced": func(dir string) {
			put(t, dir, "a.new", `locals { version = "2" }`)
			if err := os.Rename(filepath.Join(dir, "a.new"), filepath.Join(dir, "a.hcl")); err != nil {
				t.Fatal(err)
			}
		},
		"a file is renamed": func(dir string) {
			put(t, dir, "c.hcl", `locals { version = "2" }`)
			if err := os.Remove(filepath.Join(dir, "a.hcl")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir, o := moving(t, func(dir string, reading int) {
			if reading == 1 {
				second(dir)
				put(t, dir, "note.txt", "2")
			}
		})
		c, diags := Load(dir, o)
		if diags.HasErrors() {
			t.Fatalf("%s: %v", what, diags)
		}
		sources := c.Sources()
		text := string(sources["a.hcl"]) + string(sources["c.hcl"])
		if note := string(sources[filepath.Join(dir, "note.txt")]); !strings.Contains(text, `"2"`) || note != "2" {
			t.Errorf("%s: loaded %q with the note %q", what, text, note)
		}
	}
}

// What never holds still is never taken for a configuration.
func TestLoadOfWhatKeepsChanging(t *testing.T) {
	dir, o := moving(t, func(dir string, reading int) { put(t, dir, "a.hcl", fmt.Sprintf(`locals { version = "%d" }`, reading)) })
	c, diags := Load(dir, o)
	if c != nil || !diags.HasErrors() || diags[0].Summary != "Files that keep changing" {
		t.Errorf("Load: %v, %v", c, diags)
	}
}

// A file that cannot be read is no change.
func TestUnreadableFileIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "a.hcl")); err != nil {
		t.Fatal(err)
	}
	if _, diags := Load(dir, Options{}); !diags.HasErrors() || diags[0].Summary != "Unreadable file" {
		t.Errorf("Load: %v", diags)
	}
}
