package spec

import (
	"encoding/json"
	"fmt"

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
	out := make(map[string]sealedValue, len(names))
	for _, n := range names {
		x, ok := v.m[n]
		if !ok {
			continue
		}
		b, err := encode(x)
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", n, err)
		}
		out[n] = sealedValue{Sensitive: IsSensitive(x), Value: b}
	}
	return json.Marshal(out)
}

// encode writes a value with its type, without its marks. Strings, which nearly
// all inputs are, are written directly; it is the same text.
func encode(x cty.Value) ([]byte, error) {
	if s, _ := x.Unmark(); s.Type() == cty.String && s.IsKnown() && !s.IsNull() {
		text, err := json.Marshal(s.AsString())
		if err != nil {
			return nil, err
		}
		b := make([]byte, 0, len(text)+len(stringForm))
		b = append(append(b, stringForm[:len(`{"value":`)]...), text...)
		return append(b, stringForm[len(`{"value":`):]...), nil
	}
	plain, _ := x.UnmarkDeep()
	return ctyjson.Marshal(plain, cty.DynamicPseudoType)
}

// stringForm is what cty writes around a string.
const stringForm = `{"value":,"type":"string"}`

// OpenValues reads what [Values.Seal] wrote. A value of which any part was
// sensitive comes back sensitive as a whole.
func OpenValues(b []byte) (Values, error) {
	if len(b) == 0 {
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
