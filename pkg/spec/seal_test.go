package spec

import (
	"encoding/json"
	"testing"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"pgregory.net/rapid"
)

// Writing a string directly gives what cty gives.
func TestEncodeStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := cty.StringVal(rapid.String().Draw(t, "text"))
		want, err := ctyjson.Marshal(plain, cty.DynamicPseudoType)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []cty.Value{plain, Sensitive(plain)} {
			got, err := encode(v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Fatalf("got %s, cty writes %s", got, want)
			}
		}
	})
}

// Sealing writes what encoding/json makes of the same values, and opening gives
// them back.
func TestSealWritesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Map(rapid.String(), cty.StringVal)
		value := rapid.OneOf(text, rapid.Map(text, Sensitive),
			rapid.Map(rapid.Int64(), cty.NumberIntVal), rapid.Map(rapid.Bool(), cty.BoolVal),
			rapid.Map(text, func(v cty.Value) cty.Value { return cty.TupleVal([]cty.Value{v, Sensitive(v)}) }),
			rapid.Just(cty.NullVal(cty.String)))
		m := rapid.MapOfN(rapid.String(), value, 0, 5).Draw(t, "values")
		names := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(append(NewValues(m).Names(), "absent")), rapid.String())).Draw(t, "names")
		if rapid.Bool().Draw(t, "all") {
			names = nil
		}
		want := map[string]sealedValue{}
		for n, v := range m {
			if names != nil && !contains(names, n) {
				continue
			}
			plain, _ := v.UnmarkDeep()
			b, err := ctyjson.Marshal(plain, cty.DynamicPseudoType)
			if err != nil {
				t.Fatal(err)
			}
			want[n] = sealedValue{Sensitive: IsSensitive(v), Value: b}
		}
		text1, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := NewValues(m).Seal(names)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(text1) {
			t.Fatalf("sealed %s\nwant   %s", got, text1)
		}
		back, err := OpenValues(got)
		if err != nil {
			t.Fatal(err)
		}
		for n, s := range want {
			x, _ := back.Cty(n).UnmarkDeep()
			plain, _ := m[n].UnmarkDeep()
			if !x.RawEquals(plain) || IsSensitive(back.Cty(n)) != s.Sensitive {
				t.Fatalf("%q came back as %#v, was %#v", n, back.Cty(n), m[n])
			}
		}
		if len(back.Names()) != len(want) {
			t.Fatalf("%d values came back, %d were sealed", len(back.Names()), len(want))
		}
	})
}
