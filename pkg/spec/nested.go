package spec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
)

// nestedBlock is a block in a block, after `dynamic` was expanded.
type nestedBlock struct {
	form   *form
	name   string
	labels []string
	at     hcl.Range
	in     *instance
}

// nested evaluates the blocks inside a block into objects.
func (ev *evaluator) nested(f *form, sc *Schema, in *instance, sel *selectArgs, out map[string]cty.Value) Diagnostics {
	if len(f.blocks) == 0 {
		return nil
	}
	blocks, diags := ev.expandDynamic(f, in)
	first := map[string]hcl.Range{}
	for _, b := range blocks {
		nb := sc.nested(b.name)
		if nb == nil {
			if sel.check && !sel.varying {
				diags = append(diags, ev.c.unknownBlockIn(f, b, sc))
			}
			continue
		}
		if at, dup := first[b.name]; dup {
			diags = append(diags, problem(b.at, "Duplicate block "+b.name, "A block %s stands at line %d already; there may be one.", b.name, at.Start.Line))
			continue
		}
		first[b.name] = b.at
		if sel.names != nil && !contains(sel.names, b.name) {
			continue
		}
		inner, d := ev.nestedSchema(nb, b)
		if d != nil {
			diags = append(diags, d)
			continue
		}
		vals, more := ev.args(b.form, inner, b.in, &selectArgs{varying: sel.varying, check: sel.check, failed: sel.failed})
		diags = append(diags, more...)
		if len(nb.Labels) > 0 {
			for i, n := range nb.Labels {
				vals[labelKey(n)] = cty.StringVal(b.labels[i])
			}
		}
		out[b.name] = object(vals)
	}
	return diags
}

// labelKey is the name under which a nested block's label is among its values:
// no argument can be named like this.
func labelKey(n string) string { return "@" + n }

func object(m map[string]cty.Value) cty.Value {
	if len(m) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(m)
}

// nestedSchema finds the schema of a nested block: its own, or for a vault's
// auth that of the method which its label names.
func (ev *evaluator) nestedSchema(nb *NestedBlock, b nestedBlock) (*Schema, *hcl.Diagnostic) {
	if len(b.labels) != len(nb.Labels) {
		form := b.name
		for _, l := range nb.Labels {
			form += fmt.Sprintf(" %q", strings.ToUpper(l))
		}
		return nil, problem(b.at, "Wrong number of labels of "+b.name, "This block is written %s { … }.", form)
	}
	if b.name == authBlock && len(nb.Labels) == 1 {
		sc, ok := ev.c.auths[b.labels[0]]
		if !ok {
			return nil, problem(b.at, "Unknown auth method", "There is no way of logging in to Vault named %q.%s", b.labels[0], didYouMean(b.labels[0], sortedKeys(ev.c.auths)))
		}
		return sc, nil
	}
	return &nb.Schema, nil
}

// expandDynamic lists the blocks of a form, those that `dynamic` makes included.
func (ev *evaluator) expandDynamic(f *form, in *instance) ([]nestedBlock, Diagnostics) {
	var out []nestedBlock
	var diags Diagnostics
	for _, b := range f.blocks {
		if b.typ != "dynamic" {
			out = append(out, nestedBlock{form: b, name: b.typ, labels: b.labels, at: b.header(), in: in})
			continue
		}
		made, more := ev.dynamic(b, in)
		out = append(out, made...)
		diags = append(diags, more...)
	}
	return out, diags
}

// dynamic expands one `dynamic` block, as Terraform does.
func (ev *evaluator) dynamic(b *form, in *instance) ([]nestedBlock, Diagnostics) {
	if len(b.labels) != 1 {
		return nil, Diagnostics{problem(b.header(), "Wrong number of labels of dynamic", `This block is written dynamic "BLOCK" { for_each = …, content { … } }.`)}
	}
	var content *form
	var diags Diagnostics
	for _, inner := range b.blocks {
		if inner.typ == "content" && content == nil {
			content = inner
			continue
		}
		diags = append(diags, unknownNested(inner, "dynamic", []string{"content"}))
	}
	sc := dynamicSchema()
	for i := range b.args {
		if n := b.args[i].name; sc.attr(n) == nil {
			diags = append(diags, unknownArgument(&b.args[i], "dynamic", sc.names()))
		}
	}
	over := b.arg("for_each")
	if over == nil || content == nil {
		return nil, append(diags, problem(b.header(), "Incomplete dynamic block", "A dynamic block needs for_each and a content block."))
	}
	element := b.src.iterator(b.row)
	if it := b.arg(iteratorArg); it != nil && !isIdent(element) {
		diags = append(diags, problem(it.rng(), "Invalid iterator", "iterator is a name, without quotes: inside content, the element is NAME.key and NAME.value."))
	}
	if over.expr == nil || diags.HasErrors() {
		return nil, diags
	}
	if more := ev.c.checkRefs(ev, over, in); more.HasErrors() {
		return nil, append(diags, more...)
	}
	if ev.c.onBroken(over.refs) || in != nil && in.set != nil && in.set.guess && over.varies() {
		return nil, append(diags, following(over))
	}
	v, more := ev.eval(over.expr, over.refs, in)
	if more.HasErrors() {
		return nil, append(diags, more...)
	}
	u, marks := v.Unmark()
	if hasKey(marks, sensitiveMark{}) || !u.IsKnown() || u.IsNull() || !u.CanIterateElements() {
		return nil, append(diags, problem(over.rng(), "Invalid for_each", "for_each of a dynamic block must be a collection that is known when the directory is read and not sensitive."))
	}
	var out []nestedBlock
	for it := u.ElementIterator(); it.Next(); {
		k, x := it.Element()
		if u.Type().IsSetType() {
			k = x
		}
		at := nestedInstance(in).with(element, cty.ObjectVal(map[string]cty.Value{"key": k, "value": x}))
		labels, more := ev.dynamicLabels(b, at)
		diags = append(diags, more...)
		out = append(out, nestedBlock{form: content, name: b.labels[0], labels: labels, at: b.header(), in: at})
	}
	return out, diags
}

// nestedInstance is the instance of a block that may have none.
func nestedInstance(in *instance) *instance {
	if in == nil {
		return &instance{}
	}
	return in
}

func (ev *evaluator) dynamicLabels(b *form, in *instance) ([]string, Diagnostics) {
	a := b.arg("labels")
	if a == nil || a.expr == nil {
		return nil, nil
	}
	v, diags := ev.eval(a.expr, a.refs, in)
	if diags.HasErrors() {
		return nil, diags
	}
	list, err := NewValues(map[string]cty.Value{"labels": publish(v)}).Strings("labels")
	if err != nil || !v.IsWhollyKnown() {
		return nil, Diagnostics{problem(a.rng(), "Invalid labels", "labels must be a list of strings.")}
	}
	return list, nil
}

// title is how messages speak of a block: `sink "file" "trader"`.
func (f *form) title() string {
	t := f.typ
	for _, l := range f.labels {
		t += fmt.Sprintf(" %q", l)
	}
	return t
}

// unknownArg says that a block has no such argument.
func (c *Config) unknownArg(f *form, a *argument, sc *Schema) *hcl.Diagnostic {
	if nb := sc.nested(a.name); nb != nil {
		return problem(a.nameRange, "Block written as an argument", "%s is a block: write %s { … } without an equals sign.", a.name, a.name)
	}
	if f.typ == kindSink && contains(ReservedNames().SinkArguments, a.name) {
		return problem(a.nameRange, "Reserved argument", "%s is reserved for a later version.", a.name)
	}
	if a.name == "depends_on" {
		return problem(a.nameRange, "Unknown argument", "There is no depends_on: what a block names comes before it. Leave it out.")
	}
	d := unknownArgument(a, f.title(), sc.names())
	if n := nearest(a.name, sc.names()); f.typ != kindSink && f.typ != kindHook && (n == "" || sc.attr(n) != nil && sc.attr(n).Sensitive) {
		hideSource(d)
	}
	return d
}

// unknownBlockIn says that a block has no such block inside.
func (c *Config) unknownBlockIn(f *form, b nestedBlock, sc *Schema) *hcl.Diagnostic {
	if sc.attr(b.name) != nil {
		return problem(b.at, "Argument written as a block", "%s is an argument: write %s = … with an equals sign.", b.name, b.name)
	}
	known := sc.names() // an argument of nearly this name is told, too
	if nearest(b.name, known) == "" {
		known = nil
		for i := range sc.Blocks {
			known = append(known, sc.Blocks[i].Name)
		}
	}
	return b.form.swallowed(problem(b.at, "Unknown block", "%s has no block %s.%s", f.title(), b.name, didYouMean(b.name, known)))
}

// unknownArgument hides its line where the name sounds like a secret's: what
// stands there may be one.
func unknownArgument(a *argument, in string, known []string) *hcl.Diagnostic {
	d := problem(a.nameRange, "Unknown argument", "%s has no argument %s.%s", in, a.name, didYouMean(a.name, known))
	if looksSecret(a.name) {
		hideSource(d)
	}
	return d
}

func unknownNested(b *form, in string, known []string) *hcl.Diagnostic {
	return b.swallowed(problem(b.header(), "Unknown block", "%s has no block %s.%s", in, b.typ, didYouMean(b.typ, known)))
}

// swallowed is what is wrong with a block in another one that does not belong there. In
// a file that does not parse, as where the brace of the other one is not seen, one of
// those that stand in files does, and the mistake only follows.
func (f *form) swallowed(d *hcl.Diagnostic) *hcl.Diagnostic {
	if f.src.broken && contains(topBlocks[:], f.typ) {
		return follows(d)
	}
	return d
}

func quoted(list []string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(parts, ", ")
}

func suggest(given string, known []string) string {
	if n := nearest(given, known); n != "" {
		return fmt.Sprintf(" Did you mean %q?", n)
	}
	return ""
}

// typeWords is a type as a person says it.
func typeWords(t cty.Type) string {
	switch t {
	case cty.String:
		return "a string"
	case cty.Number:
		return "a number"
	case cty.Bool:
		return "true or false"
	case cty.List(cty.String), cty.Set(cty.String):
		return "a list of strings"
	case cty.Map(cty.String):
		return "a map of strings"
	}
	return typeexpr.TypeString(t)
}

func asNumber(v cty.Value) (cty.Value, bool) {
	if !v.IsKnown() || v.IsNull() {
		return cty.NilVal, false
	}
	if v.Type() == cty.Number {
		return v, true
	}
	if v.Type() == cty.String {
		n, err := cty.ParseNumberVal(v.AsString())
		return n, err == nil
	}
	return cty.NilVal, false
}
