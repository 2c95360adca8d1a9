package spec

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write golden files anew")

// expectation is what a fixture says of one line: `# ERROR: summary` (or
// WARNING), and with it `# HINT: part of the detail or the hint` and
// `# NOSOURCE`. In JSON it stands in a member "//" of the same line; about no
// file at all, in the head of a txtar file.
type expectation struct {
	file     string
	line     int
	severity hcl.DiagnosticSeverity
	summary  string
	hint     string
	nosource bool
}

func expectations(file, text string) []expectation {
	var out []expectation
	for i, line := range strings.Split(text, "\n") {
		if strings.HasSuffix(file, ".json") {
			line = strings.ReplaceAll(strings.TrimSuffix(strings.TrimRight(line, "},"), `"`), `\"`, `"`)
		}
		for _, mark := range strings.Split(line, "# ")[1:] {
			mark = strings.TrimSpace(mark)
			if s, ok := strings.CutPrefix(mark, "ERROR: "); ok {
				out = append(out, expectation{file: file, line: i + 1, severity: hcl.DiagError, summary: s})
			} else if s, ok := strings.CutPrefix(mark, "WARNING: "); ok {
				out = append(out, expectation{file: file, line: i + 1, severity: hcl.DiagWarning, summary: s})
			} else if s, ok := strings.CutPrefix(mark, "HINT: "); ok {
				out[len(out)-1].hint = s
			} else if mark == "NOSOURCE" {
				out[len(out)-1].nosource = true
			}
		}
	}
	return out
}

// fixture is a directory with mistakes: one file, or those of a txtar file,
// whose head can say `var: NAME=VALUE` and `environ: NAME=VALUE`. A file
// *.tfvars has values of variables.
type fixture struct {
	files    map[string][]byte // as LoadFiles takes them
	options  Options
	expected []expectation
}

func readFixture(t *testing.T, path string) fixture {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{files: map[string][]byte{}, options: testOptions()}
	if filepath.Ext(path) == ".hcl" {
		n := filepath.Base(path)
		f.files[n], f.expected = text, expectations(n, string(text))
		return f
	}
	a := txtar.Parse(text)
	for line := range strings.Lines(string(a.Comment)) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "var: "); ok {
			n, v, _ := strings.Cut(s, "=")
			if f.options.Vars == nil {
				f.options.Vars = map[string]string{}
			}
			f.options.Vars[n] = v
		} else if s, ok := strings.CutPrefix(line, "environ: "); ok {
			f.options.Environ = append(f.options.Environ, s)
		} else if s, ok := strings.CutPrefix(line, "var-file: "); ok {
			f.options.VarFiles = append(f.options.VarFiles, s)
		} else {
			for _, e := range expectations("", line) {
				e.line = 0
				f.expected = append(f.expected, e)
			}
		}
	}
	for _, x := range a.Files {
		n := x.Name
		if !IsConfigFile(n) {
			n = "/etc/tokend/" + n
		}
		if strings.Contains(filepath.Ext(x.Name), "tfvars") {
			f.options.VarFiles = append(f.options.VarFiles, n)
		}
		f.files[n] = x.Data
		f.expected = append(f.expected, expectations(n, string(x.Data))...)
	}
	return f
}

// TestDiagnostics compares what is reported with what the fixtures say, both
// ways, and with golden files, which hold the ranges and words.
func TestDiagnostics(t *testing.T) {
	for _, path := range fixturePaths(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), func(t *testing.T) {
			f := readFixture(t, path)
			c, diags := LoadFiles("/etc/tokend", f.files, f.options)
			if (c != nil) == diags.HasErrors() {
				t.Error("a Config was returned beside errors, or none without")
			}
			compareDiagnostics(t, f.expected, diags)
			checkNothingShown(t, f.files, diags)
			golden := strings.TrimSuffix(path, filepath.Ext(path)) + ".golden"
			got := goldenText(f.files, diags)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; write it with: go test ./pkg/spec -run TestDiagnostics -update", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("what is said, or where, has changed (-want +got); write it anew with -update when it is better now:\n%s", diff)
			}
		})
	}
}

// goldenText is every diagnostic as a person reads it, with the text that is
// marked.
func goldenText(files map[string][]byte, diags Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		word := "error"
		if d.Severity == hcl.DiagWarning {
			word = "warning"
		}
		at := "nowhere"
		if r := d.Subject; r != nil {
			at = fmt.Sprintf("%s:%d,%d", r.Filename, r.Start.Line, r.Start.Column)
			switch text, known := files[r.Filename]; {
			case !ShowSource(d):
				at += " (not shown)"
			case known && r.End.Byte <= len(text):
				marked, _, more := strings.Cut(string(text[r.Start.Byte:r.End.Byte]), "\n")
				if more {
					marked += " …"
				}
				at += " " + marked
			}
		}
		fmt.Fprintf(&b, "%s: %s\n  at %s\n  %s\n", word, d.Summary, at, d.Detail)
		if h := Hint(d); h != "" {
			fmt.Fprintf(&b, "  hint: %s\n", h)
		}
	}
	return b.String()
}

func compareDiagnostics(t *testing.T, expected []expectation, diags Diagnostics) {
	t.Helper()
	var want, got []string
	words := map[hcl.DiagnosticSeverity]string{hcl.DiagError: "error", hcl.DiagWarning: "warning"}
	for _, e := range expected {
		want = append(want, fmt.Sprintf("%s:%d: %s: %s", e.file, e.line, words[e.severity], e.summary))
	}
	place := func(d *hcl.Diagnostic) (string, int) {
		if d.Subject == nil {
			return "", 0
		}
		return d.Subject.Filename, d.Subject.Start.Line
	}
	for _, d := range diags {
		file, line := place(d)
		got = append(got, fmt.Sprintf("%s:%d: %s: %s", file, line, words[d.Severity], d.Summary))
	}
	sort.Strings(want)
	sort.Strings(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
		for _, d := range diags {
			t.Log(describe(d), "| hint:", Hint(d))
		}
		return
	}
	for _, e := range expected {
		ok := slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool {
			file, line := place(d)
			return file == e.file && line == e.line && d.Summary == e.summary && !(e.nosource && ShowSource(d)) &&
				(strings.Contains(d.Detail, e.hint) || strings.Contains(Hint(d), e.hint))
		})
		if !ok {
			t.Errorf("%s:%d: %s: %q is neither in the detail nor in the hint, or its source would be shown", e.file, e.line, e.summary, e.hint)
		}
	}
}

// checkNothingShown renders the diagnostics as a program would and looks for
// what must not be seen.
func checkNothingShown(t *testing.T, files map[string][]byte, diags Diagnostics) {
	t.Helper()
	for _, d := range diags {
		if d.Expression != nil || d.EvalContext != nil {
			t.Errorf("%s carries an expression or its values", describe(d))
		}
		if d.Detail == "" || d.Summary == "" {
			t.Errorf("%s says nothing", describe(d))
		}
	}
	if out := renderDiags(files, diags); strings.Contains(out, "CANARY") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

// renderDiags prints diagnostics with the source lines that may be shown.
func renderDiags(files map[string][]byte, diags Diagnostics) string {
	parsed := map[string]*hcl.File{}
	for n, b := range files {
		parsed[n] = &hcl.File{Bytes: b}
	}
	var out bytes.Buffer
	for _, d := range diags {
		c := *d
		if !ShowSource(d) {
			c.Subject, c.Context = nil, nil
		}
		if err := hcl.NewDiagnosticTextWriter(&out, parsed, 0, false).WriteDiagnostic(&c); err != nil {
			fmt.Fprintln(&out, err)
		}
		fmt.Fprintln(&out, Hint(d))
	}
	return out.String()
}
