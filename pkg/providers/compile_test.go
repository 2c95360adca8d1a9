package providers

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// exprIn gives an expression as a provider type has it, at a place where status,
// headers, body, token and input are in scope (the outputs of a refresh), with
// leniency where it belongs.
func exprIn(t testing.TB, text string) hcl.Expression {
	t.Helper()
	typ, diags := spec.ParseProviderType([]byte(`provider_type "x" {
  config "base_url" { type = string }
  config "list" { type = list(string) }
  grant "g" {
    input "user" { type = string }
    input "secret" {
      type      = string
      sensitive = true
    }
    input "none" {
      type    = string
      default = null
    }
    input "tags" { type = map(string) }
    request {
      method = "POST"
      url    = "https://x.example/"
    }
    response { access_token = body.access_token }
    refresh {
      request {
        method = "POST"
        url    = "https://x.example/"
      }
      response {
        access_token = body.access_token
        outputs      = { x = `+text+` }
      }
    }
  }
}
`), false)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", text, diags)
	}
	e := typ.Grants[0].Refresh.Response.Outputs
	kv, diags := hcl.ExprMap(e)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return kv[0].Value
}

func testFrame(t testing.TB, body string) *frame {
	t.Helper()
	doc, ok := scanJSON(body)
	if !ok && body != "" {
		t.Fatalf("not JSON: %s", body)
	}
	return &frame{
		call: &Call{Op: OpRefresh, Now: time.Unix(1700000000, 0), Scopes: []string{"a", "b"},
			Inputs: spec.NewValues(map[string]cty.Value{
				"user": cty.StringVal("maria"), "secret": spec.Sensitive(cty.StringVal("s3cret")), "none": cty.NullVal(cty.String),
				"tags": cty.MapVal(map[string]cty.Value{"a": cty.StringVal("1"), "b": spec.Sensitive(cty.StringVal("2"))}),
			}),
			Token: Token{AccessToken: secret.New("at"), RefreshToken: secret.New("rt"), TokenType: "bearer", Scopes: []string{"x"}, ExpiresAt: time.Unix(1700000060, 0),
				Outputs: spec.NewValues(map[string]cty.Value{"id": spec.Sensitive(cty.StringVal("7"))})},
		},
		config:    spec.NewValues(map[string]cty.Value{"base_url": cty.StringVal("https://x.example"), "list": cty.ListVal([]cty.Value{cty.StringVal("l0"), cty.StringVal("l1")})}),
		functions: spec.TypeFunctions(), body: doc, status: 418, header: http.Header{"X-Id": {"h1", "h2"}, "Retry-After": {"3"}},
	}
}

// sameExpressions are evaluated by closures and by HCL.
var sameExpressions = []string{
	`body.a`, `body["a"]`, `body.n`, `body.big`, `body.neg`, `body.t`, `body.nul`, `body.gone`, `body.gone.deeper`, `body.nul.x`, `body.a.x`, `body.o.p.q`, `body.o["p"]["q"]`, `body.list[1]`, `body.list[9]`,
	`body.list.0`, `body.list["0"]`, `body.o`, `body.list`, `body.esc`, `body["we\"ird"]`, `body`, `body.o[input.user]`, `body.o[body.key]`,
	`input.user`, `input.secret`, `input.none`, `input.tags["a"]`, `input.tags.b`, `input.scopes`, `join(" ", input.scopes)`, `config.base_url`, `config.list[1]`, `config.list`,
	`token.access_token`, `token.refresh_token`, `token.scopes`, `token.expires_at`, `token.outputs.id`, `token.outputs.gone`, `token.header`, `token.token_type`,
	`status`, `status == 418`, `status != 418`, `status >= 400 && status < 500`, `status == "418"`, `headers["X-Id"]`, `headers["x-id"]`, `headers.gone`, `headers["Retry-After"]`,
	`"plain"`, `""`, `7`, `1.50`, `true`, `null`, `"${config.base_url}/a"`, `"x${body.a}y${input.user}"`, `"${body.n}"`, `"${body.t}"`, `"$${x}"`, `(body.a)`,
	`body.a == "v"`, `body.a != null`, `body.nul == null`, `body.gone == null`, `body.n == 42`, `body.n == 42.0`, `body.n == "42"`, `body.t == true`, `body.o == null`, `body.o == body.o`, `body.list == body.o`, `!body.t`, `!(body.a == "v")`,
	`body.gone != null ? body.gone : "default"`, `body.a == "v" ? body.n : 1`, `body.t ? "y" : "n"`, `body.t && body.a == "v"`, `body.t || body.a == "x"`, `body.n > 41`, `body.n <= 41`,
	`upper(body.a)`, `length(body.list)`, `jsonencode(body.o)`, `coalesce(body.gone, body.a)`, `try(body.gone.x.y, "t")`, `try(parseint(body.a, 10), 5)`, `can(parseint(body.a, 10))`, `lookup(input.tags, "zz", "d")`, `tostring(body.n)`, `body.n + 1`, `-body.n`, `body.n % 5`,
	`[for x in body.list : "${x}!"]`, `{for k, v in body.o : k => v}`, `body.objs[*].id`, `[for o in body.objs : o.gone]`, `[body.a, 1, null]`, `{ a = body.a, (body.a) = 2, "c d" = null }`, `"%{ if body.t }yes%{ else }no%{ endif }"`, `"%{ for x in body.list }${x},%{ endfor }"`,
	`body.gone || true`, `false && body.gone`, `body.gone && true`, `body.gone || body.gone`, `parseint("x", 10) == 1 || true`, `join(",", body.list)`, `join(",", body.gone)`, `join(",", body.a)`, `join("-", config.list)`, `join("", [])`, `urlencode(body.esc)`, `urlencode(body.gone)`, `base64encode(body.n)`, `base64encode(body.o)`, `"x${body.gone}"`, `"x${body.o}"`, `jwt_claims(body.jwt).exp`, `jwt_claims(body.jwt).gone`, `jwt_claims(body.jwt).deep.x`, `jwt_claims(body.gone).exp`, `jwt_claims(body.jwt)["sub"]`, `jwt_claims(body.jwt)`, `merge({ a = 1 }, body.o)`, `concat(body.list, ["z"])...[0]`, `base64encode("${urlencode(input.user)}:${urlencode(input.secret)}")`,
}

const sameBody = `{"a":"v","n":42,"big":1.5e3,"neg":-0.5,"t":true,"nul":null,"o":{"p":{"q":"deep"},"maria":"m","v":1},"list":["l0","l1",3],"esc":"a\u00e4\n\"\ud83d\ude00","we\"ird":"w","key":"maria",
"objs":[{"id":1},{"id":2}],"jwt":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIiwiZXhwIjoxNjEzNjYyNzEzLCJkZWVwIjp7IngiOjF9fQ.c2ln"}`

func TestCompiledIsWhatHCLSays(t *testing.T) {
	for _, body := range []string{sameBody, `{}`, `null`, `[]`, `"text"`} {
		f := testFrame(t, body)
		c := &compiler{config: f.config, functions: f.functions}
		for _, text := range sameExpressions {
			if strings.Contains(text, "...") {
				continue
			}
			e := exprIn(t, text)
			compareEvaluations(t, f, c, e, text+" over "+body[:min(len(body), 10)])
		}
	}
}

// compareEvaluations evaluates by closures, and by HCL with the whole context.
func compareEvaluations(t *testing.T, f *frame, c *compiler, e hcl.Expression, what string) {
	t.Helper()
	got, gotErr := c.expr(e)(f)
	ctx, err := f.context([]string{"config", "input", "token", "status", "headers", "body"})
	if err != nil {
		t.Fatal(err)
	}
	want, diags := e.Value(ctx)
	if (gotErr != nil) != diags.HasErrors() {
		t.Errorf("%s: closures: %v, HCL: %v", what, gotErr, diags)
		return
	}
	if gotErr != nil {
		return
	}
	ref := valueOf(want)
	// Texts of one meaning: numbers may be written in several ways.
	if eq, err := got.equal(ref); err != nil || !eq {
		a, _ := got.appendJSON(nil)
		b, _ := ref.appendJSON(nil)
		if !sameJSON(a, b) {
			t.Errorf("%s: closures %s, HCL %s (%v)", what, a, b, err)
		}
	}
	if got.marked != ref.marked && ref.marked {
		t.Errorf("%s: HCL says sensitive, closures do not", what)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	m, _ := json.Marshal(x)
	n, _ := json.Marshal(y)
	return string(m) == string(n)
}

func TestErrorsOfExpressionsQuoteNothing(t *testing.T) {
	f := testFrame(t, `{"a":"canary-4711","o":{"canary-4711":1}}`)
	c := &compiler{config: f.config, functions: f.functions}
	for _, text := range []string{`parseint(body.a, 10)`, `tonumber(body.a)`, `jsondecode(body.a)`, `jwt_claims(body.a)`, `"x${body.o}"`, `"x${body.gone}"`, `body.a > 3`, `body.a && true`, `body.a ? 1 : 2`,
		`[for x in body.a : x]`, `{for k, v in [body.a, body.a] : v => 1}`, `lookup({}, body.a)`, `timeadd(body.a, "1h")`, `regex(body.a, "x(")`, `!body.a`, `-body.a`, `upper(body.o)`} {
		_, err := c.expr(exprIn(t, text))(f)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		if strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestScanJSONIsAsStrictAsEncodingJSON(t *testing.T) {
	for _, s := range jsonSamples {
		doc, ok := scanJSON(s)
		if want := json.Valid([]byte(s)); ok != want {
			t.Errorf("%q: %v, encoding/json says %v", s, ok, want)
		}
		_ = doc
	}
}

var jsonSamples = []string{``, ` `, `{}`, ` { } `, `[]`, `[ 1 , 2 ]`, `{"a":1}`, `{"a" : [1,{"b":null}]}`, `{"a":1,}`, `[1,]`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `01`, `0`, `-`, `-0`, `1.`, `.5`, `1e`, `1e+5`, `1.5E-3`, `00`, `-01`, `"a`, `"\u12"`, `"\u12g4"`, `"\x"`,
	`"\\"`, "\"\n\"", "\"\x7f\"", `tru`, `true`, `truex`, `nullnull`, `null`, `"a" "b"`, `{"a":1}}`, `[[[[1]]]]`, `{"a":1,"a":2}`, `+1`, `NaN`, `'a'`, "\t[\r\n]\t", `"\ud800"`, `{"\u0061":1}`, `"€"`}

func FuzzScanJSON(f *testing.F) {
	for _, s := range jsonSamples {
		f.Add(s, "a", 0)
	}
	f.Add(sameBody, "jwt", 1)
	f.Fuzz(func(t *testing.T, s, key string, n int) {
		doc, ok := scanJSON(s)
		if !ok {
			return
		}
		trimmed := strings.TrimPrefix(s, "\ufeff")
		var ref any
		d := json.NewDecoder(strings.NewReader(trimmed))
		d.UseNumber()
		if err := d.Decode(&ref); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", s, err)
		}
		m := doc.member(key)
		if obj, isObj := ref.(map[string]any); isObj {
			want, there := obj[key]
			if there != (m != "") {
				t.Fatalf("member %q of %q: %q", key, s, m)
			}
			if text, isText := want.(string); isText && text != m.text() {
				t.Fatalf("member %q of %q: %q, want %q", key, s, m.text(), text)
			}
		} else if m != "" {
			t.Fatalf("a member of something else")
		}
		el := doc.element(n)
		if list, isList := ref.([]any); isList && (n >= 0 && n < len(list)) != (el != "") {
			t.Fatalf("element %d of %q: %q", n, s, el)
		}
		if doc.isString() && doc.halved() {
			if _, err := valueOfJSON(doc, false).appendJSON(nil); !errors.Is(err, errHalved) {
				t.Fatalf("half of a character was written again: %v", err)
			}
			return
		}
		out, err := valueOfJSON(doc, false).appendJSON(nil)
		if err != nil || !json.Valid(out) {
			t.Fatalf("written again: %q %v", out, err)
		}
	})
}

func FuzzAppendJSONString(f *testing.F) {
	f.Add("a\"\\\n\x00ä\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		out := appendJSONString(nil, s)
		var back string
		if err := json.Unmarshal(out, &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && json.Valid(out) && back != s && !strings.ContainsRune(back, '\ufffd') {
			t.Fatalf("%q becomes %q: %v", s, back, err)
		}
	})
}

// FuzzRead reads anything as a reply, of every operation, and must give either
// a token that can be used or an Error that says why not.
func FuzzRead(f *testing.F) {
	typ, diags := spec.ParseProviderType([]byte(`provider_type "x" {
  grant "g" {
    request {
      method = "POST"
      url    = "https://x.example/"
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.data.refresh
    token_type    = body.token_type
    expires_in    = body.expires_in
    expires_at    = jwt_claims(body.jwt).exp
    scopes        = body.scope
    outputs       = { id = body.account.id, all = body.account }
  }
  refresh {
    request {
      method = "POST"
      url    = "https://x.example/"
      form   = { t = token.refresh_token }
    }
  }
  revoke {
    request {
      method = "POST"
      url    = "https://x.example/"
    }
  }
  error {
    permanent = body.error.code == "x"
    login     = status == 418
    message   = body.error.text
  }
}
`), false)
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	e, err := NewEndpoint(&spec.Provider{Addr: "provider.x.default", Type: typ}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, "application/json", sameBody)
	f.Add(200, "application/json", `{"access_token":"a","data":{"refresh":"r"},"expires_in":"60","scope":"a b","account":{"id":[1,{}]},"error":{"code":"x","text":"y"}}`)
	f.Add(400, "text/html", `<html>`)
	f.Add(200, "application/x-www-form-urlencoded", `access_token=a&expires_in=3`)
	at := time.Unix(1700000000, 0)
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		for _, op := range []Op{OpGrant, OpRefresh, OpRevoke, OpVerify, OpAction} {
			c := Call{Op: op, Grant: "g", Now: at, Token: Token{RefreshToken: secret.New("rt-held-4711")}}
			r := &Reply{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: secret.New(body), At: at}
			tok, err := e.Read(c, r)
			if err != nil {
				var known *Error
				if !asErr(err, &known) || known.Class == "" || known.Op != op {
					t.Fatalf("%T %v", err, err)
				}
				if text := known.Error() + known.Hint; strings.ContainsAny(text, "\x00\x1b\r\n") || len(text) > 2000 || strings.Contains(text, "rt-held-4711") {
					t.Fatalf("%q", text)
				}
				continue
			}
			if op == OpGrant || op == OpRefresh {
				if tok.AccessToken.Empty() || !validHeaderValue(tok.Header.Reveal()) || !tok.ExpiresAt.IsZero() && !tok.ExpiresAt.After(at) {
					t.Fatalf("%+v", tok)
				}
				if _, err := tok.Outputs.Seal(nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func asErr(err error, into **Error) bool {
	e, ok := err.(*Error)
	*into = e
	return ok
}

func BenchmarkApirone(b *testing.B) {
	src := mustRead(b, "catalog/apirone.hcl")
	typ, diags := spec.ParseProviderType(src, true)
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	e, err := NewEndpoint(&spec.Provider{Addr: "provider.apirone.default", Type: typ, Config: spec.NewValues(map[string]cty.Value{"base_url": cty.StringVal("https://apirone.com")})}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Unix(1613000000, 0)
	in := spec.NewValues(map[string]cty.Value{"login": cty.StringVal("apr-e7be0e8eabd391b499fe64647576fad5"), "password": spec.Sensitive(cty.StringVal("CY2qGJ65OVc5X5KJbibOelc5bbZbnfqx"))})
	c := Call{Op: OpGrant, Grant: "login", Inputs: in, Now: at}
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIiwiZXhwIjoxNjEzNjYyNzEzLCJkZWVwIjp7IngiOjF9fQ.c2ln"
	r := &Reply{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, At: at,
		Body: secret.New(`{"login":"apr-e7be0e8eabd391b499fe64647576fad5","access-token":"` + jwt + `","refresh-token":"` + jwt + `"}`)}
	b.Run("prepare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Prepare(c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Read(c, r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOAuth2Prepare(b *testing.B) {
	typ, diags := spec.ParseProviderType(mustRead(b, "catalog/oauth2.hcl"), true)
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	e, err := NewEndpoint(&spec.Provider{Addr: "provider.oauth2.default", Type: typ}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	in := map[string]cty.Value{}
	for _, f := range typ.Grant("client_credentials").Inputs {
		if f.Default != nil {
			in[f.Name] = *f.Default
		}
	}
	in["client_id"], in["client_secret"], in["token_url"] = cty.StringVal("billing"), spec.Sensitive(cty.StringVal("s3cret")), cty.StringVal("https://id.example/token")
	c := Call{Op: OpGrant, Grant: "client_credentials", Inputs: spec.NewValues(in), Scopes: []string{"a", "b"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Prepare(c); err != nil {
			b.Fatal(err)
		}
	}
}

// Half of a character is told from a whole one, however it is written.
func TestHalvedText(t *testing.T) {
	for text, want := range map[string]bool{
		`"plain"`: false, `"é"`: false, `"\n\\ud800"`: false, `"\u0041"`: false, `"\ufffd"`: false,
		`"\ud83d\ude00"`: false, `"\uD83D\uDE00 \\"`: false, `["\ud83d\ude00","\ud83d\ude00"]`: false,
		`"\ud800"`: true, `"\udc00"`: true, `"\udc00\ud800"`: true, `"\ud800\ud800\udc00"`: true, `"\ud800\n"`: true,
		`"\ud83dx\ude00"`: true, `{"a":"\\","b":["\uDFFF"]}`: true, `"\u0041\ud800"`: true, `["\ud83d","\ude00"]`: true,
	} {
		doc, ok := scanJSON(text)
		if !ok || doc.halved() != want {
			t.Errorf("%s: half of a character is %v (read: %v), want %v", text, doc.halved(), ok, want)
		}
	}
}
