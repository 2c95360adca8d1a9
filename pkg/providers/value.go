package providers

import (
	"errors"
	"math/big"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"tokend/pkg/spec"
)

// value is what a compiled expression gives: cheap for the strings and numbers
// that tokens are made of, a cty value for the rest.
type value struct {
	kind   kind
	marked bool // sensitive: not to be shown
	halved bool // a string that its JSON does not say whole: see [jsonValue.halved]
	text   string
	cty    cty.Value // of kindCty, unmarked at the top
}

type kind uint8

const (
	kindNull kind = iota
	kindString
	kindNumber // text is the number as written
	kindBool   // text is "true" or "false"
	kindJSON   // text is a checked JSON object or array
	kindCty
)

func stringValue(s string, marked bool) value {
	return value{kind: kindString, text: s, marked: marked}
}

func boolValue(b bool) value { return value{kind: kindBool, text: strconv.FormatBool(b)} }

func numberValue(n int64) value { return value{kind: kindNumber, text: strconv.FormatInt(n, 10)} }

// valueOfJSON makes a value of a member of a reply.
func valueOfJSON(v jsonValue, marked bool) value {
	switch {
	case v.isNull():
		return value{marked: marked}
	case v.isString():
		return value{kind: kindString, text: v.text(), marked: marked, halved: v.halved()}
	case v.isNumber():
		return value{kind: kindNumber, text: string(v), marked: marked}
	case v.isBool():
		return value{kind: kindBool, text: string(v), marked: marked}
	}
	return value{kind: kindJSON, text: string(v), marked: marked}
}

// valueOf makes a value of a cty value. A mark anywhere inside marks the whole.
func valueOf(v cty.Value) value {
	marked := false
	if v.Type().IsPrimitiveType() {
		// Whatever the mark is, it says: not to be shown.
		marked = v.IsMarked()
		v, _ = v.Unmark()
	} else if v.ContainsMarked() {
		marked = true
		v, _ = v.UnmarkDeep()
	}
	out := value{marked: marked}
	switch {
	case v.IsNull():
	case !v.IsWhollyKnown():
		out.kind, out.cty = kindCty, v
	case v.Type() == cty.String:
		out.kind, out.text = kindString, v.AsString()
	case v.Type() == cty.Number:
		out.kind, out.text = kindNumber, formatNumber(v.AsBigFloat())
	case v.Type() == cty.Bool:
		out.kind, out.text = kindBool, strconv.FormatBool(v.True())
	default:
		out.kind, out.cty = kindCty, v
	}
	return out
}

func formatNumber(f *big.Float) string {
	if i, acc := f.Int64(); acc == big.Exact {
		return strconv.FormatInt(i, 10)
	}
	return f.Text('f', -1)
}

// toCty is the way back, for what is left to HCL.
func (v value) toCty() (cty.Value, error) {
	if v.kind == kindJSON && jsonValue(v.text).halved() {
		return cty.NilVal, errHalved
	}
	return v.wholeToCty()
}

// wholeToCty is toCty for a whole reply, of which an expression uses a part that nobody
// knows: half of a character in another part, as in a name that was cut, is in its way
// no more than in that of others.
func (v value) wholeToCty() (cty.Value, error) {
	var out cty.Value
	var err error
	switch v.kind {
	case kindNull:
		out = cty.NullVal(cty.DynamicPseudoType)
	case kindString:
		if out = cty.StringVal(v.text); v.halved {
			err = errHalved
		}
	case kindNumber, kindJSON:
		out, err = spec.DecodeJSON([]byte(v.text))
	case kindBool:
		out = cty.BoolVal(v.text == "true")
	default:
		out = v.cty
	}
	if err != nil {
		return cty.NilVal, err
	}
	if v.marked {
		out = spec.Sensitive(out)
	}
	return out, nil
}

func (v value) isNull() bool { return v.kind == kindNull }

var (
	errNull     = errors.New("the value is null")
	errNotText  = errors.New("a string is required")
	errNotBool  = errors.New("true or false is required")
	errUnknown  = errors.New("the value is not known")
	errNotAMap  = errors.New("a map is required")
	errHalved   = errors.New(`it has half of a character in it (one \u escape of a pair, such as \ud800), so what it is cannot be told`)
	errTypeless = errors.New("the values cannot be compared")
)

// str is the value as HCL would put it into a string.
func (v value) str() (string, error) {
	if v.halved {
		return "", errHalved
	}
	switch v.kind {
	case kindString, kindNumber, kindBool:
		return v.text, nil
	case kindNull:
		return "", errNull
	}
	return "", errNotText
}

func (v value) bool() (bool, error) {
	switch {
	case v.kind == kindNull:
		return false, errNull
	case (v.kind == kindBool || v.kind == kindString) && (v.text == "true" || v.text == "false"):
		return v.text == "true", nil
	}
	return false, errNotBool
}

// equal is HCL's ==: values of different types are not equal.
func (v value) equal(o value) (bool, error) {
	if v.kind <= kindBool && o.kind <= kindBool {
		if v.kind != o.kind {
			return false, nil
		}
		if v.kind != kindNumber || v.text == o.text || plainInt(v.text) && plainInt(o.text) {
			return v.text == o.text, nil
		}
		a, okA := parseNumber(v.text)
		b, okB := parseNumber(o.text)
		return okA && okB && a.Cmp(b) == 0, nil
	}
	a, errA := v.toCty()
	b, errB := o.toCty()
	if err := errors.Join(errA, errB); err != nil {
		return false, err
	}
	a, _ = a.UnmarkDeep()
	b, _ = b.UnmarkDeep()
	eq := a.Equals(b)
	if !eq.IsKnown() {
		return false, errTypeless
	}
	return eq.True(), nil
}

// parseNumber reads a JSON number whose exponent is bounded.
func parseNumber(s string) (*big.Float, bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(strings.TrimLeft(s[i+1:], "+-0")) > 3 || len(s) > 512 {
		return nil, false
	}
	f, _, err := big.ParseFloat(s, 10, 512, big.ToNearestEven)
	return f, err == nil
}

// plainInt is true for whole numbers that have only one spelling of that kind.
func plainInt(s string) bool {
	if s == "" || s[0] == '0' && len(s) > 1 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// member is the member of v with that name, null when it is absent.
func (v value) member(key value) value {
	marked := v.marked || key.marked
	switch {
	case v.kind == kindJSON && jsonValue(v.text).isObject():
		if key.kind > kindBool || key.kind == kindNull {
			return value{marked: marked}
		}
		return valueOfJSON(jsonValue(v.text).member(key.text), marked)
	case v.kind == kindJSON:
		n, err := strconv.Atoi(key.text)
		if err != nil {
			return value{marked: marked}
		}
		return valueOfJSON(jsonValue(v.text).element(n), marked)
	case v.kind == kindCty:
		k, err := key.toCty()
		if err != nil {
			return value{marked: marked}
		}
		out := valueOf(spec.Member(v.cty, k))
		out.marked = out.marked || marked
		return out
	}
	return value{marked: marked}
}

// appendJSON appends the value as JSON. Null members of objects are left out.
func (v value) appendJSON(b []byte) ([]byte, error) {
	switch v.kind {
	case kindNull:
		return append(b, "null"...), nil
	case kindString:
		if v.halved {
			return nil, errHalved
		}
		return appendJSONString(b, v.text), nil
	case kindNumber, kindBool, kindJSON:
		return append(b, v.text...), nil
	}
	return appendCty(b, v.cty)
}

func appendCty(b []byte, v cty.Value) ([]byte, error) {
	if !v.IsKnown() {
		return nil, errUnknown
	}
	t := v.Type()
	if v.IsNull() || t.IsPrimitiveType() {
		return valueOf(v).appendJSON(b)
	}
	var err error
	object := t.IsObjectType() || t.IsMapType()
	open, end := byte('['), byte(']')
	if object {
		open, end = '{', '}'
	}
	b = append(b, open)
	first := true
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		if object && e.IsNull() {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if object {
			b = append(appendJSONString(b, k.AsString()), ':')
		}
		if b, err = appendCty(b, e); err != nil {
			return nil, err
		}
	}
	return append(b, end), nil
}

// texts is the value as the values of a parameter or header: one, or those of a
// list; none for null.
func (v value) texts() ([]string, error) {
	switch v.kind {
	case kindNull:
		return nil, nil
	case kindJSON, kindCty:
		c, err := v.toCty()
		if err != nil {
			return nil, err
		}
		c, _ = c.UnmarkDeep()
		list, err := convert.Convert(c, cty.List(cty.String))
		if err != nil || !list.IsWhollyKnown() {
			return nil, errNotText
		}
		out := []string{}
		for it := list.ElementIterator(); it.Next(); {
			if _, e := it.Element(); !e.IsNull() {
				out = append(out, e.AsString())
			}
		}
		return out, nil
	}
	return []string{v.text}, nil
}
