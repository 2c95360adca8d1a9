package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each case is a module of one package whose tests are really run.
var cases = []struct {
	name   string
	test   string   // its only file
	args   []string // for go test, beside -json
	want   string   // the closing line
	failed []string // what fails
	says   []string // parts of the output
}{
	{
		name: "leaves are counted",
		test: `package p
import "testing"
func TestPlain(t *testing.T) {}
func TestTable(t *testing.T) {
	for _, n := range []string{"a", "b", "c"} {
		t.Run(n, func(t *testing.T) { t.Run("deep", func(t *testing.T) {}) })
	}
}
func FuzzSeeds(f *testing.F) {
	f.Add("x"); f.Add("y"); f.Add("z")
	f.Fuzz(func(t *testing.T, s string) {})
}
func Example() {}
`,
		want: "5 passed, 0 failed",
		says: []string{"ok   example.test", "5 passed"},
	},
	{
		name: "failures and skips",
		test: `package p
import "testing"
func TestGood(t *testing.T) {}
func TestTable(t *testing.T) {
	t.Log("said above")
	t.Run("good", func(t *testing.T) {})
	t.Run("bad", func(t *testing.T) { t.Errorf("want %d", 42) })
}
func TestAfter(t *testing.T) {
	t.Run("good", func(t *testing.T) {})
	t.Error("the parent itself")
}
func TestSkipped(t *testing.T) { t.Skip("Vault server: not built") }
`,
		want:   "3 passed, 2 failed, 1 skipped",
		failed: []string{"example.test TestTable/bad", "example.test TestAfter"},
		says:   []string{"said above", "want 42", "the parent itself", "FAIL example.test"},
	},
	{
		name:   "does not build",
		test:   "package p\nimport \"testing\"\nfunc TestX(t *testing.T) { undefinedName() }\n",
		want:   "0 passed, 1 failed",
		failed: []string{"example.test"},
		says:   []string{"does not build", "undefined: undefinedName"},
	},
	{
		name:   "does not parse",
		test:   "package p\nfunc {\n",
		want:   "0 passed, 1 failed",
		failed: []string{"example.test"},
		says:   []string{"expected"},
	},
	{
		name:   "does not vet",
		test:   "package p\nimport (\"fmt\"; \"testing\")\nfunc TestX(t *testing.T) { fmt.Printf(\"%d\", \"text\") }\n",
		want:   "0 passed, 1 failed",
		failed: []string{"example.test"},
		says:   []string{"wrong type string"},
	},
	{
		name: "out of time",
		test: `package p
import "testing"
func TestGood(t *testing.T) {}
func TestHangs(t *testing.T) { t.Log("about to hang"); select {} }
`,
		args:   []string{"-timeout=1s"},
		want:   "1 passed, 1 failed",
		failed: []string{"example.test TestHangs"},
		says:   []string{"about to hang", "test timed out after 1s"},
	},
	{
		name: "exits",
		test: `package p
import ("os"; "testing")
func TestGood(t *testing.T) {}
func TestExits(t *testing.T) { os.Exit(3) }
`,
		want:   "1 passed, 1 failed",
		failed: []string{"example.test TestExits"},
	},
	{
		name: "exits before any test",
		test: `package p
import ("os"; "testing")
func TestMain(m *testing.M) { println("no luck"); os.Exit(3) }
func TestGood(t *testing.T) {}
`,
		want:   "0 passed, 1 failed",
		failed: []string{"example.test"},
		says:   []string{"no luck"},
	},
	{
		name: "panics",
		test: `package p
import "testing"
func TestPanics(t *testing.T) { panic("as told") }
func TestAfter(t *testing.T) {}
`,
		want:   "0 passed, 1 failed",
		failed: []string{"example.test TestPanics"},
		says:   []string{"as told"},
	},
	{
		name: "panics in a goroutine of a subtest",
		test: `package p
import "testing"
func TestGood(t *testing.T) {}
func TestPanics(t *testing.T) {
	t.Run("sub", func(t *testing.T) { go panic("as told"); select {} })
}
`,
		want:   "1 passed, 1 failed",
		failed: []string{"example.test TestPanics/sub"},
		says:   []string{"as told"},
	},
}

func TestGoTest(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := module(t, c.test)
			var out strings.Builder
			r := &run{root: dir, out: &out, tally: &tally{}}
			r.goTest(t.Context(), ".", append(append([]string{"test", "-json"}, c.args...), "./...")...)

			if got := r.tally.closing(); got != c.want {
				t.Errorf("closing line %q, want %q; output:\n%s", got, c.want, out.String())
			}
			var failed []string
			for _, f := range r.tally.failed {
				failed = append(failed, f.name)
			}
			if diff := cmp.Diff(c.failed, failed); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			if strings.Contains(out.String(), "=== RUN") {
				t.Errorf("the output has markers:\n%s", out.String())
			}
			for _, part := range c.says {
				if !strings.Contains(out.String(), part) {
					t.Errorf("the output does not say %q:\n%s", part, out.String())
				}
			}
		})
	}
}

func TestGoTestOfAModuleThatIsBroken(t *testing.T) {
	dir := module(t, "package p\n")
	write(t, filepath.Join(dir, "go.mod"), "modul example.test\n")
	var out strings.Builder
	r := &run{root: dir, out: &out, tally: &tally{}}
	r.goTest(t.Context(), ".", "test", "-json", "./...")
	if len(r.tally.failed) != 1 || !strings.Contains(out.String(), "go.mod") {
		t.Errorf("%s\n%s", r.tally.closing(), out.String())
	}
}

// module makes a module of one package with one file.
func module(t *testing.T, test string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.test\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "p_test.go"), test)
	return dir
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

func TestReportNamesWhatWasMissing(t *testing.T) {
	ta := &tally{}
	ta.pass(7)
	ta.skip("pkg TestA", "Vault server: not built")
	ta.skip("pkg TestC", "Node: not built")
	ta.skip("pkg TestD", "Vault server: not built")
	ta.fail("pkg TestB", "want 1\ngot 2")
	var out strings.Builder
	ta.report(&out, []error{errors.New("Vault server: not built in /x")})
	for _, part := range []string{"  Vault server: not built\n      pkg TestA\n      pkg TestD\n  Node: not built\n      pkg TestC\n", "WENT WITHOUT", "!!   Vault server: not built in /x", "TOKEND_TEST_INSTALL=1", "pkg TestB", "got 2"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the report does not say %q:\n%s", part, out.String())
		}
	}
	if got := ta.closing(); got != "7 passed, 1 failed, 3 skipped" {
		t.Errorf("closing line %q", got)
	}
}

func TestExitStatus(t *testing.T) {
	tests := []struct {
		name    string
		install bool
		prepare func(*tally)
		want    int
	}{
		{"all passed", false, func(t *tally) { t.pass(1) }, 0},
		{"one failed", false, func(t *tally) { t.pass(1); t.fail("x", "") }, 1},
		{"one skipped", false, func(t *tally) { t.pass(1); t.skip("x", "y") }, 0},
		{"one skipped where nothing may be", true, func(t *tally) { t.pass(1); t.skip("x", "y") }, 1},
		{"nothing ran", false, func(*tally) {}, 1},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			r := &run{settings: Settings{Install: c.install}, out: &out, tally: &tally{}}
			c.prepare(r.tally)
			if got := r.close(); got != c.want {
				t.Errorf("exit status %d, want %d", got, c.want)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if last := lines[len(lines)-1]; last != r.tally.closing() {
				t.Errorf("last line %q, want %q", last, r.tally.closing())
			}
		})
	}
}

func TestSettings(t *testing.T) {
	problem := cmp.Comparer(func(a, b error) bool { return (a == nil) == (b == nil) })
	tests := []struct {
		lint, fuzz bool
		env        map[string]string
		want       Settings
	}{
		{want: Settings{Lint: true, Test: true}},
		{env: map[string]string{"CI": "true"}, want: Settings{Lint: true, Test: true, Fresh: true, FuzzTime: 3 * time.Second}},
		{env: map[string]string{"TOKEND_TEST_INSTALL": "1"}, want: Settings{Lint: true, Test: true, Fresh: true, Install: true, FuzzTime: 3 * time.Second}},
		{env: map[string]string{"TOKEND_TEST_INSTALL": "1", "FUZZTIME": "0"}, want: Settings{Lint: true, Test: true, Fresh: true, Install: true}},
		{env: map[string]string{"FUZZTIME": "10s"}, want: Settings{Lint: true, Test: true, FuzzTime: 10 * time.Second}},
		{env: map[string]string{"FUZZTIME": "ten"}, want: Settings{Lint: true, Test: true, Problem: errors.New("")}},
		{lint: true, env: map[string]string{"CI": "true"}, want: Settings{Lint: true, Fresh: true, FuzzTime: 0}},
		{fuzz: true, want: Settings{FuzzTime: 30 * time.Second}},
	}
	for _, c := range tests {
		t.Run(fmt.Sprint(c.lint, c.fuzz, c.env), func(t *testing.T) {
			got := settings(c.lint, c.fuzz, func(name string) string { return c.env[name] })
			if diff := cmp.Diff(c.want, got, problem); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFuzzing(t *testing.T) {
	dir := module(t, `package p
import "testing"
func FuzzGood(f *testing.F) { f.Fuzz(func(t *testing.T, s string) {}) }
func FuzzBad(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { t.Fatal("found something") }) }
func FuzzHelper(x int) {}
func helper(f *testing.F) {}
`)
	write(t, filepath.Join(dir, "test/other/go.mod"), "module other.test\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "test/other/x_test.go"), "package x\nimport \"testing\"\nfunc FuzzOther(f *testing.F) {}\n")
	targets, err := fuzzTargets(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []target{{".", "FuzzGood"}, {".", "FuzzBad"}}
	if diff := cmp.Diff(want, targets, cmp.AllowUnexported(target{})); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestFuzzRunsEachTarget(t *testing.T) {
	dir := module(t, `package p
import "testing"
func FuzzGood(f *testing.F) { f.Fuzz(func(t *testing.T, s string) {}) }
func FuzzBad(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { t.Fatal("found something") }) }
`)
	var out strings.Builder
	r := &run{settings: Settings{FuzzTime: time.Second}, root: dir, out: &out, tally: &tally{}}
	r.fuzz(t.Context())
	if got := r.tally.closing(); got != "1 passed, 1 failed" || !strings.Contains(out.String(), "found something") {
		t.Errorf("%s\n%s", got, out.String())
	}
}

func TestTestModules(t *testing.T) {
	dir := module(t, "package p\n")
	write(t, filepath.Join(dir, "test/tools/go.mod"), "module tools.test\n")
	write(t, filepath.Join(dir, "test/server/go.mod"), "module server.test\n")
	write(t, filepath.Join(dir, "test/server/main.go"), "package main\nfunc main() {}\n")
	write(t, filepath.Join(dir, "test/peer/go.mod"), "module peer.test\n")
	write(t, filepath.Join(dir, "test/peer/sub/x_test.go"), "package sub\n")
	modules, err := testModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"test/peer"}, modules); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
}

func TestCheckThatSaysSomething(t *testing.T) {
	dir := module(t, "package  p\n")
	var out strings.Builder
	r := &run{root: dir, out: &out, tally: &tally{}}
	r.check("gofmt", true, r.command(context.Background(), ".", "gofmt", "-l", "p_test.go"))
	r.check("true", true, r.command(context.Background(), ".", "true"))
	r.check("false", false, r.command(context.Background(), ".", "false"))
	if got := r.tally.closing(); got != "1 passed, 2 failed" || !strings.Contains(out.String(), "p_test.go") {
		t.Errorf("%s\n%s", got, out.String())
	}
}

// Fuzzing that ended while it was still trying what earlier runs collected is
// repeated; what found something is not.
func TestFuzzingThatNeverBegan(t *testing.T) {
	const baseline = "fuzz: elapsed: 3s, gathering baseline coverage: 328/803 completed\n--- FAIL: FuzzX (3.09s)\n    context deadline exceeded\n"
	for out, want := range map[string]bool{
		baseline: true,
		"ok":     false,
		baseline + "    Failing input written to testdata/fuzz/FuzzX/1234\n": false,
	} {
		if got := timeWasShort(out); got != want {
			t.Errorf("%q: %v", out, got)
		}
	}
}
