package spec

import (
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// NoSource is the Extra of a diagnostic whose source lines must not be shown,
// because a literal secret may stand there.
type NoSource struct{ Hint string }

// Hinted is the Extra of a diagnostic that says the next move in a sentence of
// its own.
type Hinted struct{ Hint string }

// absent is the Extra, until [finish], of a diagnostic that says that something
// is not declared. Where a file does not parse, what it declares may be in the
// part that was lost.
type absent struct {
	name string // of what is missed; empty: an argument of this very block
	hint string
}

// absence marks d as saying that name is not declared.
func absence(d *hcl.Diagnostic, name string) *hcl.Diagnostic {
	d.Extra = absent{name: name, hint: Hint(d)}
	return d
}

// ShowSource reports whether d's source lines may be shown. Diagnostics of this
// package never carry an Expression or an EvalContext, from which hcl's own
// text writer would print values.
func ShowSource(d *hcl.Diagnostic) bool {
	_, hidden := d.Extra.(NoSource)
	return !hidden && d.Subject != nil
}

// Hint returns what to do next about d, or "".
func Hint(d *hcl.Diagnostic) string {
	switch x := d.Extra.(type) {
	case NoSource:
		return x.Hint
	case Hinted:
		return x.Hint
	case absent:
		return x.hint
	}
	return ""
}

// problem makes an error diagnostic.
func problem(r hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: r.Ptr()}
}

// hinted adds the next move to d.
func hinted(d *hcl.Diagnostic, hint string, args ...any) *hcl.Diagnostic {
	if len(args) > 0 {
		hint = fmt.Sprintf(hint, args...)
	}
	if _, hidden := d.Extra.(NoSource); hidden {
		d.Extra = NoSource{Hint: hint}
	} else if hint != "" {
		d.Extra = Hinted{Hint: hint}
	}
	return d
}

// hideSource forbids showing d's source lines.
func hideSource(d *hcl.Diagnostic) *hcl.Diagnostic {
	d.Extra = NoSource{Hint: Hint(d)}
	return d
}

func fileError(fileName, summary, detail string) *hcl.Diagnostic {
	return problem(hcl.Range{Filename: fileName, Start: hcl.InitialPos, End: hcl.InitialPos}, summary, detail)
}

// tidy takes from diagnostics what could reveal a value when they are printed.
func tidy(diags Diagnostics) Diagnostics {
	for i, d := range diags {
		if d.Expression != nil || d.EvalContext != nil {
			c := *d
			c.Expression, c.EvalContext = nil, nil
			diags[i] = &c
			d = &c
		}
		switch d.Extra.(type) {
		case NoSource, Hinted, absent, followed, nil:
		default:
			c := *d
			c.Extra = nil
			diags[i] = &c
		}
	}
	return diags
}

// syntaxDiags takes the parser's diagnostics. The parser knows no schema, so
// whatever looks like the assignment of a secret hides its lines.
func syntaxDiags(s *source, diags hcl.Diagnostics) Diagnostics {
	for _, d := range tidy(diags) {
		if d.Subject == nil {
			continue
		}
		switch d.Summary {
		case "Invalid multi-line string":
			d.Detail += " Most often a quote, or the } of a ${ … }, is missing in this line."
		case "Invalid character":
			d.Detail += " Text stands in double quotes."
		}
		shown := *d.Subject
		if d.Context != nil {
			shown = hcl.RangeOver(shown, *d.Context)
		}
		if looksSecret(linesAt(s.text, shown)) {
			hideSource(d)
		}
	}
	return diags
}

// linesAt returns the whole lines that r touches.
func linesAt(text string, r hcl.Range) string {
	from, to := min(max(r.Start.Byte, 0), len(text)), min(max(r.End.Byte, r.Start.Byte, 0), len(text))
	from = strings.LastIndexByte(text[:from], '\n') + 1
	if i := strings.IndexByte(text[to:], '\n'); i >= 0 {
		return text[from : to+i]
	}
	return text[from:]
}

// looksSecret reports whether text may hold a literal secret: quotes, a
// heredoc, or a name that secrets have.
func looksSecret(text string) bool {
	low := strings.ToLower(text)
	for _, word := range []string{"pass", "secret", "token", "key", "credential", "auth", "pin", "<<"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	return false
}

// finish puts diagnostics in the order of the text, drops repetitions and what
// only follows from a file that does not parse, and hides the lines of those
// that touch a line where a literal secret stands.
func finish(diags Diagnostics, broken []*source) Diagnostics {
	diags = withoutFollowers(tidy(diags), broken)
	type lines struct {
		file     string
		from, to int
	}
	var hidden []lines
	for _, d := range diags {
		if _, no := d.Extra.(NoSource); no && d.Subject != nil {
			hidden = append(hidden, lines{d.Subject.Filename, d.Subject.Start.Line, d.Subject.End.Line})
		}
	}
	for _, d := range diags {
		if d.Subject == nil || len(hidden) == 0 {
			continue
		}
		shown := *d.Subject
		if d.Context != nil {
			shown = hcl.RangeOver(shown, *d.Context)
		}
		for _, h := range hidden {
			if h.file == shown.Filename && shown.Start.Line <= h.to && h.from <= shown.End.Line {
				hideSource(d)
				break
			}
		}
	}
	sort.SliceStable(diags, func(i, j int) bool { return before(diags[i], diags[j]) })
	out := diags[:0]
	seen := map[string]bool{}
	for _, d := range diags {
		key := d.Summary
		if d.Subject != nil {
			key = fmt.Sprintf("%s:%d:%d:%s", d.Subject.Filename, d.Subject.Start.Byte, d.Subject.End.Byte, d.Summary)
		} else {
			key += d.Detail
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, d)
		}
	}
	return out
}

// withoutFollowers drops diagnostics that follow from others, and those about what may stand in the lost part of a
// file that does not parse.
func withoutFollowers(diags Diagnostics, broken []*source) Diagnostics {
	out := diags[:0]
	for _, d := range diags {
		if _, follows := d.Extra.(followed); follows {
			continue
		}
		a, ok := d.Extra.(absent)
		if !ok {
			out = append(out, d)
			continue
		}
		lost := false
		for _, s := range broken {
			if a.name == "" {
				lost = lost || d.Subject != nil && d.Subject.Filename == s.name
			} else {
				lost = lost || mentions(s.text, a.name)
			}
		}
		if lost {
			continue
		}
		d.Extra = nil
		if a.hint != "" {
			d.Extra = Hinted{Hint: a.hint}
		}
		out = append(out, d)
	}
	return out
}

// mentions reports whether text may declare name: as a label, or as a local.
func mentions(text, name string) bool {
	if strings.Contains(text, `"`+name+`"`) {
		return true
	}
	for rest := text; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		begins := i == 0 || strings.IndexByte(" \t\n{", rest[i-1]) >= 0
		rest = rest[i+len(name):]
		if after := strings.TrimLeft(rest, " \t"); begins && strings.HasPrefix(after, "=") {
			return true
		}
	}
}

// firstOfRun drops syntax errors that begin where the one before them ended:
// an open string makes several.
func firstOfRun(diags hcl.Diagnostics) hcl.Diagnostics {
	out := diags[:0]
	var last *hcl.Range
	for _, d := range diags {
		if last != nil && d.Subject != nil && d.Subject.Filename == last.Filename && d.Subject.Start.Line <= last.End.Line {
			r := hcl.RangeOver(*last, *d.Subject)
			last = &r
			continue
		}
		last = d.Subject
		out = append(out, d)
	}
	return out
}

func before(a, b *hcl.Diagnostic) bool {
	if a.Subject == nil || b.Subject == nil {
		return a.Subject == nil && b.Subject != nil
	}
	if a.Subject.Filename != b.Subject.Filename {
		return a.Subject.Filename < b.Subject.Filename
	}
	return a.Subject.Start.Byte < b.Subject.Start.Byte
}
