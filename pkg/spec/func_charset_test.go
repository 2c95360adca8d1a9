package spec

import (
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// The values are those that Terraform gives.
func TestTextInOtherEncodings(t *testing.T) {
	fns := functions(newFiles("/etc/tokend", nil))
	call := func(name, text, encoding string) (string, error) {
		v, err := fns[name].Call([]cty.Value{cty.StringVal(text), cty.StringVal(encoding)})
		if err != nil {
			return "", err
		}
		return v.AsString(), nil
	}
	for _, c := range []struct{ text, encoding, want string }{
		{"Hello World", "UTF-16LE", "SABlAGwAbABvACAAVwBvAHIAbABkAA=="},
		{"Hello World", "utf-8", "SGVsbG8gV29ybGQ="},
		{"\U0001F600", "UTF-16BE", "2D3eAA=="},
		{"ä", "ISO-8859-1", "5A=="},
		{"a", "US-ASCII", "YQ=="},
		{"", "UTF-16LE", ""},
	} {
		got, err := call("textencodebase64", c.text, c.encoding)
		if err != nil || got != c.want {
			t.Errorf("textencodebase64(%q, %q) = %q, %v; want %q", c.text, c.encoding, got, err, c.want)
		}
		if back, err := call("textdecodebase64", c.want, c.encoding); err != nil || back != c.text {
			t.Errorf("textdecodebase64(%q, %q) = %q, %v; want %q", c.want, c.encoding, back, err, c.text)
		}
	}
	for _, c := range [][3]string{
		{"textencodebase64", "ä", "US-ASCII"}, {"textencodebase64", "€", "ISO-8859-1"}, {"textencodebase64", "a", "EBCDIC"},
		{"textdecodebase64", "?", "UTF-8"}, {"textdecodebase64", "/w==", "UTF-8"}, {"textdecodebase64", "YQ==", "UTF-16LE"},
		{"textdecodebase64", "2D0=", "UTF-16BE"}, {"textdecodebase64", "gA==", "US-ASCII"},
	} {
		if got, err := call(c[0], c[1], c[2]); err == nil {
			t.Errorf("%s(%q, %q) = %q, want an error", c[0], c[1], c[2], got)
		}
	}
}
