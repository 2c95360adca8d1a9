package spec

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// summaryArg says which argument of a function that makes diagnostics is the
// summary.
var summaryArg = map[string]int{"problem": 1, "fileError": 1}

// elsewhere are the summaries that no fixture can show, and what does.
var elsewhere = map[string]string{
	"Unreadable configuration":       "TestUnreadableDirectory",
	"Unreadable file":                "TestUnreadableDirectory",
	"Unreadable catalogue":           "TestUnreadableCatalogue",
	"No configuration files":         "TestLoadEmptyDirectory",
	"File too large":                 "TestLargeFiles",
	"File cannot be parsed":          "TestPanicsAreMistakes",
	"Expression cannot be evaluated": "TestPanicsAreMistakes",
	"Instance is gone":               "TestInstanceIsGone",
	"Files that keep changing":       "TestLoadOfWhatKeepsChanging",
	"Wrong source":                   "TestWrongSource",
	"Invalid sink":                   "TestInvalidSink",
	"Invalid JSON":                   "TestJSONValues",
	"Invalid number":                 "TestJSONValues",
	"Redirect to another port":       "TestRedirectToAnotherPort",
	"File is not there":              "TestFileIsNotThere",
	"File without a certificate":     "TestFileWithoutACertificate",
}

// Every diagnostic that the loader can produce is shown by a fixture, or by the
// test that is named for it.
func TestEverySummaryHasAFixture(t *testing.T) {
	shown := fixtureSummaries(t)
	known := sourceSummaries(t)
	if len(known) < 90 {
		t.Fatalf("only %d summaries were found in the source", len(known))
	}
	used := map[string]bool{}
	for _, s := range known {
		if _, ok := elsewhere[s]; ok {
			used[s] = true
			continue
		}
		re := regexp.MustCompile("^" + regexp.QuoteMeta(s) + "$")
		if strings.HasSuffix(s, " ") || strings.Contains(s, "%s") {
			re = regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(s), "%s", ".+") + ".*$")
		}
		if !slices.ContainsFunc(shown, re.MatchString) {
			t.Errorf("no fixture shows %q", s)
		}
	}
	tests := testNames(t)
	for s, test := range elsewhere {
		if !slices.Contains(tests, test) {
			t.Errorf("there is no %s, which should show %q", test, s)
		}
		if !used[s] {
			t.Errorf("%q is not in the source any more", s)
		}
	}
}

func fixtureSummaries(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, path := range fixturePaths(t) {
		for _, e := range readFixture(t, path).expected {
			out = append(out, e.summary)
		}
	}
	return out
}

// goFiles are this package's files, or those of its tests.
func goFiles(t *testing.T, tests bool) []*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") != tests {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), n, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func testNames(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range goFiles(t, true) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
				out = append(out, fn.Name.Name)
			}
		}
	}
	return out
}

// sourceSummaries lists the summaries in this package's source. Of one that is
// put together the constant beginning, with a blank at its end.
func sourceSummaries(t *testing.T) []string {
	t.Helper()
	files := goFiles(t, false)
	constants := map[string]string{}
	var found []string
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, n := range v.Names {
					if i < len(v.Values) {
						if text, ok := constantText(v.Values[i], nil); ok {
							constants[n.Name] = text
						}
					}
				}
			}
		}
	}
	add := func(e ast.Expr) {
		if s, ok := constantText(e, constants); ok && s != "" {
			found = append(found, s)
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.CallExpr:
				if id, ok := x.Fun.(*ast.Ident); ok {
					if i, ok := summaryArg[id.Name]; ok && i < len(x.Args) {
						add(x.Args[i])
					}
				}
			case *ast.AssignStmt:
				for i, left := range x.Lhs {
					if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "Summary" && len(x.Rhs) == len(x.Lhs) {
						add(x.Rhs[i])
					}
				}
			case *ast.KeyValueExpr:
				if id, ok := x.Key.(*ast.Ident); ok && id.Name == "Summary" {
					add(x.Value)
				}
			}
			return true
		})
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// constantText is the constant part of an expression that makes a string.
func constantText(e ast.Expr, constants map[string]string) (string, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(x.Value)
		return s, err == nil
	case *ast.Ident:
		s, ok := constants[x.Name]
		return s, ok
	case *ast.BinaryExpr:
		left, ok := constantText(x.X, constants)
		return strings.TrimRight(left, " ") + " ", ok
	case *ast.CallExpr: // fmt.Sprintf
		if len(x.Args) > 0 {
			return constantText(x.Args[0], constants)
		}
	}
	return "", false
}

func fixturePaths(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"testdata/diagnostics/*.hcl", "testdata/diagnostics/*.txtar"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, paths...)
	}
	if len(out) < 10 {
		t.Fatalf("only %d fixtures were found", len(out))
	}
	return out
}

// The documentation lists every diagnostic, and none that there is not.
func TestEverySummaryIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/language/diagnostics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.HasPrefix(cells[1], " ---") || cells[1] == " diagnostic " {
			continue
		}
		for s := range strings.SplitSeq(cells[1], ",") {
			documented[strings.TrimSpace(s)] = true
		}
	}
	for _, s := range sourceSummaries(t) {
		if s = strings.ReplaceAll(s, "%s", ""); strings.HasSuffix(s, " ") {
			s += "…"
		}
		if _, ok := documented[s]; !ok {
			t.Errorf("docs/language/diagnostics.md does not have %q", s)
		}
		documented[s] = false
	}
	for s, alone := range documented {
		if alone {
			t.Errorf("docs/language/diagnostics.md has %q, which is not in the source", s)
		}
	}
}
