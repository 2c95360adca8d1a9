package spec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
)

// expectation is what a fixture says of one line: `# ERROR: summary`, and with
// it `# HINT: part of the detail or the hint` and `# NOSOURCE`.
type expectation struct {
	line     int
	summary  string
	hint     string
	nosource bool
}

func expectations(text string) []expectation {
	var out []expectation
	for i, line := range strings.Split(text, "\n") {
		for _, mark := range strings.Split(line, "# ")[1:] {
			mark = strings.TrimSpace(mark)
			if s, ok := strings.CutPrefix(mark, "ERROR: "); ok {
				out = append(out, expectation{line: i + 1, summary: s})
			} else if s, ok := strings.CutPrefix(mark, "HINT: "); ok {
				out[len(out)-1].hint = s
			} else if mark == "NOSOURCE" {
				out[len(out)-1].nosource = true
			}
		}
	}
	return out
}

func TestDiagnostics(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/diagnostics/*.hcl")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, path := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".hcl"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, diags := LoadFiles("/etc/tokend", map[string][]byte{filepath.Base(path): text}, testOptions())
			if c != nil {
				t.Error("a Config was returned beside errors")
			}
			compareDiagnostics(t, string(text), diags)
			checkNothingShown(t, map[string][]byte{filepath.Base(path): text}, diags)
		})
	}
}

func compareDiagnostics(t *testing.T, text string, diags Diagnostics) {
	t.Helper()
	var want, got []string
	expected := expectations(text)
	for _, e := range expected {
		want = append(want, fmt.Sprintf("%d: %s", e.line, e.summary))
	}
	for _, d := range diags {
		line := 0
		if d.Subject != nil {
			line = d.Subject.Start.Line
		}
		got = append(got, fmt.Sprintf("%d: %s", line, d.Summary))
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
		for _, d := range diags {
			if d.Subject == nil || d.Subject.Start.Line != e.line || d.Summary != e.summary {
				continue
			}
			if !strings.Contains(d.Detail, e.hint) && !strings.Contains(Hint(d), e.hint) {
				t.Errorf("line %d: %q is neither in the detail %q nor in the hint %q", e.line, e.hint, d.Detail, Hint(d))
			}
			if e.nosource && ShowSource(d) {
				t.Errorf("line %d: the source of %q would be shown", e.line, d.Summary)
			}
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
