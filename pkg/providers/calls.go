package providers

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"tokend/pkg/spec"
)

// call compiles a function call whose arguments are values.
func (c *compiler) call(x *hclsyntax.FunctionCallExpr) node {
	fn, ok := c.functions[x.Name]
	if !ok || x.ExpandFinal || takesExpressions(fn) {
		return c.fallback(x)
	}
	args := make([]node, len(x.Args))
	for i, a := range x.Args {
		args[i] = c.native(a)
	}
	if n := common(x.Name, args); n != nil {
		return n
	}
	params, rest := fn.Params(), fn.VarParam()
	if len(args) < len(params) || len(args) > len(params) && rest == nil {
		return c.fallback(x) // which reports it well
	}
	name := x.Name
	return func(f *frame) (value, error) {
		vals := make([]cty.Value, len(args))
		for i, a := range args {
			v, err := a(f)
			if err != nil {
				return v, err
			}
			want := rest
			if i < len(params) {
				want = &params[i]
			}
			if vals[i], err = v.toCty(); err == nil {
				vals[i], err = convert.Convert(vals[i], want.Type)
			}
			if err != nil {
				return value{}, fmt.Errorf("calling %s: %s does not fit", name, want.Name)
			}
		}
		out, err := fn.Call(vals)
		if err != nil {
			return value{}, fmt.Errorf("calling %s: %w", name, err)
		}
		return valueOf(out), nil
	}
}

// common are the functions that requests and replies are made of, without a
// value of cty in between; nil for the others.
func common(name string, args []node) node {
	switch {
	case name == "jwt_claims" && len(args) == 1:
		return jwtClaims(args[0])
	case name == "urlencode" && len(args) == 1:
		return textCall(name, args[0], url.QueryEscape)
	case name == "base64encode" && len(args) == 1:
		return textCall(name, args[0], func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })
	case name == "join" && len(args) == 2:
		return join(args[0], args[1])
	}
	return nil
}

func textCall(name string, arg node, apply func(string) string) node {
	return func(f *frame) (value, error) {
		v, err := arg(f)
		if err != nil {
			return v, err
		}
		s, err := v.str()
		if err != nil {
			return v, fmt.Errorf("calling %s: %w", name, err)
		}
		return stringValue(apply(s), v.marked), nil
	}
}

func join(separator, list node) node {
	return both(separator, list, func(l, r value) (value, error) {
		sep, err := l.str()
		if err != nil {
			return value{}, fmt.Errorf("calling join: %w", err)
		}
		texts, err := r.texts()
		if r.kind != kindJSON && r.kind != kindCty {
			err = errors.New("a list is required")
		}
		if err != nil {
			return value{}, fmt.Errorf("calling join: %w", err)
		}
		return stringValue(strings.Join(texts, sep), false), nil
	})
}

// jwtClaims reads claims without making values of those that nobody asks for.
func jwtClaims(arg node) node {
	return func(f *frame) (value, error) {
		v, err := arg(f)
		if err != nil || v.isNull() {
			return v, err
		}
		s, err := v.str()
		if err != nil {
			return v, fmt.Errorf("calling jwt_claims: %w", err)
		}
		payload, err := spec.JWTPayload(s)
		if err != nil {
			return value{}, fmt.Errorf("calling jwt_claims: %w", err)
		}
		doc, ok := scanJSON(string(payload))
		if !ok {
			return value{}, errors.New("calling jwt_claims: the token's payload is not JSON")
		}
		return valueOfJSON(doc, v.marked), nil
	}
}

func takesExpressions(fn function.Function) bool {
	params := fn.Params()
	if v := fn.VarParam(); v != nil {
		params = append(params[:len(params):len(params)], *v)
	}
	for _, p := range params {
		if customdecode.CustomExpressionDecoderForType(p.Type) != nil {
			return true
		}
	}
	return false
}
