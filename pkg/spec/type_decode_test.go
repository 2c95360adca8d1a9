package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

func parseType(t *testing.T, src string) (*ProviderType, Diagnostics) {
	t.Helper()
	return ParseProviderType([]byte(src), false)
}

// mustType fails on any diagnostic.
func mustType(t *testing.T, src string) *ProviderType {
	t.Helper()
	typ, diags := parseType(t, src)
	for _, d := range diags {
		t.Errorf("%v: %s: %s", d.Subject, d.Summary, d.Detail)
	}
	if typ == nil {
		t.FailNow()
	}
	return typ
}

func TestCatalogTypes(t *testing.T) {
	paths, err := filepath.Glob("../providers/catalog/*.hcl")
	if err != nil || len(paths) != 5 {
		t.Fatalf("catalog: %v %v", paths, err)
	}
	for _, p := range paths {
		t.Run(filepath.Base(p), func(t *testing.T) {
			src, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			typ := mustType(t, string(src))
			if want := strings.TrimSuffix(filepath.Base(p), ".hcl"); typ.Name != want {
				t.Errorf("type %q in file of %q", typ.Name, want)
			}
			again := mustType(t, string(typ.Source))
			if diff := cmp.Diff(string(typ.Source), string(again.Source)); diff != "" {
				t.Errorf("source is not stable:\n%s", diff)
			}
		})
	}
}

func catalogType(t *testing.T, name string) *ProviderType {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("../providers/catalog", name+".hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return mustType(t, string(src))
}

func TestDecodeApirone(t *testing.T) {
	typ := catalogType(t, "apirone")
	login, key := typ.Grant("login"), typ.Grant("transfer_key")
	if login == nil || key == nil {
		t.Fatalf("grants: %v", typ.Grants)
	}
	if !login.Lockout {
		t.Error("login names a password and so counts against an account")
	}
	if !key.Static || typ.RefreshOf(key) != nil || typ.RevokeOf(key) != nil || typ.HasAccessToken(key) {
		t.Error("the transfer key is static")
	}
	if typ.RefreshOf(login) == nil || typ.RevokeOf(login) == nil || typ.RevokeOf(login).Needs != "access_token" {
		t.Error("a login is refreshed and revoked")
	}
	if diff := cmp.Diff([]string{"login"}, typ.OutputNames(login)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"transfer_key"}, typ.OutputNames(key)); diff != "" {
		t.Error(diff)
	}
	body := func(v cty.Value) *hcl.EvalContext {
		return &hcl.EvalContext{Variables: map[string]cty.Value{"body": Sensitive(v)}, Functions: TypeFunctions()}
	}
	for _, c := range []struct {
		name string
		body cty.Value
	}{
		{"absent member", cty.EmptyObjectVal},
		{"null member", cty.ObjectVal(map[string]cty.Value{"access-token": cty.NullVal(cty.String)})},
		{"null body", cty.NullVal(cty.DynamicPseudoType)},
		{"claims without exp", cty.ObjectVal(map[string]cty.Value{"access-token": cty.StringVal("e30.e30.x")})},
	} {
		v, diags := typ.Response.ExpiresAt.Value(body(c.body))
		if diags.HasErrors() || !first(v.Unmark()).IsNull() {
			t.Errorf("%s: %#v %v", c.name, v, diags)
		}
	}
	v, diags := typ.Response.ExpiresAt.Value(body(cty.ObjectVal(map[string]cty.Value{"access-token": cty.StringVal("e30.eyJleHAiOjE2MTM2NjI3MTN9.x")})))
	if diags.HasErrors() || !IsSensitive(v) || !first(v.Unmark()).RawEquals(cty.NumberIntVal(1613662713)) {
		t.Errorf("exp: %#v %v", v, diags)
	}
}

func first(v cty.Value, _ cty.ValueMarks) cty.Value { return v }

func TestReachOfTypeLevelBlocks(t *testing.T) {
	typ := catalogType(t, "coinsph")
	code, implicit := typ.Grant("authorization_code"), typ.Grant("implicit")
	if typ.RefreshOf(implicit) != nil {
		t.Error("an implicit grant has no refresh token and so no refresh")
	}
	r := typ.RefreshOf(code)
	if r == nil || !r.InvalidatesAccessToken {
		t.Error("a refresh of Coins.ph invalidates the access token")
	}
	if code.Lockout || implicit.Request != nil || implicit.Authorize.State != StateIfReturned || implicit.Authorize.CodeFrom != FromQueryOrFragment {
		t.Errorf("%+v %+v", code, implicit.Authorize)
	}
	oauth2 := catalogType(t, "oauth2")
	for name, want := range map[string]bool{"password": true, "client_credentials": false, "refresh_token": false, "authorization_code": false} {
		if got := oauth2.Grant(name).Lockout; got != want {
			t.Errorf("lockout of %s: %v", name, got)
		}
	}
	if !oauth2.Discovers(oauth2.Grant("password")) {
		t.Error("oauth2 discovers")
	}
	coinify := catalogType(t, "coinify")
	if a := coinify.Action("deactivate"); a == nil || !a.Destructive || !a.EndsAccount {
		t.Errorf("deactivate: %+v", a)
	}
	if got := coinify.Refresh.TokenLifetime.String(); got != "24h0m0s" {
		t.Error(got)
	}
}

func TestJSONSyntaxType(t *testing.T) {
	src := `{"provider_type": {"shop": {
	  "summary": "a shop",
	  "config": {"base_url": {"type": "string", "default": "https://shop.example"}},
	  "grant": {"login": {
	    "input": {"user": {"type": "string"}, "password": {"type": "string", "sensitive": true}},
	    "request": {"method": "POST", "url": "${config.base_url}/login", "json": {"u": "${input.user}", "p": "${input.password}", "n": 3}}
	  }},
	  "response": {"access_token": "${body.data.token}", "expires_in": "${body.data.ttl}", "outputs": {"id": "${body.id}"}}
	}}}`
	typ := mustType(t, src)
	v, diags := typ.Response.AccessToken.Value(&hcl.EvalContext{Variables: map[string]cty.Value{"body": cty.ObjectVal(map[string]cty.Value{"x": cty.True})}})
	if diags.HasErrors() || !v.IsNull() {
		t.Errorf("%#v %v", v, diags)
	}
	if diff := cmp.Diff([]string{"id"}, typ.OutputNames(typ.Grants[0])); diff != "" {
		t.Error(diff)
	}
	if !typ.Grants[0].Lockout {
		t.Error("lockout")
	}
	again := mustType(t, string(typ.Source))
	if again.Name != "shop" || len(again.Grants) != 1 {
		t.Errorf("%+v", again)
	}
	_, diags = parseType(t, strings.Replace(src, "${input.user}", "${input.usr}", 1))
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, `Did you mean "user"`) || diags[0].Subject.Start.Line != 6 {
		t.Errorf("%v", diags)
	}
}

// whole is a type without mistakes; each case of TestTypeMistakes spoils it.
const whole = `provider_type "shop" {
  config "base_url" {
    type    = string
    default = "https://shop.example"
  }
  grant "login" {
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/login"
      json   = { user = input.user, password = input.password }
    }
  }
  grant "key" {
    input "api_key" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/key"
      form   = { key = input.api_key, at = now }
    }
  }
  response {
    access_token  = body.token
    refresh_token = body.refresh
    expires_in    = body.ttl
    outputs       = { id = body.id }
  }
  refresh {
    request {
      method  = "POST"
      url     = "${config.base_url}/refresh"
      headers = { Authorization = "Bearer ${token.refresh_token}" }
    }
  }
  revoke {
    on = ["remove"]
    request {
      method = "POST"
      url    = "${config.base_url}/revoke"
      json   = { token = token.refresh_token }
    }
  }
  error {
    permanent = status == 400
  }
}
`

func TestTypeMistakes(t *testing.T) {
	mustType(t, whole)
	cases := []struct {
		name, old, with string
		line            int
		want            []string // of summary, detail and hint
	}{
		{"unknown input", "user = input.user,", "user = input.usr,", 15, []string{"Unknown name", `Did you mean "user"`}},
		{"unknown setting", `url    = "${config.base_url}/login"`, `url = "${config.base}/login"`, 14, []string{"Unknown name", "base_url"}},
		{"unknown root", "access_token  = body.token", "access_token = bdy.token", 30, []string{"Unknown name", `Did you mean "body"`}},
		{"token in a grant", "{ user = input.user,", "{ user = token.access_token,", 15, []string{"token is not there yet"}},
		{"body in a request", "{ user = input.user,", "{ user = body.user,", 15, []string{"body is what a reply has"}},
		{"flow without a person", "{ user = input.user,", "{ user = flow.code,", 15, []string{"flow is in scope only", `Grant "login" is none`}},
		{"now in a response", "expires_in    = body.ttl", "expires_in = body.ttl - now", 32, []string{"now can be named in requests only"}},
		{"jwt_sign in a response", "access_token  = body.token", `access_token = jwt_sign("HS256", body.key, {}, {})`, 30, []string{"jwt_sign can be called in requests only"}},
		{"type-level block that a grant cannot serve", `headers = { Authorization = "Bearer ${token.refresh_token}" }`, `json = { t = token.refresh_token, user = input.user }`, 39, []string{`used for grant "key" too`, `no input "user"`}},
		{"input of no grant", `headers = { Authorization = "Bearer ${token.refresh_token}" }`, `json = { t = token.refresh_token, user = input.account }`, 39, []string{`No grant that reaches a refresh has an input "account"`}},
		{"unknown member of token", "token = token.refresh_token }", "token = token.refreshtoken }", 47, []string{`Did you mean "refresh_token"`}},
		{"missing request", `    request {
      method = "POST"
      url    = "${config.base_url}/key"
      form   = { key = input.api_key, at = now }
    }
`, "", 18, []string{"Missing request", "static = true"}},
		{"missing access_token", "    access_token  = body.token\n", "", 29, []string{"Missing access_token"}},
		{"missing url", `      url    = "${config.base_url}/login"` + "\n", "", 12, []string{"url"}},
		{"constant token", "access_token  = body.token", `access_token = "abc"`, 30, []string{"Constant token"}},
		{"two bodies", `form   = { key = input.api_key, at = now }`, `form = { a = 1 }` + "\n" + `json = { a = 1 }`, 26, []string{"json or form"}},
		{"reserved input", `input "user" { type = string }`, `input "provider" { type = string }`, 7, []string{"Reserved name", "provider"}},
		{"declared scopes", `input "user" { type = string }`, `input "scopes" { type = list(string) }`, 7, []string{"Reserved name", "input.scopes"}},
		{"reserved setting", `config "base_url" {`, `config "rate_limit" {`, 2, []string{"Reserved name"}},
		{"reserved output", "outputs       = { id = body.id }", "outputs = { generation = body.id }", 33, []string{"Reserved name", "generation"}},
		{"computed outputs", "outputs       = { id = body.id }", "outputs = body", 33, []string{"written out"}},
		{"static with a request", `  grant "key" {`, "  grant \"key\" {\n    static = true", 18, []string{"static"}},
		{"unknown argument", "permanent = status == 400", "permanant = status == 400", 51, []string{"permanent"}},
		{"unknown on", `on = ["remove"]`, `on = ["removal"]`, 43, []string{`Did you mean "remove"`}},
		{"unknown function", "user = input.user,", "user = uper(input.user),", 15, []string{`Did you mean "upper"`}},
		{"file function", "user = input.user,", `user = file("x"),`, 15, []string{"reads no files"}},
		{"wrong type", `url    = "${config.base_url}/login"`, `url = { a = 1 }`, 14, []string{"Wrong type", "a string"}},
		{"unknown method", `method = "POST"
      url    = "${config.base_url}/login"`, `method = "PST"
      url    = "${config.base_url}/login"`, 13, []string{`Did you mean "POST"`}},
		{"secret default", "sensitive = true\n    }\n    request {\n      method = \"POST\"\n      url    = \"${config.base_url}/login\"", "sensitive = true\n default = \"hunter2\"\n    }\n    request {\n      method = \"POST\"\n      url    = \"${config.base_url}/login\"", 11, []string{"Default of a sensitive input", "default = null"}},
		{"bad session", `provider_type "shop" {`, "provider_type \"shop\" {\n session = \"shared\"", 2, []string{"shared_grant"}},
		{"discovered without discovery", `url    = "${config.base_url}/login"`, `url = discovered.token_endpoint`, 14, []string{"discovery = input.issuer"}},
		{"duplicate grant", `  grant "key" {`, `  grant "login" {`, 18, []string{"Duplicate grant"}},
		{"missing type of input", `input "user" { type = string }`, `input "user" {}`, 7, []string{"Missing type"}},
		{"bad rotates", "  refresh {\n", "  refresh {\n    rotates = \"sometimes\"\n", 36, []string{"rotates must be"}},
		{"bad duration", "  refresh {\n", "  refresh {\n    replay_window = \"soon\"\n", 36, []string{"replay_window must be a duration"}},
		{"token in header_name", `provider_type "shop" {`, "provider_type \"shop\" {\n header_name = token.access_token", 2, []string{"token"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(whole, c.old) {
				t.Fatalf("the case's text is not in the type: %q", c.old)
			}
			typ, diags := parseType(t, strings.Replace(whole, c.old, c.with, 1))
			if typ != nil || !diags.HasErrors() {
				t.Fatal("no error")
			}
			d := diags[0]
			text := d.Summary + ": " + d.Detail + " " + Hint(d)
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("%q lacks %q", text, w)
				}
			}
			if d.Subject == nil || d.Subject.Start.Line != c.line {
				t.Errorf("at %v, want line %d (%s)", d.Subject, c.line, text)
			}
			if len(diags) > 1 {
				t.Errorf("one mistake, several diagnostics: %v", diags)
			}
			if strings.Contains(text, "hunter2") {
				t.Error("shows the secret")
			}
			if strings.Contains(c.with, "hunter2") && ShowSource(d) {
				t.Error("would show the source line of a secret")
			}
		})
	}
}

func TestInteractiveMistakes(t *testing.T) {
	const src = `provider_type "web" {
  grant "code" {
    input "client_id" { type = string }
    authorize {
      url   = "https://web.example/authorize"
      query = { client_id = input.client_id }
      pkce  = true
    }
    request {
      method = "POST"
      url    = "https://web.example/token"
      form   = { code = flow.code, verifier = flow.code_verifier }
    }
  }
  response { access_token = body.access_token }
}
`
	mustType(t, src)
	for _, c := range []struct{ old, with, want string }{
		{"code = flow.code, ", "", "never names flow.code"},
		{", verifier = flow.code_verifier", "", "flow.code_verifier"},
		{"pkce  = true", `state = "never"`, "if_returned"},
		{"flow.code,", "flow.cod,", `Did you mean "code"`},
		{"client_id = input.client_id }", "verifier = flow.code_verifier }", "no member \"code_verifier\" here"},
	} {
		_, diags := parseType(t, strings.Replace(src, c.old, c.with, 1))
		if !diags.HasErrors() || !strings.Contains(diags.Error(), c.want) {
			t.Errorf("%s: %v", c.with, diags)
		}
	}
	// Without an exchange the token comes from the redirect, and the type's response cannot say so.
	_, diags := parseType(t, `provider_type "web" {
  grant "implicit" {
    authorize { url = "https://web.example/authorize" }
  }
  response { access_token = body.access_token }
}`)
	if !diags.HasErrors() || !strings.Contains(diags[0].Detail, "body is what a reply has") {
		t.Errorf("%v", diags)
	}
}

func FuzzParseProviderType(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"provider_type": {"x": {"grant": {"g": {"static": true, "outputs": {"a": "${input.b}"}}}}}}`))
	f.Add([]byte(`{"provider_type": {"x": [{"summary": "a"}, {"summary": "b"}]}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		typ, diags := ParseProviderType(src, false)
		if typ == nil && !diags.HasErrors() {
			t.Fatal("neither a type nor an error")
		}
		if typ != nil {
			if again, diags := ParseProviderType(typ.Source, false); again == nil {
				t.Fatalf("the kept source does not read again: %v\n%s", diags, typ.Source)
			}
		}
	})
}
