package spec

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func base64Encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func urlEncode(s string) string { return url.QueryEscape(s) }

func base64Gzip(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s) // a bytes.Buffer takes everything
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// fromBase64 are the bytes that the text in a function's first argument stands for.
func fromBase64(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, function.NewArgErrorf(0, "the text is not base64")
	}
	return b, nil
}

func base64DecodeFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			b, err := fromBase64(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			if !utf8.Valid(b) {
				return cty.NilVal, function.NewArgErrorf(0, "what the base64 stands for is not UTF-8 text")
			}
			return cty.StringVal(string(b)), nil
		},
	})
}

func urlDecodeFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := url.QueryUnescape(args[0].AsString())
			if err != nil || !utf8.ValidString(s) {
				return cty.NilVal, function.NewArgErrorf(0, "the text is not URL-encoded")
			}
			return cty.StringVal(s), nil
		},
	})
}

// jwtClaimsFunc reads a JWT's claims without verifying the signature: they are
// read to learn what the issuer meant, never to decide whom to trust.
func jwtClaimsFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "token", Type: cty.String, AllowNull: true}},
		Type:   function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if args[0].IsNull() {
				return cty.NullVal(cty.DynamicPseudoType), nil
			}
			payload, err := JWTPayload(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			v, err := DecodeJSON(payload)
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "the token's payload is not JSON")
			}
			return v, nil
		},
	})
}

// JWTPayload returns the decoded second part of a signed JWT (RFC 7519), which
// must be a JSON object. Its error quotes nothing of the token.
func JWTPayload(token string) ([]byte, error) {
	_, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(signature, ".") {
		return nil, errors.New("the token is not a signed JWT: three parts with dots between them are required")
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(payload, "="))
	if err != nil {
		return nil, errors.New("the token is not a JWT: its second part is not base64url")
	}
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return nil, errors.New("the token is not a JWT: its second part is not a JSON object")
	}
	return b, nil
}

// DecodeJSON turns JSON into a value: objects and tuples, numbers in full
// precision. Of a member that is there twice the last counts.
func DecodeJSON(b []byte) (cty.Value, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var raw any
	if err := d.Decode(&raw); err != nil {
		return cty.NilVal, fmt.Errorf("decoding JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return cty.NilVal, errors.New("decoding JSON: there is more after the value")
	}
	return jsonToCty(raw)
}

func jsonToCty(raw any) (cty.Value, error) {
	switch x := raw.(type) {
	case string:
		return cty.StringVal(x), nil
	case bool:
		return cty.BoolVal(x), nil
	case json.Number:
		return numberVal(x.String())
	case []any:
		vals := make([]cty.Value, len(x))
		for i := range x {
			var err error
			if vals[i], err = jsonToCty(x[i]); err != nil {
				return cty.NilVal, err
			}
		}
		return cty.TupleVal(vals), nil
	case map[string]any:
		attrs := make(map[string]cty.Value, len(x))
		for k, v := range x {
			var err error
			if attrs[k], err = jsonToCty(v); err != nil {
				return cty.NilVal, err
			}
		}
		return cty.ObjectVal(attrs), nil
	}
	return cty.NullVal(cty.DynamicPseudoType), nil
}

// numberVal reads a JSON number. An exponent of a few digits can stand for
// gigabytes, so it is bounded.
func numberVal(s string) (cty.Value, error) {
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(strings.TrimLeft(s[i+1:], "+-0")) > 3 {
		return cty.NilVal, errors.New("decoding JSON: a number is out of range")
	}
	if len(s) > 512 {
		return cty.NilVal, errors.New("decoding JSON: a number is out of range")
	}
	f, _, err := big.ParseFloat(s, 10, 512, big.ToNearestEven)
	if err != nil {
		return cty.NilVal, errors.New("decoding JSON: a number is out of range")
	}
	return cty.NumberVal(f), nil
}
