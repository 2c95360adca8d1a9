package providers

import (
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// frame is what expressions are evaluated in, once for each evaluation of a
// request or of a reply.
type frame struct {
	call       *Call
	config     spec.Values
	functions  map[string]function.Function
	discovered jsonValue
	header     http.Header
	body       jsonValue
	status     int
}

// root gives a variable of the language whose first member is name; "" is the
// variable as a whole.
func (f *frame) root(root, name string) value {
	switch root {
	case "config":
		return f.values(f.config, name)
	case "input":
		if name == "scopes" {
			return valueOf(stringList(f.call.Scopes))
		}
		return f.values(f.call.Inputs, name)
	case "token":
		return f.token(name)
	case "flow":
		return f.flow(name)
	case "body":
		return f.json(f.body, true, name)
	case "discovered":
		return f.json(f.discovered, false, name)
	case "headers":
		return f.headers(name)
	case "status":
		return numberValue(int64(f.status))
	case "now":
		return numberValue(f.call.Now.Unix())
	case "operation":
		return stringValue(string(f.call.Op), false)
	}
	return value{}
}

func (f *frame) values(v spec.Values, name string) value {
	if name != "" {
		return valueOf(v.Cty(name))
	}
	return valueOf(v.Object())
}

func (f *frame) json(v jsonValue, marked bool, name string) value {
	if name != "" {
		v = v.member(name)
	}
	return valueOfJSON(v, marked)
}

func (f *frame) headers(name string) value {
	if name != "" {
		if v := f.header.Values(name); len(v) > 0 {
			return stringValue(strings.Join(v, ", "), true)
		}
		return value{marked: true}
	}
	all := make(map[string]cty.Value, 2*len(f.header))
	for k, v := range f.header {
		joined := cty.StringVal(strings.Join(v, ", "))
		all[k], all[strings.ToLower(k)] = joined, joined
	}
	return value{kind: kindCty, cty: cty.ObjectVal(all), marked: true}
}

func (f *frame) token(name string) value {
	t := &f.call.Token
	switch name {
	case "access_token":
		return secretValue(t.AccessToken)
	case "refresh_token":
		return secretValue(t.RefreshToken)
	case "header":
		return secretValue(t.Header)
	case "header_name":
		return optionalText(t.HeaderName)
	case "token_type":
		return optionalText(t.TokenType)
	case "scopes":
		return valueOf(stringList(t.Scopes))
	case "expires_at":
		if t.ExpiresAt.IsZero() {
			return value{}
		}
		return stringValue(t.ExpiresAt.UTC().Format(time.RFC3339), false)
	case "outputs":
		return valueOf(t.Outputs.Object())
	case "":
		all := map[string]cty.Value{}
		for _, n := range []string{"access_token", "refresh_token", "header", "header_name", "token_type", "scopes", "expires_at", "outputs"} {
			all[n] = ctyOf(f.token(n))
		}
		return valueOf(cty.ObjectVal(all))
	}
	return value{}
}

func (f *frame) flow(name string) value {
	w := &f.call.Flow
	switch name {
	case "code":
		return secretValue(w.Code)
	case "state":
		return optionalText(w.State)
	case "redirect_uri":
		return optionalText(w.RedirectURI)
	case "code_verifier":
		return secretValue(w.CodeVerifier)
	case "device_code":
		return secretValue(w.DeviceCode)
	case "params":
		all := make(map[string]cty.Value, len(w.Params))
		for k, v := range w.Params {
			all[k] = cty.StringVal(v.Reveal())
		}
		return value{kind: kindCty, cty: cty.ObjectVal(all), marked: true}
	case "":
		all := map[string]cty.Value{}
		for _, n := range []string{"code", "state", "redirect_uri", "code_verifier", "device_code", "params"} {
			all[n] = ctyOf(f.flow(n))
		}
		return valueOf(cty.ObjectVal(all))
	}
	return value{}
}

func secretValue(t secret.Text) value {
	if t.Empty() {
		return value{marked: true}
	}
	return stringValue(t.Reveal(), true)
}

func optionalText(s string) value {
	if s == "" {
		return value{}
	}
	return stringValue(s, false)
}

func stringList(list []string) cty.Value {
	if list == nil {
		return cty.NullVal(cty.List(cty.String))
	}
	if len(list) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	vals := make([]cty.Value, len(list))
	for i, s := range list {
		vals[i] = cty.StringVal(s)
	}
	return cty.ListVal(vals)
}

// ctyOf is toCty for values that are known to convert.
func ctyOf(v value) cty.Value {
	c, err := v.toCty()
	if err != nil {
		return cty.DynamicVal
	}
	return c
}

// context is the frame as HCL wants it, with the variables that are named.
func (f *frame) context(roots []string) (*hcl.EvalContext, error) {
	vars := make(map[string]cty.Value, len(roots))
	for _, r := range roots {
		v, err := f.variable(r)
		if err != nil {
			return nil, err
		}
		vars[r] = v
	}
	return &hcl.EvalContext{Variables: vars, Functions: f.functions}, nil
}

// variable is a root with the marks of its members where they belong: an input
// that is not sensitive stays so beside one that is.
func (f *frame) variable(root string) (cty.Value, error) {
	switch root {
	case "config":
		return f.config.Object(), nil
	case "input":
		return f.call.Inputs.With("scopes", stringList(f.call.Scopes)).Object(), nil
	case "token", "flow":
		all := map[string]cty.Value{}
		for _, n := range membersOf(root) {
			if root == "token" {
				all[n] = ctyOf(f.token(n))
			} else {
				all[n] = ctyOf(f.flow(n))
			}
		}
		if root == "token" {
			all["outputs"] = f.call.Token.Outputs.Object()
		}
		return cty.ObjectVal(all), nil
	}
	return f.root(root, "").wholeToCty()
}

func membersOf(root string) []string {
	if root == "token" {
		return []string{"access_token", "refresh_token", "header", "header_name", "token_type", "scopes", "expires_at"}
	}
	return []string{"code", "state", "redirect_uri", "code_verifier", "device_code", "params"}
}

// secrets lists everything sensitive that the call itself carries.
func (c *Call) secrets(config spec.Values) []secret.Text {
	var out []secret.Text
	add := func(t secret.Text) {
		if !t.Empty() {
			out = append(out, t)
		}
	}
	for _, v := range []spec.Values{c.Inputs, config, c.Token.Outputs} {
		for _, name := range v.Names() {
			if x := v.Cty(name); spec.IsSensitive(x) {
				out = appendTexts(out, x)
			}
		}
	}
	add(c.Token.AccessToken)
	add(c.Token.RefreshToken)
	add(c.Token.Header)
	add(c.Flow.Code)
	add(c.Flow.CodeVerifier)
	add(c.Flow.DeviceCode)
	names := make([]string, 0, len(c.Flow.Params))
	for n := range c.Flow.Params {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if !spokenParam(n) {
			add(c.Flow.Params[n])
		}
	}
	return out
}

// spokenParam reports whether a redirect's parameter is there to be read by
// people: an error's text must survive the scrubbing of everything else.
func spokenParam(name string) bool {
	switch name {
	case "error", "error_description", "error_uri", "error_message", "message", "scope", "token_type", "expires_in":
		return true
	}
	return false
}

// appendTexts adds every string inside v.
func appendTexts(out []secret.Text, v cty.Value) []secret.Text {
	v, _ = v.UnmarkDeep()
	_ = cty.Walk(v, func(_ cty.Path, x cty.Value) (bool, error) {
		if x.IsKnown() && !x.IsNull() && x.Type() == cty.String {
			out = append(out, secret.New(x.AsString()))
		}
		return true, nil
	})
	return out
}
