package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// EnvPrefix is what the names of environment variables begin with that give
// variables their values.
const EnvPrefix = "TOKEND_VAR_"

// given is a value from outside: raw text, or a value that a file gave.
type given struct {
	text  *string
	value cty.Value
	from  string // for messages: "--var", "TOKEND_VAR_x", the file's name
	rng   *hcl.Range
}

// parseGiven reads raw text by the variable's type, as Terraform does: a
// primitive is the text itself, everything else is an expression.
func parseGiven(text string, v *variable) (cty.Value, error) {
	if !v.typed || v.typ.IsPrimitiveType() {
		return cty.StringVal(text), nil
	}
	if d := checkNesting([]byte(text), "", false); d != nil {
		return cty.NilVal, fmt.Errorf("it is nested too deep")
	}
	e, diags := hclsyntax.ParseExpression([]byte(text), "", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("it cannot be read as an expression (strings need their quotes inside a list or map)")
	}
	val, diags := safeValue(e, nil)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("it must be a constant, without references and functions")
	}
	return val, nil
}

// givenValues collects the values from outside, the last one winning.
func (l *loader) givenValues() map[string]given {
	out := map[string]given{}
	for _, e := range l.o.Environ {
		n, text, ok := strings.Cut(e, "=")
		if n, isVar := strings.CutPrefix(n, EnvPrefix); ok && isVar {
			if _, declared := l.c.vars[n]; declared {
				out[n] = given{text: &text, from: EnvPrefix + n}
			}
		}
	}
	for _, file := range l.o.VarFiles {
		l.varFile(file, out)
	}
	for _, n := range sortedKeys(l.o.Vars) {
		text := l.o.Vars[n]
		if _, declared := l.c.vars[n]; !declared {
			l.report(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Value for an undeclared variable",
				Detail: fmt.Sprintf("--var gives a value to %q, but no variable block declares it.%s", n, didYouMean(n, sortedKeys(l.c.vars)))})
			continue
		}
		out[n] = given{text: &text, from: "--var"}
	}
	return out
}

// UnreadableVarFile is the summary of a mistake that stands in no file of the directory:
// which one cannot be read, and why, is in its detail.
const UnreadableVarFile = "Unreadable variable file"

// varFile reads one file of values. Its lines are never shown: values of
// sensitive variables stand there in clear.
func (l *loader) varFile(file string, out map[string]given) {
	content, ok := l.fixed(file)
	once := false
	if !ok {
		content, once = l.o.VarContents[file]
	}
	if !ok && !once {
		var err error
		if content, err = os.ReadFile(file); err != nil {
			hint := "mend --var-file, or take it away"
			if errors.Is(err, fs.ErrPermission) {
				hint = readHint(err)
			}
			l.unread = true
			l.report(hinted(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: UnreadableVarFile,
				Detail: fmt.Sprintf("Reading the file of --var-file %s: %s.", file, osReason(err))}, hint))
			return
		}
	}
	if abs, err := filepath.Abs(file); err == nil {
		if !once { // there is nothing to look for changes
			l.reads.add(abs)
		}
		l.reads.keep(abs, content)
	}
	if len(content) > MaxFileSize {
		l.unread = true
		l.report(hideSource(fileError(file, "File too large", "A variable file may have at most 4 MiB.")))
		return
	}
	isJSON := strings.HasSuffix(file, ".json")
	d := checkNesting(content, file, isJSON)
	if d == nil && isJSON {
		content = trimJSON(content)
		d = brokenJSON(content, file)
	}
	if d != nil {
		l.unread = true
		l.report(hideSource(d))
		return
	}
	var f *hcl.File
	var diags hcl.Diagnostics
	if isJSON {
		f, diags = hcljson.Parse(content, file)
	} else {
		f, diags = hclsyntax.ParseConfig(content, file, hcl.InitialPos)
	}
	for _, d := range tidy(diags) {
		l.report(hideSource(d))
	}
	if f == nil || f.Body == nil || diags.HasErrors() {
		l.unread = true
		return
	}
	attrs, diags := f.Body.JustAttributes()
	l.unread = l.unread || diags.HasErrors()
	for _, d := range tidy(diags) {
		l.report(hideSource(d))
	}
	from := filepath.Base(file)
	if once {
		from = file // the name alone of a shell's <(…) is a number
	}
	names := make([]string, 0, len(attrs))
	for n := range attrs {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		a := attrs[n]
		rng := a.Range
		if _, declared := l.c.vars[n]; !declared {
			d := hideSource(problem(a.NameRange, "Value for an undeclared variable", "No variable block declares %q.%s", n, didYouMean(n, sortedKeys(l.c.vars))))
			d.Severity = hcl.DiagWarning
			l.report(d)
			continue
		}
		val, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			l.report(hideSource(problem(rng, "Invalid value of variable", "The value of var.%s must be a constant, without references and functions.", n)))
			l.c.vars[n].broken = true
			continue
		}
		out[n] = given{value: val, from: from, rng: &rng}
	}
}
