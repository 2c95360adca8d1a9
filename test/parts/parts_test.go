package parts_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tokend/test/parts"
)

// checkout makes a tree with one part in it, makes it the working directory, and
// gives the cache a folder of its own.
func checkout(t *testing.T, script string) parts.Part {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":               "module tokend\n",
		"test/install/tool.sh": script,
		"test/tool/go.mod":     "module tool\n",
		"test/tool/sub/x.go":   "package x\n",
	} {
		write(t, filepath.Join(root, name), content)
	}
	t.Chdir(filepath.Join(root, "test"))
	t.Setenv("TOKEND_TEST_CACHE", filepath.Join(root, "cache"))
	return parts.Part{Name: "Tool", Script: "tool.sh", Files: []string{"tool"}, Sources: []string{"tool"}, Folder: "tool"}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBuildOnce(t *testing.T) {
	p := checkout(t, `echo working; echo built >"$1/tool"`)
	if err := p.Missing(); err == nil || !strings.HasPrefix(err.Error(), "Tool: ") {
		t.Errorf("before it was built: %v", err)
	}
	if _, err := p.Path("tool"); err == nil {
		t.Error("a part that is missing has a path")
	}

	var out bytes.Buffer
	if err := p.Build(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "working\n" {
		t.Errorf("the script said %q", out.String())
	}
	path, err := p.Path("tool")
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "built\n" {
		t.Errorf("%s holds %q, %v", path, content, err)
	}
	if _, err := p.Path("other"); err == nil {
		t.Error("a file that is none of the part's has a path")
	}

	out.Reset()
	if err := p.Build(t.Context(), &out); err != nil || out.Len() > 0 {
		t.Errorf("the second time: %v, %q", err, out.String())
	}
}

func TestAChangedSourceIsAnotherFolder(t *testing.T) {
	for _, changed := range []string{"tool/go.mod", "tool/sub/x.go", "tool/sub/new.go", "install/tool.sh"} {
		t.Run(changed, func(t *testing.T) {
			p := checkout(t, "true\n")
			before, err := p.Dir()
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := p.Dir(); again != before {
				t.Errorf("without a change it is in %s and in %s", before, again)
			}
			write(t, changed, "changed\n")
			after, err := p.Dir()
			if err != nil {
				t.Fatal(err)
			}
			if after == before {
				t.Errorf("with another %s it is still in %s", changed, before)
			}
		})
	}
}

func TestAFailedBuildLeavesNothing(t *testing.T) {
	for name, script := range map[string]string{
		"fails halfway":      `echo half >"$1/tool"; echo no luck >&2; exit 1`,
		"forgets the result": `echo other >"$1/other"`,
	} {
		t.Run(name, func(t *testing.T) {
			p := checkout(t, script)
			var out bytes.Buffer
			if err := p.Build(t.Context(), &out); err == nil {
				t.Error("no error")
			}
			if strings.Contains(script, "luck") && !strings.Contains(out.String(), "no luck") {
				t.Errorf("the script said %q", out.String())
			}
			if p.Missing() == nil {
				t.Error("it is there")
			}
			left, err := filepath.Glob(filepath.Join(os.Getenv("TOKEND_TEST_CACHE"), ".unfinished-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

func TestMissingSaysWhy(t *testing.T) {
	p := parts.Part{Name: "Tool", Commands: []string{"sh", "tokend-no-such-tool"}, Packages: []string{"tool-package"}}
	err := p.Missing()
	if err == nil {
		t.Fatal("it is not missing")
	}
	for _, part := range []string{"Tool: ", "tokend-no-such-tool", "apt-get install tool-package"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "sh,") {
		t.Errorf("%q names what is there", err)
	}
	if !p.NeedsPackages() {
		t.Error("it needs no packages")
	}
}

func TestMissingSaysWhatBuildsIt(t *testing.T) {
	p := checkout(t, "true\n")
	for target, want := range map[string]string{"": "make test", "bench": "make bench"} {
		p.Target = target
		if err := p.Missing(); err == nil || !strings.Contains(err.Error(), parts.Install+"=1 "+want) {
			t.Errorf("of a part that %q builds, the error is %v, want it to name %q", target, err, want)
		}
	}
}

func TestMissingWhereTheMachineDoesNotAllowIt(t *testing.T) {
	p := parts.Part{Name: "Tool", Probe: []string{"sh", "-c", "echo not here; exit 1"}}
	if err := p.Missing(); err == nil || !strings.HasPrefix(err.Error(), "Tool: ") || !strings.Contains(err.Error(), "not here") {
		t.Errorf("got %v", err)
	}
	p.Probe = []string{"true"}
	if err := p.Missing(); err != nil {
		t.Error(err)
	}
}

// Every part of the tree can say where it would be, whatever is on this machine.
func TestEveryPartHasAFolder(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range append(parts.All(), parts.VaultAgent()) {
		if p.Name == "" || p.For == "" || seen[p.Name] {
			t.Errorf("part %+v has no name of its own, or is for nothing", p)
		}
		seen[p.Name] = true
		if p.Script == "" {
			continue
		}
		dir, err := p.Dir()
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if !strings.Contains(filepath.Base(dir), p.Folder+"-") {
			t.Errorf("%s is in %s", p.Name, dir)
		}
	}
}

// What a test looks for or runs by its name is brought by a part, or is on every
// Debian: a test that is skipped for want of a program nobody installs fails a run
// in which nothing may be skipped.
func TestEveryProgramThatTestsRunIsAPart(t *testing.T) {
	there := []string{"sh", "true", "go"} // go runs the tests
	for _, p := range parts.All() {
		there = append(there, p.Commands...)
	}
	named := regexp.MustCompile(`\[!?exec:([a-z-]+)\]|(?:LookPath|exec\.Command)\("([a-z-]+)"|exec ((?:git|ssh|gpg)[a-z-]*) `)
	root, err := parts.Root()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".txtar") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			name := m[1] + m[2] + m[3]
			found++
			if name != "gpgconf" && !slices.Contains(there, name) { // that one comes with gpg
				t.Errorf("%s runs %s, which no part brings", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 10 {
		t.Errorf("only %d programs were found", found)
	}
}
