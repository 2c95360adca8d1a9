package sources

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// maxSecret bounds what is read. Private keys have some kilobytes.
const maxSecret = 1 << 20

var (
	errTooLarge = fmt.Errorf("it is larger than %d MiB, which no secret is", maxSecret>>20)
	errEmpty    = errors.New("it is empty")
)

// trimAttr is the argument that all kinds of text have.
func trimAttr() spec.Attr {
	return spec.Attr{Name: "trim", Type: cty.Bool, Default: "true", Doc: "take one newline off the end"}
}

// text makes a value of what was read, as the block's trim says.
func text(raw string, args spec.Values) (cty.Value, error) {
	trim, err := args.Bool("trim", true)
	if err != nil {
		return cty.NilVal, err
	}
	if len(raw) > maxSecret {
		return cty.NilVal, errTooLarge
	}
	if trim {
		raw = trimNewline(raw)
	}
	if raw == "" {
		return cty.NilVal, errEmpty
	}
	return stringValue(raw)
}

func trimNewline(s string) string {
	if t, ok := strings.CutSuffix(s, "\n"); ok {
		return strings.TrimSuffix(t, "\r")
	}
	return s
}

// stringValue refuses what would not come out as it went in: cty normalizes
// Unicode, and a password that was changed is a wrong password.
func stringValue(s string) (cty.Value, error) {
	if !utf8.ValidString(s) {
		return cty.NilVal, errors.New("it is not UTF-8 text: store it as base64, and decode it in the configuration where it is text, or at its reader where it is not")
	}
	v := cty.StringVal(s)
	if v.AsString() != s {
		return cty.NilVal, errors.New("it contains letters in decomposed Unicode, which the configuration language would change: store it composed (NFC), or as base64")
	}
	return v, nil
}

// name reads a required argument that is not a secret.
func name(args spec.Values, attr string) (string, error) {
	s, err := args.String(attr)
	if err == nil && s == "" {
		err = fmt.Errorf("reading %s: it is missing", attr)
	}
	return s, err
}
