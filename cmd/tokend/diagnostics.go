package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"tokend/pkg/spec"
)

// printDiagnostics prints what is wrong with a configuration: the summary, the
// place with its source line and a caret, what to do. This is the only place
// where diagnostics become text for people. A line that may hold a secret in
// clear is named by its number and not shown. In a log of JSON each is a record.
func (g *globals) printDiagnostics(diags spec.Diagnostics) {
	if g.records != nil {
		g.logDiagnostics(g.records, diags)
		return
	}
	paint := g.painterFor(g.err)
	for _, d := range diags {
		word, colour := "error", red
		if d.Severity == hcl.DiagWarning {
			word, colour = "warning", yellow
		}
		fmt.Fprintf(g.err, "%s: %s\n", paint(colour, word), clean(d.Summary))
		if d.Subject != nil {
			g.printPlace(d)
		}
		if d.Detail != "" {
			for line := range strings.SplitSeq(strings.TrimSpace(d.Detail), "\n") {
				fmt.Fprintf(g.err, "  %s\n", clean(line))
			}
		}
		if h := spec.Hint(d); h != "" {
			fmt.Fprintf(g.err, "hint: %s\n", h)
		}
		fmt.Fprintln(g.err)
	}
}

// logDiagnostics makes a record of each.
func (g *globals) logDiagnostics(log *slog.Logger, diags spec.Diagnostics) {
	for _, d := range diags {
		said := []any{"summary", d.Summary}
		if r := d.Subject; r != nil {
			said = append(said, "file", g.relative(r.Filename), "line", r.Start.Line, "column", r.Start.Column)
		}
		if d.Detail != "" {
			said = append(said, "detail", strings.TrimSpace(d.Detail))
		}
		if h := spec.Hint(d); h != "" {
			said = append(said, "hint", h)
		}
		if d.Severity == hcl.DiagWarning {
			log.Warn("a warning of the configuration", said...)
			continue
		}
		log.Error("a mistake in the configuration", said...)
	}
}

func (g *globals) printPlace(d *hcl.Diagnostic) {
	r := d.Subject
	fmt.Fprintf(g.err, "  on %s line %d, column %d\n", clean(g.relative(r.Filename)), r.Start.Line, r.Start.Column)
	line, ok := g.sourceLine(d)
	if !ok {
		return
	}
	number := fmt.Sprintf("%4d", r.Start.Line)
	fmt.Fprintf(g.err, "  %s | %s\n", number, clean(line))
	fmt.Fprintf(g.err, "  %s | %s%s\n", strings.Repeat(" ", len(number)), strings.Repeat(" ", r.Start.Column-1), strings.Repeat("^", caretWidth(r, line)))
}

// caretWidth is how many columns of the first line a range covers.
func caretWidth(r *hcl.Range, line string) int {
	width := utf8.RuneCountInString(line) - r.Start.Column + 1
	if r.End.Line == r.Start.Line {
		width = min(width, r.End.Column-r.Start.Column)
	}
	return max(width, 1)
}

func (g *globals) relative(file string) string {
	if dir, err := filepath.Abs(g.config); err == nil {
		if rel, err := filepath.Rel(dir, file); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return file
}

// sourceLine is the line that a diagnostic begins on.
func (g *globals) sourceLine(d *hcl.Diagnostic) (string, bool) {
	if !spec.ShowSource(d) {
		return "", false
	}
	lines := bytes.Split(g.sourceOf(d), []byte("\n"))
	if n := d.Subject.Start.Line; n >= 1 && n <= len(lines) {
		return strings.TrimRight(string(lines[n-1]), "\r"), true
	}
	return "", false
}

// sourceOf is the file that a diagnostic is about, or nothing.
func (g *globals) sourceOf(d *hcl.Diagnostic) []byte {
	file := d.Subject.Filename
	if file == inputName && g.input != nil {
		return g.input
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(g.config, file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return spec.WithoutMark(b)
}

// diagnosticLines are diagnostics in a line each, for status.
func (g *globals) diagnosticLines(diags spec.Diagnostics) []string {
	var lines []string
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		place := ""
		if d.Subject != nil {
			place = fmt.Sprintf("%s:%d: ", clean(g.relative(d.Subject.Filename)), d.Subject.Start.Line)
		}
		said := ""
		if isForbidden(d) || d.Subject == nil && d.Summary == spec.UnreadableVarFile {
			place += clean(d.Detail) + " "
		} else if first, _, _ := strings.Cut(strings.TrimSpace(d.Detail), "\n"); d.Subject != nil && first != "" {
			said = ": " + clean(first) // which argument it is about, say
		}
		lines = append(lines, place+clean(d.Summary)+said)
	}
	return lines
}

func errorCount(diags spec.Diagnostics) int {
	n := 0
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			n++
		}
	}
	return n
}

// validation is the result of `validate --json`, in Terraform's shape.
type validation struct {
	FormatVersion string           `json:"format_version"`
	Valid         bool             `json:"valid"`
	ErrorCount    int              `json:"error_count"`
	WarningCount  int              `json:"warning_count"`
	Diagnostics   []jsonDiagnostic `json:"diagnostics"`
}

type jsonDiagnostic struct {
	Severity string       `json:"severity"`
	Summary  string       `json:"summary"`
	Detail   string       `json:"detail"`
	Hint     string       `json:"hint,omitempty"`
	Range    *jsonRange   `json:"range,omitempty"`
	Snippet  *jsonSnippet `json:"snippet,omitempty"`
}

type jsonRange struct {
	Filename string  `json:"filename"`
	Start    jsonPos `json:"start"`
	End      jsonPos `json:"end"`
}

type jsonPos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// jsonSnippet is the source around a diagnostic. Offsets count bytes of Code.
type jsonSnippet struct {
	Context              *string  `json:"context"`
	Code                 string   `json:"code"`
	StartLine            int      `json:"start_line"`
	HighlightStartOffset int      `json:"highlight_start_offset"`
	HighlightEndOffset   int      `json:"highlight_end_offset"`
	Values               []string `json:"values"` // always empty: values of expressions are not shown
}

func (g *globals) validation(diags spec.Diagnostics) validation {
	v := validation{FormatVersion: "1.0", Valid: !diags.HasErrors(), ErrorCount: errorCount(diags), Diagnostics: []jsonDiagnostic{}}
	v.WarningCount = len(diags) - v.ErrorCount
	for _, d := range diags {
		j := jsonDiagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail, Hint: spec.Hint(d)}
		if d.Severity == hcl.DiagWarning {
			j.Severity = "warning"
		}
		if r := d.Subject; r != nil {
			j.Range = &jsonRange{Filename: g.relative(r.Filename), Start: jsonPos(r.Start), End: jsonPos(r.End)}
			if spec.ShowSource(d) {
				j.Snippet = snippetOf(d, g.sourceOf(d))
			}
		}
		v.Diagnostics = append(v.Diagnostics, j)
	}
	return v
}

// snippetOf cuts the whole lines that a diagnostic touches out of its file, or
// returns nil where the file is not the one that was read.
func snippetOf(d *hcl.Diagnostic, src []byte) *jsonSnippet {
	mark := *d.Subject
	if mark.End.Byte <= mark.Start.Byte {
		mark.End.Byte = mark.Start.Byte + 1 // an empty range is shown at something
	}
	shown := mark
	if d.Context != nil {
		shown = hcl.RangeOver(shown, *d.Context)
	}
	if len(src) == 0 || mark.Start.Byte > len(src) || shown.Start.Byte < 0 {
		return nil
	}
	from := bytes.LastIndexByte(src[:min(shown.Start.Byte, len(src))], '\n') + 1
	to := min(max(shown.End.Byte, shown.Start.Byte), len(src))
	if to > from && src[to-1] == '\n' {
		to-- // a range that ends after a newline does not touch the next line
	}
	if i := bytes.IndexByte(src[to:], '\n'); i >= 0 {
		to += i
	} else {
		to = len(src)
	}
	code := strings.TrimSuffix(string(src[from:to]), "\r")
	s := &jsonSnippet{
		Code: code, StartLine: d.Subject.Start.Line - bytes.Count(src[from:min(mark.Start.Byte, len(src))], []byte("\n")), Values: []string{},
		HighlightStartOffset: min(mark.Start.Byte-from, len(code)), HighlightEndOffset: min(mark.End.Byte-from, len(code)),
	}
	if header := spec.Enclosing(src, d.Subject.Filename, mark.Start.Byte); header != "" {
		s.Context = &header
	}
	return s
}
