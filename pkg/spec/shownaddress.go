package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// The scheme, host and port of an address stand in plans, logs, the status and
// the record of a grant that is bound to them, so that nothing sensitive may
// decide them. A path may be secret: it is not shown.

// shownSources are the inputs and settings, as "input.NAME" and "config.NAME",
// whose sensitive values decide which origin the address e has: while they are
// not known it is not known either. Their own text is not looked for in it, since
// a choice, a template, a function or a key tells of a value as well. begins tells
// what the text of one begins with before anything sensitive in it.
func (r *requestCheck) shownSources(e hcl.Expression, ctx *hcl.EvalContext, begins func(name string) string) []string {
	var hidden []string
	for _, root := range []string{"config", "input"} {
		of := ctx.Variables[root]
		if !of.IsKnown() || !of.Type().IsObjectType() {
			continue
		}
		reads := readsOf(root, e)
		for n := range of.Type().AttributeTypes() {
			if (reads[n] || reads[""]) && IsSensitive(of.GetAttr(n)) {
				hidden = append(hidden, root+"."+n)
			}
		}
	}
	conceal := func(n string, v cty.Value) cty.Value { return concealed(v, begins(n)) }
	if len(hidden) == 0 || originTold(e, ctx, hidden, conceal) || !originTold(e, ctx, hidden, revealed) {
		return nil // what is not known of it comes from elsewhere
	}
	slices.Sort(hidden)
	alone := slices.DeleteFunc(slices.Clone(hidden), func(n string) bool { return originTold(e, ctx, []string{n}, conceal) })
	if len(alone) == 0 {
		return hidden
	}
	return alone
}

// originTold reports whether the origin of an address is known where as is said of
// what is named. One that cannot be made is not made of anything.
func originTold(e hcl.Expression, ctx *hcl.EvalContext, names []string, as func(string, cty.Value) cty.Value) bool {
	child := &hcl.EvalContext{Functions: ctx.Functions, Variables: make(map[string]cty.Value, len(ctx.Variables))}
	for root, v := range ctx.Variables {
		if v.IsKnown() && v.Type().IsObjectType() && (root == "config" || root == "input") {
			m := v.AsValueMap()
			for n := range m {
				if name := root + "." + n; slices.Contains(names, name) {
					m[n] = as(name, m[n])
				}
			}
			v = object(m)
		}
		child.Variables[root] = v
	}
	v, diags := safeValue(e, child)
	if diags.HasErrors() {
		return true
	}
	if v, _ = v.Unmark(); v.IsKnown() {
		return true
	}
	_, ok := knownAddress(v)
	return ok
}

// concealed takes what is sensitive out of a value. Of an address that begins
// with a whole origin before anything sensitive, the rest goes alone.
func concealed(v cty.Value, begins string) cty.Value {
	if u, _ := v.Unmark(); begins == "" {
		begins = prefixOf(u)
	}
	if _, rest, ok := strings.Cut(begins, "://"); ok && strings.Contains(rest, "/") && v.Type() == cty.String {
		return cty.StringVal(begins + "x")
	}
	return eachSensitive(v, func(u cty.Value) cty.Value { return cty.UnknownVal(u.Type()) })
}

// revealed puts something in the place of what is sensitive and not known.
func revealed(_ string, v cty.Value) cty.Value {
	return eachSensitive(v, func(u cty.Value) cty.Value {
		switch t := u.Type(); {
		case u.IsKnown():
			return u
		case t == cty.String:
			return cty.StringVal("x")
		case t == cty.Number:
			return cty.NumberIntVal(1)
		case t == cty.Bool:
			return cty.True
		}
		return u
	})
}

// publicBeginning is what the text of an expression begins with before anything
// sensitive in it: of a template, of a local that is one, and of what for_each says of
// an instance.
func (ev *evaluator) publicBeginning(e hclsyntax.Expression, in *instance, depth int) string {
	e = unwrap(e)
	if refs := collectRefs(e, nil); isPlainRef(e) && len(refs) == 1 && refs[0].root() == "local" && len(refs[0].trav) == 2 {
		if lo := ev.c.locals[refs[0].attr(1)]; lo != nil && lo.arg.expr != nil && depth < maxBeginnings {
			return ev.publicBeginning(lo.arg.expr, nil, depth+1)
		}
		return ""
	}
	if said := saidOf(e, in); said != nil && depth < maxBeginnings {
		return ev.publicBeginning(said, nil, depth+1)
	}
	t, ok := e.(*hclsyntax.TemplateExpr)
	if !ok {
		return ""
	}
	text := ""
	for _, part := range t.Parts {
		v, diags := ev.eval(part, collectRefs(part, nil), in)
		if diags.HasErrors() {
			return text
		}
		if IsSensitive(v) || !v.IsKnown() {
			return text + ev.publicBeginning(part, in, depth)
		}
		if v, err := convert.Convert(v, cty.String); err == nil && !v.IsNull() {
			text += v.AsString()
			continue
		}
		return text
	}
	return text
}

// maxBeginnings is how many locals that name each other are followed.
const maxBeginnings = 8

func eachSensitive(v cty.Value, as func(cty.Value) cty.Value) cty.Value {
	out, err := cty.Transform(v, func(_ cty.Path, x cty.Value) (cty.Value, error) {
		if !x.HasMark(sensitiveMark{}) {
			return x, nil
		}
		u, _ := x.Unmark()
		return as(u), nil
	})
	if err != nil {
		return cty.UnknownVal(v.Type()) // which it never is
	}
	return out
}

// shownMistakes are the mistakes of an address whose origin something sensitive
// decides.
func (r *requestCheck) shownMistakes(what string, e hcl.Expression, ctx *hcl.EvalContext, begins func(name string) string) []requestMistake {
	var out []requestMistake
	for _, n := range r.shownSources(e, ctx, begins) {
		m := requestMistake{what: what, shown: true}
		if root, name, _ := strings.Cut(n, "."); root == "input" {
			m.input = name
		} else {
			m.setting = name
		}
		out = append(out, m)
	}
	return out
}

// begins tells what an input or a setting begins with before anything sensitive
// in it; "" where that is nothing, or is not told.
func (r *requestCheck) begins(v *settingsView, f *form, in *instance) func(string) string {
	return func(name string) string {
		root, n, _ := strings.Cut(name, ".")
		of, at := f, in
		if root == "config" {
			of, at = v.form, nil
		}
		if of == nil {
			return ""
		}
		a := of.arg(n)
		if a == nil || a.expr == nil {
			return ""
		}
		return r.c.evaluator(Scope{}).publicBeginning(a.expr, at, 0)
	}
}

// shownSetting says it of a provider block's setting. What several requests say
// alike is said once in the end.
func (r *requestCheck) shownSetting(v *settingsView, t *ProviderType, name string) Diagnostics {
	for i := range t.Config {
		if f := &t.Config[i]; f.Name == name {
			return Diagnostics{r.shownAt(v.form, name, f.Sensitive)}
		}
	}
	return nil
}

// shownAt makes a diagnostic at what is sensitive in an argument.
func (r *requestCheck) shownAt(f *form, name string, typed bool) *hcl.Diagnostic {
	const says = "%s says where requests go, and their scheme, host and port stand in plans, logs and the state: they cannot come from a sensitive value%s."
	a := f.arg(name)
	if a == nil {
		return problem(f.header(), "Sensitive value where it is shown", says, name, "")
	}
	if typed {
		return hinted(problem(a.rng(), "Sensitive value where it is shown", says, name, ", and its provider type says that it is one"),
			"have the provider type make its addresses of what is not sensitive; a secret may stand in a path")
	}
	at, which, shown := r.c.whatIsSensitive(a)
	return hinted(problem(at, "Sensitive value where it is shown", says, name, which),
		"give the address by a variable that is not sensitive, or say %s where everyone may see it; a secret may stand in the path", shown)
}

// whatIsSensitive is the place of the one reference in an argument that stands for
// something sensitive, what is said of it, and how it is said not to be; of several
// it is the whole argument.
func (c *Config) whatIsSensitive(a *argument) (at hcl.Range, which, shown string) {
	if from := c.sensitiveNames(a.refs); len(from) == 1 {
		return from[0].rng, ", as " + nameOf(&from[0]) + " is", "nonsensitive(" + nameOf(&from[0]) + ")"
	}
	return a.rng(), "", "nonsensitive(…)"
}

// nameOf is a reference in words: its text without the keys in it.
func nameOf(r *ref) string {
	parts := []string{r.root()}
	for i := 1; i < len(r.trav); i++ {
		n := r.attr(i)
		if n == "" {
			break
		}
		parts = append(parts, n)
	}
	return strings.Join(parts, ".")
}

// sensitiveNames are the references of an expression that stand for something
// sensitive, by themselves or by the locals that they name.
func (c *Config) sensitiveNames(refs []ref) []ref {
	var out []ref
	seen := map[string]bool{}
	for i := range refs {
		for _, r := range append([]ref{refs[i]}, refs[i].indexRefs...) {
			if !slices.ContainsFunc(c.deepRefs([]ref{r}), c.isSensitiveName) || seen[fmt.Sprint(r.rng)] {
				continue
			}
			seen[fmt.Sprint(r.rng)] = true
			out = append(out, r)
		}
	}
	return out
}

func (c *Config) isSensitiveName(r ref) bool {
	switch r.root() {
	case "var":
		x := c.vars[r.attr(1)]
		return x != nil && x.sensitive
	case kindSecret, kindCredential:
		return true
	}
	return false
}
