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
		plain, _ := x.UnmarkDeep()
		b, err := ctyjson.Marshal(plain, cty.DynamicPseudoType)
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", n, err)
		}
		out[n] = sealedValue{Sensitive: IsSensitive(x), Value: b}
	}
	return json.Marshal(out)
}

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
