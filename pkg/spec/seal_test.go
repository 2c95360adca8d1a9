package spec

import (
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
