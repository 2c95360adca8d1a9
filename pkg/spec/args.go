package spec

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// selectArgs says which arguments of a block are evaluated.
type selectArgs struct {
	names   []string // nil: all
	varying bool     // only those that differ between instances
	check   bool     // everything that a person can get wrong is a diagnostic
	// failed are arguments that were wrong in an earlier instance: once is enough.
	failed map[*argument]bool
}

func (s *selectArgs) wants(a *argument) bool {
	return (s.names == nil || contains(s.names, a.name)) && (!s.varying || a.varies() && !s.failed[a])
}

// checksRefs reports whether the argument's references are to be checked: for
// the first instance all, for the others those that can name something else.
func (s *selectArgs) checksRefs(a *argument) bool {
	return s.check && (!s.varying || a.namesVary())
}

// isMeta reports whether an argument says how many instances there are; those
// are evaluated by themselves.
func isMeta(n string) bool { return n == "for_each" || n == "count" }

// args evaluates the arguments of a block by its schema. Absent arguments are
// absent in the result; an argument that is null is too.
func (ev *evaluator) args(f *form, sc *Schema, in *instance, sel *selectArgs) (map[string]cty.Value, Diagnostics) {
	out := make(map[string]cty.Value, len(f.args))
	var diags Diagnostics
	for i := range f.args {
		a := &f.args[i]
		if isMeta(a.name) && in != nil && expands(in.kind) {
			continue
		}
		at := sc.attr(a.name)
		if at == nil {
			if sel.check && !sel.varying {
				diags = append(diags, ev.c.unknownArg(f, a, sc))
				diags = append(diags, ev.c.checkRefs(ev, a, in)...)
			}
			continue
		}
		if a.expr == nil || !sel.wants(a) {
			continue
		}
		v, more := ev.arg(a, at, in, sel)
		diags = append(diags, more...)
		if more.HasErrors() {
			if sel.failed != nil {
				sel.failed[a] = true
			}
		} else if !isNull(v) {
			out[a.name] = v
		}
	}
	if sel.check && !sel.varying {
		diags = append(diags, ev.missing(f, sc, out)...)
	}
	more := ev.nested(f, sc, in, sel, out)
	return out, append(diags, more...)
}

func isNull(v cty.Value) bool {
	u, _ := v.Unmark()
	return u.IsKnown() && u.IsNull()
}

func (s *Schema) attr(n string) *Attr {
	for i := range s.Attrs {
		if s.Attrs[i].Name == n {
			return &s.Attrs[i]
		}
	}
	return nil
}

func (s *Schema) nested(n string) *NestedBlock {
	for i := range s.Blocks {
		if s.Blocks[i].Name == n {
			return &s.Blocks[i]
		}
	}
	return nil
}

// names lists all that may stand in a block, for suggestions.
func (s *Schema) names() []string {
	var out []string
	for i := range s.Attrs {
		out = append(out, s.Attrs[i].Name)
	}
	for i := range s.Blocks {
		out = append(out, s.Blocks[i].Name)
	}
	return out
}

// missing reports required arguments that are not there.
func (ev *evaluator) missing(f *form, sc *Schema, out map[string]cty.Value) Diagnostics {
	var diags Diagnostics
	var absent []string
	for i := range sc.Attrs {
		at := &sc.Attrs[i]
		a := f.arg(at.Name)
		if a == nil && at.Ref == kindVault {
			v, d := ev.c.defaultVault(f, true)
			if d != nil {
				diags = append(diags, d)
			} else if v != "" {
				out[at.Name] = cty.StringVal(string(v))
			}
			continue
		}
		if !at.Required {
			continue
		}
		switch {
		case a == nil:
			absent = append(absent, at.Name+what(at.Doc))
		case a.expr != nil && isLiteralNull(a.expr):
			diags = append(diags, problem(a.rng(), "Missing argument", "%s needs the argument %s; it cannot be null.", f.title(), at.Name))
		}
	}
	switch len(absent) {
	case 0:
	case 1:
		diags = append(diags, absence(problem(f.missing(), "Missing argument", "%s needs the argument %s.", f.title(), absent[0]), ""))
	default:
		diags = append(diags, absence(problem(f.missing(), "Missing arguments", "%s needs the arguments %s.", f.title(), strings.Join(absent, ", ")), ""))
	}
	return diags
}

func isLiteralNull(e hclsyntax.Expression) bool {
	v, ok := literal(e)
	return ok && v.IsNull()
}

func what(doc string) string {
	if doc == "" {
		return ""
	}
	return " (" + doc + ")"
}

// arg evaluates one argument and brings it into the form that its schema says.
func (ev *evaluator) arg(a *argument, at *Attr, in *instance, sel *selectArgs) (cty.Value, Diagnostics) {
	if sel.checksRefs(a) {
		if diags := ev.c.checkRefs(ev, a, in); diags.HasErrors() {
			return cty.DynamicVal, diags
		}
	}
	if ev.c.onBroken(a.refs) {
		return cty.DynamicVal, Diagnostics{following(a)}
	}
	guessed := in != nil && in.set != nil && in.set.guess && a.varies()
	if at.Ref != "" {
		if guessed {
			return cty.DynamicVal, Diagnostics{following(a)}
		}
		return ev.reference(a, at, in)
	}
	v, diags := ev.eval(a.expr, a.refs, in)
	if diags.HasErrors() {
		if madeUp(in) && lacksInstance(diags[0]) {
			return cty.DynamicVal, Diagnostics{following(a)}
		}
		ev.adviseAttribute(a, in, diags)
		return cty.DynamicVal, diags
	}
	if at.Type != cty.DynamicPseudoType && at.Type != cty.NilType {
		converted, err := convert.Convert(v, at.Type)
		if err != nil {
			d := problem(a.rng(), "Wrong type", "%s must be %s%s.", a.name, typeWords(at.Type), whyNot(v, at.Type, err))
			if at.Sensitive {
				hideSource(d)
			}
			ev.adviseAttribute(a, in, Diagnostics{d})
			return cty.DynamicVal, append(diags, d)
		}
		v = converted
	}
	if sel.check && at.Sensitive {
		if d := ev.c.checkSecret(a, v); d != nil {
			return v, append(diags, d)
		}
	}
	if !at.Deferred {
		if guessed && !v.IsWhollyKnown() {
			return cty.DynamicVal, append(diags, following(a))
		}
		if d := ev.c.shown(a, v); d != nil {
			return cty.DynamicVal, append(diags, d)
		}
	}
	return ev.constrain(a, at, v, diags)
}

// whyNot says what a value is in place of what it must be. Errors of conversion
// speak of types and never of values.
func whyNot(v cty.Value, want cty.Type, err error) string {
	got, _ := v.Unmark()
	switch t := got.Type(); {
	case t == cty.DynamicPseudoType:
		return ""
	case want.IsPrimitiveType() && t.IsPrimitiveType():
		return "" // a string that is no number
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		if want.IsPrimitiveType() || want.IsMapType() || want.IsObjectType() {
			return ", not a list"
		}
	case t.IsObjectType() || t.IsMapType():
		if want.IsPrimitiveType() || want.IsListType() || want.IsSetType() {
			return ", not a map"
		}
	case t.IsPrimitiveType():
		return ", not " + typeWords(t)
	}
	return ": " + err.Error()
}

// shown checks a value that must be known, and may be shown.
func (c *Config) shown(a *argument, v cty.Value) *hcl.Diagnostic {
	if v.ContainsMarked() && IsSensitive(v) {
		at, which, shown := c.whatIsSensitive(a)
		d := problem(at, "Sensitive value where it is shown", "%s is shown in plans and logs, so that it cannot come from a sensitive value%s.", a.name, which)
		if !v.IsWhollyKnown() {
			return hinted(d, "say it here, or give it by a variable that is not sensitive")
		}
		return hinted(d, "use a variable that is not sensitive, or say %s where everyone may see it", shown)
	}
	if !v.IsWhollyKnown() {
		return problem(a.rng(), "Value is not known", "%s must be known when the directory is read; it depends on a secret or a token.", a.name)
	}
	return nil
}

// constrain applies the rules of one argument beyond its type.
func (ev *evaluator) constrain(a *argument, at *Attr, v cty.Value, diags Diagnostics) (cty.Value, Diagnostics) {
	if len(at.Oneof) == 0 && !at.Duration && !at.Path && !at.NotEmpty && !at.URL && !at.Content {
		return v, diags
	}
	u, marks := v.Unmark()
	if !u.IsKnown() || u.IsNull() {
		return v, diags
	}
	if at.NotEmpty && isEmptyValue(u) {
		return v, append(diags, problem(a.rng(), "Invalid value", "%s must not be empty.", a.name))
	}
	if u.Type() != cty.String {
		return v, diags
	}
	s := u.AsString()
	switch {
	case at.URL && !isHTTPURL(s):
		return v, append(diags, problem(a.rng(), "Invalid value", `%s must be a URL such as "https://HOST:PORT", without user, query and fragment.`, a.name))
	case len(at.Oneof) > 0 && !contains(at.Oneof, s):
		if len(marks) > 0 {
			return v, append(diags, problem(a.rng(), "Invalid value", "%s must be one of %s.", a.name, quoted(at.Oneof)))
		}
		return v, append(diags, problem(a.rng(), "Invalid value", "%s must be one of %s.%s", a.name, quoted(at.Oneof), suggest(s, at.Oneof)))
	case at.Duration:
		if d, err := time.ParseDuration(s); err != nil || d < 0 {
			return v, append(diags, problem(a.rng(), "Invalid duration", `%s must be a duration such as "30s", "5m" or "1h30m".`, a.name))
		}
	case at.Content && s != "":
		_, _ = ev.c.files.read(s) // with the directory, for all who evaluate it later; that it cannot be read is for them
	case at.Path:
		return cty.StringVal(ev.c.abs(s)).WithMarks(marks), diags
	}
	return v, diags
}

// isEmptyValue reports whether a value names nothing.
func isEmptyValue(v cty.Value) bool {
	switch t := v.Type(); {
	case t == cty.String:
		return v.AsString() == ""
	case t.IsListType() && v.LengthInt() > 0:
		first := v.Index(cty.Zero)
		return t.ElementType() == cty.String && first.IsKnown() && (first.IsNull() || first.AsString() == "")
	case t.IsCollectionType():
		return v.LengthInt() == 0
	}
	return false
}

// abs makes a path absolute: a relative one is relative to the directory.
func (c *Config) abs(path string) string {
	if path == "" {
		return ""
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.dir, path)
}
