package spec

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// charset is a character encoding of textencodebase64 and textdecodebase64. Of
// the many that IANA has these are those that programs still ask for.
type charset struct {
	name   string
	encode func(string) ([]byte, bool)
	decode func([]byte) (string, bool)
}

func charsets() []charset {
	return []charset{
		{"UTF-8", func(s string) ([]byte, bool) { return []byte(s), true }, func(b []byte) (string, bool) { return string(b), utf8.Valid(b) }},
		{"UTF-16LE", utf16With(binary.LittleEndian), utf16From(binary.LittleEndian)},
		{"UTF-16BE", utf16With(binary.BigEndian), utf16From(binary.BigEndian)},
		{"ISO-8859-1", narrow(0xff), widen(0xff)},
		{"US-ASCII", narrow(0x7f), widen(0x7f)},
	}
}

func utf16With(order binary.AppendByteOrder) func(string) ([]byte, bool) {
	return func(s string) ([]byte, bool) {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = order.AppendUint16(b, u)
		}
		return b, true
	}
}

func utf16From(order binary.ByteOrder) func([]byte) (string, bool) {
	return func(b []byte) (string, bool) {
		if len(b)%2 != 0 {
			return "", false
		}
		units := make([]uint16, 0, len(b)/2)
		for ; len(b) > 0; b = b[2:] {
			units = append(units, order.Uint16(b))
		}
		runes := utf16.Decode(units)
		// Half of a pair comes out as a character that stands for none.
		back := utf16.Encode(runes)
		for i := range units {
			if i >= len(back) || back[i] != units[i] {
				return "", false
			}
		}
		return string(runes), true
	}
}

func narrow(most rune) func(string) ([]byte, bool) {
	return func(s string) ([]byte, bool) {
		b := make([]byte, 0, len(s))
		for _, r := range s {
			if r > most {
				return nil, false
			}
			b = append(b, byte(r))
		}
		return b, true
	}
}

func widen(most rune) func([]byte) (string, bool) {
	return func(b []byte) (string, bool) {
		runes := make([]rune, len(b))
		for i, c := range b {
			if rune(c) > most {
				return "", false
			}
			runes[i] = rune(c)
		}
		return string(runes), true
	}
}

func textEncodeBase64Func() function.Function {
	return charsetFunc("string", func(c charset, text string) (string, error) {
		b, ok := c.encode(text)
		if !ok {
			return "", function.NewArgErrorf(0, "the text has characters that %s has not", c.name)
		}
		return base64.StdEncoding.EncodeToString(b), nil
	})
}

func textDecodeBase64Func() function.Function {
	return charsetFunc("source", func(c charset, text string) (string, error) {
		b, err := fromBase64(text)
		if err != nil {
			return "", err
		}
		s, ok := c.decode(b)
		if !ok {
			return "", function.NewArgErrorf(0, "what the base64 stands for is not text in %s", c.name)
		}
		return s, nil
	})
}

// charsetFunc is a function of a text and the name of an encoding.
func charsetFunc(param string, f func(charset, string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: param, Type: cty.String}, {Name: "encoding", Type: cty.String}},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: func(b *cty.RefinementBuilder) *cty.RefinementBuilder { return b.NotNull() },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var names []string
			for _, c := range charsets() {
				if strings.EqualFold(c.name, args[1].AsString()) {
					s, err := f(c, args[0].AsString())
					return cty.StringVal(s), err
				}
				names = append(names, c.name)
			}
			return cty.NilVal, function.NewArgErrorf(1, "the encoding must be one of %s", strings.Join(names, ", "))
		},
	})
}
