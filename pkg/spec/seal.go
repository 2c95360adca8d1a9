package spec

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// rawCty is a value with its type, as cty's JSON encoding writes it.
type rawCty = json.RawMessage

// Seal encodes the named values (all, when names is nil), marks included, so
// that [OpenValues] gives them back. The bytes contain secrets in clear: they
// go into a sealed record and nowhere else.
func (v Values) Seal(names []string) ([]byte, error) {
	if names == nil {
		names = v.Names()
	}
	if !slices.IsSorted(names) {
		names = slices.Sorted(slices.Values(names))
	}
	// What encoding/json makes of a map of [sealedValue], without the detour.
	b := make([]byte, 1, 2+96*len(names))
	b[0] = '{'
	for i, n := range names {
		x, ok := v.m[n]
		if !ok || i > 0 && n == names[i-1] {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendText(b, n), ':', '{')
		if IsSensitive(x) {
			b = append(b, `"s":true,`...)
		}
		b = append(b, `"v":`...)
		var err error
		if b, err = appendEncoded(b, x); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", n, err)
		}
		b = append(b, '}')
	}
	return append(b, '}'), nil
}

// encode writes a value with its type, without its marks. Strings, which nearly
// all inputs are, are written directly; it is the same text.
func encode(x cty.Value) ([]byte, error) { return appendEncoded(make([]byte, 0, 96), x) }

func appendEncoded(b []byte, x cty.Value) ([]byte, error) {
	if s, _ := x.Unmark(); s.Type() == cty.String && s.IsKnown() && !s.IsNull() {
		// What cty writes around a string.
		b = appendText(append(b, `{"value":`...), s.AsString())
		return append(b, `,"type":"string"}`...), nil
	}
	plain, _ := x.UnmarkDeep()
	text, err := ctyjson.Marshal(plain, cty.DynamicPseudoType)
	return append(b, text...), err
}

// appendText writes a string as encoding/json does.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// OpenValues reads what [Values.Seal] wrote. A value of which any part was
// sensitive comes back sensitive as a whole.
func OpenValues(b []byte) (Values, error) {
	if len(b) == 0 || string(b) == "{}" {
		return Values{}, nil
	}
	var in map[string]sealedValue
	if err := json.Unmarshal(b, &in); err != nil {
		return Values{}, fmt.Errorf("decoding recorded values: %w", err)
	}
	m := make(map[string]cty.Value, len(in))
	for n, s := range in {
		x, err := ctyjson.Unmarshal(s.Value, cty.DynamicPseudoType)
		if err != nil {
			return Values{}, fmt.Errorf("decoding recorded value %s: %w", n, err)
		}
		if s.Sensitive {
			x = Sensitive(x)
		}
		m[n] = x
	}
	return Values{m: m}, nil
}
