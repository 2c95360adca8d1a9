package spec

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// variable is one declared variable with its value.
type variable struct {
	name      string
	form      *form
	typ       cty.Type
	typed     bool // the block says a type
	defaults  *typeexpr.Defaults
	sensitive bool
	nullable  bool
	fallback  *argument // its default
	value     cty.Value // marked where sensitive
	fromText  bool      // the value is the default that stands in the configuration
	broken    bool
}

// loadVariables declares variables and gives them their values.
func (l *loader) loadVariables() {
	for _, at := range l.variables {
		v := l.declareVariable(at)
		if first, dup := l.c.vars[v.name]; dup {
			l.report(duplicate("variable "+v.name, first.form.header(), v.form.header()))
			continue
		}
		l.c.vars[v.name] = v
	}
	values := l.givenValues()
	object := map[string]cty.Value{}
	for _, n := range sortedKeys(l.c.vars) {
		v := l.c.vars[n]
		g, ok := values[n]
		if ok {
			l.setVariable(v, g)
		} else {
			l.defaultVariable(v)
		}
		object[n] = v.value
	}
	l.c.roots["var"] = cty.ObjectVal(object)
	for _, n := range sortedKeys(l.c.vars) {
		l.validate(l.c.vars[n])
	}
}

// declareVariable reads a variable block but for its value.
func (l *loader) declareVariable(at place) *variable {
	f, diags := newForm(at.src, at.row)
	v := &variable{name: f.labels[0], form: f, typ: cty.DynamicPseudoType, nullable: true, value: cty.DynamicVal}
	for i := range f.args {
		a := &f.args[i]
		switch a.name {
		case "type":
			l.variableType(v, a)
		case "default":
			v.fallback = a
		case "sensitive":
			v.sensitive = l.constantBool(a)
		case "nullable":
			v.nullable = l.constantBool(a)
		case "description":
			l.constantString(a)
		default:
			sc := variableSchema()
			l.report(unknownArgument(a, "variable", sc.names()))
		}
	}
	for _, b := range f.blocks {
		if b.typ != "validation" {
			l.report(unknownNested(b, "variable", []string{"validation"}))
		}
	}
	if v.sensitive {
		for _, d := range diags {
			hideSource(d)
		}
	}
	l.report(diags...)
	return v
}

func (l *loader) variableType(v *variable, a *argument) {
	if a.expr == nil {
		return
	}
	e := unwrap(a.expr)
	if s, ok := literal(e); ok && s.Type() == cty.String && !s.IsNull() {
		// JSON has no other way of writing a type than in a string.
		parsed, diags := hclsyntax.ParseExpression([]byte(s.AsString()), a.rng().Filename, a.rng().Start)
		if diags.HasErrors() {
			l.report(problem(a.rng(), "Invalid type", "A type is string, number, bool, any, list(…), set(…), map(…), object({…}) or tuple([…])."))
			return
		}
		e = parsed
	}
	t, defaults, diags := typeexpr.TypeConstraintWithDefaults(e)
	if diags.HasErrors() {
		for _, d := range tidy(diags) {
			d.Summary = "Invalid type"
			d.Detail += suggestType(e, d)
			l.report(d)
		}
		return
	}
	v.typ, v.defaults, v.typed = t, defaults, true
}

// suggestType is which type a keyword was probably meant to be, or which there
// are.
func suggestType(e hclsyntax.Expression, d *hcl.Diagnostic) string {
	word := ""
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		switch x := n.(type) {
		case *hclsyntax.ScopeTraversalExpr:
			if d.Subject != nil && x.SrcRange == *d.Subject {
				word = x.Traversal.RootName()
			}
		case *hclsyntax.FunctionCallExpr:
			if d.Subject != nil && (x.NameRange == *d.Subject || x.Range() == *d.Subject) {
				word = x.Name
			}
		}
		return nil
	})
	if word == "" {
		return ""
	}
	return didYouMean(word, []string{"string", "number", "bool", "any", "list", "set", "map", "object", "tuple", "optional"})
}

func (l *loader) constantBool(a *argument) bool {
	v, ok := cty.NilVal, false
	if a.expr != nil {
		v, ok = literal(a.expr)
	}
	if !ok || v.IsNull() || v.Type() != cty.Bool {
		l.report(problem(a.rng(), "Constant required", "%s must be true or false, written as such.", a.name))
		return false
	}
	return v.True()
}

func (l *loader) constantString(a *argument) string {
	v, ok := cty.NilVal, false
	if a.expr != nil {
		v, ok = literal(a.expr)
	}
	if !ok || v.IsNull() || v.Type() != cty.String {
		l.report(problem(a.rng(), "Constant required", "%s must be a string without interpolation.", a.name))
		return ""
	}
	return v.AsString()
}

// setVariable takes a value from outside.
func (l *loader) setVariable(v *variable, g given) {
	val, err := g.value, error(nil)
	if g.text != nil {
		val, err = parseGiven(*g.text, v)
	}
	if err == nil {
		val, err = v.convert(val)
	}
	if err == nil && val.IsNull() && !v.nullable {
		if v.fallback != nil {
			l.defaultVariable(v)
			return
		}
		err = fmt.Errorf("null is not allowed")
	}
	if err != nil {
		at := v.form.header()
		if g.rng != nil {
			at = *g.rng
		}
		l.report(hideSource(problem(at, "Invalid value of variable", "The value of var.%s that %s gives does not fit its type %s: %s.",
			v.name, g.from, typeexpr.TypeString(v.typ), err)))
		v.broken = true
		return
	}
	v.value = val
	if v.sensitive {
		v.value = sourced(val).Mark(variableMark{})
	}
}

func (v *variable) convert(val cty.Value) (cty.Value, error) {
	if v.defaults != nil {
		val = v.defaults.Apply(val)
	}
	return convert.Convert(val, v.typ)
}

// defaultVariable takes the default that stands in the block.
func (l *loader) defaultVariable(v *variable) {
	a := v.fallback
	if a == nil && l.unread {
		v.broken = true // it may be in a file that could not be read: that is said
		return
	}
	if a == nil {
		l.report(absence(hinted(problem(v.form.header(), "Variable without a value", "var.%s has no default, and nothing gives it a value.", v.name),
			"give it with --var %s=…, --var-file FILE or the environment variable %s%s", v.name, EnvPrefix, v.name), ""))
		v.broken = true
		return
	}
	if a.expr == nil {
		v.broken = true
		return
	}
	hide := func(d *hcl.Diagnostic) *hcl.Diagnostic {
		if v.sensitive {
			hideSource(d)
		}
		return d
	}
	if len(a.refs) > 0 {
		v.broken = true
		l.report(hide(problem(a.rng(), "Reference in a default", "The default of a variable must be a constant. Use locals for what depends on something else.")))
		return
	}
	val, diags := safeValue(a.expr, &hcl.EvalContext{Functions: l.c.fns})
	if diags.HasErrors() {
		v.broken = true
		for _, d := range withoutValues(diags, v.sensitive) {
			l.report(hide(d))
		}
		return
	}
	val, err := v.convert(val)
	if err != nil {
		v.broken = true
		l.report(hide(problem(a.rng(), "Invalid default", "The default does not fit the variable's type %s: %s.", typeexpr.TypeString(v.typ), err)))
		return
	}
	if val.IsNull() && !v.nullable {
		v.broken = true
		l.report(hide(problem(a.rng(), "Invalid default", "The variable says nullable = false, so its default cannot be null.")))
		return
	}
	v.value, v.fromText = val, true
	if v.sensitive {
		v.value = Sensitive(val).Mark(variableMark{})
	}
}

// validate evaluates a variable's validation blocks.
func (l *loader) validate(v *variable) {
	for _, b := range v.form.blocks {
		if b.typ != "validation" {
			continue
		}
		for _, inner := range b.blocks {
			l.report(unknownNested(inner, "validation", nil))
		}
		cond, msg := b.arg("condition"), b.arg("error_message")
		sc := validationSchema()
		for i := range b.args {
			if sc.attr(b.args[i].name) == nil {
				l.report(unknownArgument(&b.args[i], "validation", sc.argNames()))
			}
		}
		if cond == nil || msg == nil {
			l.report(problem(b.header(), "Incomplete validation", "A validation block needs a condition and an error_message."))
			continue
		}
		if cond.expr == nil || msg.expr == nil || v.broken {
			continue
		}
		l.validateOne(v, cond, msg)
	}
}

func (l *loader) validateOne(v *variable, cond, msg *argument) {
	if !l.onlyVariables(cond) || !l.onlyVariables(msg) || l.namesBroken(cond) {
		return
	}
	ok, diags := l.ev.eval(cond.expr, cond.refs, nil)
	if diags.HasErrors() {
		l.report(diags...)
		return
	}
	ok, _ = ok.UnmarkDeep()
	b, err := convert.Convert(ok, cty.Bool)
	if err != nil || b.IsNull() || !b.IsKnown() {
		l.report(problem(cond.rng(), "Invalid condition", "The condition of a validation must give true or false."))
		return
	}
	if b.True() {
		return
	}
	text := "The value is not allowed."
	m, diags := l.ev.eval(msg.expr, msg.refs, nil)
	if !diags.HasErrors() && !IsSensitive(m) {
		if s, err := convert.Convert(publish(m), cty.String); err == nil && !s.IsNull() && s.IsKnown() {
			text = s.AsString()
		}
	}
	d := problem(v.form.header(), "Invalid value of variable", "var.%s: %s", v.name, text)
	l.report(hinted(d, "the rule stands at %s:%d", cond.rng().Filename, cond.rng().Start.Line))
}

// namesBroken reports whether an argument names a variable without a value.
func (l *loader) namesBroken(a *argument) bool {
	for i := range a.refs {
		if x := l.c.vars[a.refs[i].attr(1)]; a.refs[i].root() == "var" && x != nil && x.broken {
			return true
		}
	}
	return false
}

// onlyVariables checks that a validation refers to variables only.
func (l *loader) onlyVariables(a *argument) bool {
	for i := range a.refs {
		r := &a.refs[i]
		if r.root() != "var" && r.root() != "path" && r.root() != "host" {
			l.report(problem(r.rng, "Invalid reference in a validation", "A validation may refer to variables only."))
			return false
		}
	}
	return l.checkRefs(a, nil)
}
