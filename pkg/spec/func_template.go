package spec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// templateError is a mistake in a template's file, with its place there. That
// place, and what is said of the template's own text, may be shown even where
// the values that are put in are sensitive: the text of a template is
// configuration, and what is secret comes in by values.
type templateError struct {
	arg     int    // of templatefile: 0 for its path, 1 for the values
	place   string // file:line,column; empty: text says it
	summary string
	text    string // what is wrong; it may quote a value unless plain
	plain   bool
}

// Error gives the place and what is wrong.
func (e *templateError) Error() string {
	switch {
	case e.place == "":
		return e.text
	case e.summary == "":
		return e.place + ": " + e.text
	}
	return e.place + ": " + e.summary + "; " + e.text
}

// templateFailed is the summary of a mistake in a template.
const templateFailed = "Error in template"

// syntaxError is what does not parse of a template. It quotes no value, because
// none was put in.
func syntaxError(diags hcl.Diagnostics) error {
	err := firstError(diags)
	var t *templateError
	if errors.As(err, &t) {
		t.plain = true
	}
	return err
}

// firstError is a template's first mistake with its place.
func firstError(diags hcl.Diagnostics) error {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		e := &templateError{summary: d.Summary, text: strings.TrimRight(d.Detail, "."), plain: safeDetail(d)}
		var inner *templateError
		if call, ok := callError(d); ok && errors.As(call, &inner) {
			e.plain = inner.plain
		}
		if d.Subject != nil {
			e.place = fmt.Sprintf("%s:%d,%d", d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column)
			return e
		}
		return fmt.Errorf("%s; %s", d.Summary, d.Detail)
	}
	return diags
}

// shownError is err as it may be shown of a template with these arguments. A
// sensitive path takes the place with it; of sensitive values, what could quote
// one is left out.
func shownError(err error, args []cty.Value) error {
	var t *templateError
	if !errors.As(err, &t) || args[0].ContainsMarked() {
		return err // and the guard hides it where an argument is sensitive
	}
	out := *t
	if !t.plain && args[1].ContainsMarked() {
		out.text = "the reason is not shown, because a sensitive value takes part"
	}
	out.plain = true
	return &out
}

// describe makes d, which the evaluator has made of e, speak of the template,
// at the argument that it is about.
func (e *templateError) describe(d *hcl.Diagnostic) {
	d.Summary, d.Detail = templateFailed, sentence(e.Error())
	if !strings.HasSuffix(d.Detail, "?") {
		d.Detail += "."
	}
	if call, ok := d.Expression.(*hclsyntax.FunctionCallExpr); ok && e.arg < len(call.Args) {
		d.Subject = call.Args[e.arg].Range().Ptr()
	}
}
