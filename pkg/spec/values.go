package spec

import (
	"fmt"
	"maps"
	"sort"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"tokend/pkg/secret"
)

// sensitiveMark is the mark of every value that must not be shown.
type sensitiveMark struct{}

// Sensitive marks v, and everything computed from it, as not to be shown.
func Sensitive(v cty.Value) cty.Value { return v.Mark(sensitiveMark{}) }

// IsSensitive reports whether v or anything inside it is marked.
func IsSensitive(v cty.Value) bool {
	return hasMark(v, sensitiveMark{})
}

// Values are named values of one evaluation: the arguments of a sink, the
// inputs of a credential, the settings of a provider. Marked values stay
// marked inside; the getters unmark where the caller's type says that it knows
// what it holds ([Values.Secret]), and refuse where it does not
// ([Values.String] of a marked value is an error). The zero Values has none.
// Immutable and safe for concurrent use.
type Values struct {
	m        map[string]cty.Value
	contents map[string]fileContent // of the files that arguments name
}

// NewValues wraps m, which the caller must not change afterwards.
func NewValues(m map[string]cty.Value) Values { return Values{m: m} }

// Names lists the values' names, sorted; null and unknown ones included.
func (v Values) Names() []string {
	names := make([]string, 0, len(v.m))
	for n := range v.m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Cty returns the named value, marks and all, or a null.
func (v Values) Cty(name string) cty.Value {
	if x, ok := v.m[name]; ok {
		return x
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// Has reports whether the name is there with a known value that is not null.
func (v Values) Has(name string) bool {
	x, ok := v.m[name]
	if !ok {
		return false
	}
	x, _ = x.Unmark()
	return x.IsKnown() && !x.IsNull()
}

// Object returns all values as one cty object, for evaluation contexts.
func (v Values) Object() cty.Value {
	if len(v.m) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(v.m)
}

// With returns a copy with one value more, or replaced. The content of a file
// that the replaced one named is gone.
func (v Values) With(name string, x cty.Value) Values {
	m := make(map[string]cty.Value, len(v.m)+1)
	for n, y := range v.m {
		m[n] = y
	}
	m[name] = x
	contents := v.contents
	if _, ok := contents[name]; ok {
		contents = maps.Clone(contents)
		delete(contents, name)
	}
	return Values{m: m, contents: contents}
}

// String returns a value that is not sensitive as a string; "" when absent.
func (v Values) String(name string) (string, error) {
	if !v.Has(name) {
		return "", nil
	}
	x := v.m[name]
	if x.Type() == cty.String && !x.IsMarked() {
		return x.AsString(), nil
	}
	if IsSensitive(x) {
		return "", fmt.Errorf("reading %s: the value is sensitive and would be shown here", name)
	}
	s, err := convert.Convert(x, cty.String)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	return s.AsString(), nil
}

// Secret returns a value as a secret; empty when absent.
func (v Values) Secret(name string) (secret.Text, error) {
	if !v.Has(name) {
		return secret.Text{}, nil
	}
	return textOf(name, v.m[name])
}

// Bool returns a boolean, or def when absent.
func (v Values) Bool(name string, def bool) (bool, error) {
	if !v.Has(name) {
		return def, nil
	}
	x, _ := v.m[name].Unmark()
	b, err := convert.Convert(x, cty.Bool)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	return b.True(), nil
}

// Duration returns a duration written as Go writes them ("1h30m"), or def when
// absent.
func (v Values) Duration(name string, def time.Duration) (time.Duration, error) {
	s, err := v.String(name)
	if err != nil || s == "" {
		return def, err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %q is not a duration like \"30s\" or \"1h\"", name, s)
	}
	return d, nil
}

// Strings returns a list, set or tuple of strings that are not sensitive.
func (v Values) Strings(name string) ([]string, error) {
	texts, err := v.Secrets(name)
	if err != nil || texts == nil {
		return nil, err
	}
	if IsSensitive(v.m[name]) {
		return nil, fmt.Errorf("reading %s: the value is sensitive and would be shown here", name)
	}
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = t.Reveal()
	}
	return out, nil
}

// Secrets returns a list, set or tuple of strings, sensitive or not.
func (v Values) Secrets(name string) ([]secret.Text, error) {
	if !v.Has(name) {
		return nil, nil
	}
	x, _ := v.m[name].Unmark()
	if !x.CanIterateElements() {
		return nil, fmt.Errorf("reading %s: a list of strings is required", name)
	}
	out := []secret.Text{}
	for it := x.ElementIterator(); it.Next(); {
		_, e := it.Element()
		t, err := textOf(name, e)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// SecretMap returns a map or object of strings, sensitive or not. Null members
// are left out.
func (v Values) SecretMap(name string) (map[string]secret.Text, error) {
	if !v.Has(name) {
		return nil, nil
	}
	x, _ := v.m[name].Unmark()
	if !x.CanIterateElements() || !(x.Type().IsObjectType() || x.Type().IsMapType()) {
		return nil, fmt.Errorf("reading %s: a map of strings is required", name)
	}
	out := map[string]secret.Text{}
	for it := x.ElementIterator(); it.Next(); {
		k, e := it.Element()
		k, _ = k.Unmark()
		if u, _ := e.Unmark(); u.IsNull() {
			continue
		}
		t, err := textOf(name+"."+k.AsString(), e)
		if err != nil {
			return nil, err
		}
		out[k.AsString()] = t
	}
	return out, nil
}

// Nested returns the values of a nested block, and whether it is there.
func (v Values) Nested(name string) (Values, bool) {
	if !v.Has(name) {
		return Values{}, false
	}
	x, _ := v.m[name].Unmark()
	if !x.Type().IsObjectType() {
		return Values{}, false
	}
	return Values{m: x.AsValueMap()}, true
}

// Known reports whether all values are known.
func (v Values) Known() bool {
	for _, x := range v.m {
		if !x.IsWhollyKnown() {
			return false
		}
	}
	return true
}

// Canonical returns the named value as bytes that are equal exactly when the
// values are, for a keyed hash. It may contain a secret: hash it at once.
func (v Values) Canonical(name string) ([]byte, error) {
	b, err := encode(v.Cty(name))
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", name, err)
	}
	return b, nil
}

// sealedValue is one value in the form of [Values.Seal].
type sealedValue struct {
	Sensitive bool   `json:"s,omitempty"`
	Value     rawCty `json:"v"`
}

// textOf converts a primitive to a secret.
func textOf(name string, x cty.Value) (secret.Text, error) {
	x, _ = x.Unmark()
	if !x.IsKnown() {
		return secret.Text{}, fmt.Errorf("reading %s: the value is not known yet", name)
	}
	s, err := convert.Convert(x, cty.String)
	if err != nil || s.IsNull() {
		return secret.Text{}, fmt.Errorf("reading %s: a string is required, not %s", name, x.Type().FriendlyName())
	}
	return secret.New(s.AsString()), nil
}
