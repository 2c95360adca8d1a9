package providers_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// wire is what a server got.
type wire struct {
	line, contentType, length, body string
	header                          http.Header
}

// record keeps the last request.
func record(w *wire) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		*w = wire{q.Method + " " + q.URL.RequestURI(), q.Header.Get("Content-Type"), q.Header.Get("Content-Length"), string(b), q.Header.Clone()}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"access_token":"a"}`)
	})
}

// oneGrant is a type with one request whose parts a test gives.
func oneGrant(inputs, request string) string {
	return `provider_type "one" {
  config "base_url" { type = string }
  config "region" {
    type    = string
    default = "eu"
  }
  grant "g" {
` + inputs + `
    request {
` + request + `
    }
  }
  response { access_token = body.access_token }
}
`
}

func TestRequestsOnTheWire(t *testing.T) {
	inputs := `
    input "user" { type = string }
    input "secret" {
      type      = string
      sensitive = true
    }
    input "note" {
      type    = string
      default = null
    }
    input "tags" {
      type    = list(string)
      default = []
    }
    input "extra" {
      type    = map(string)
      default = {}
    }`
	given := map[string]any{"user": "ma ria", "secret": "p\"\\\u2028\n/+&=ö", "tags": []string{"x", "y&z"}, "extra": map[string]string{"z": "1", "a": "2", "user": "won"}}
	for _, c := range []struct{ name, request, line, contentType, body string }{
		{"JSON in the order of the text, null members left out", `method = "POST"
      url = "${config.base_url}/a/${config.region}"
      json = { user = input.user, note = input.note, n = 3, ok = true, deep = { b = input.secret, none = input.note }, list = [1, input.note, "x"], "quoted-key" = "v", (input.user) = 1 }`,
			"POST /a/eu", "application/json", `{"user":"ma ria","n":3,"ok":true,"deep":{"b":"p\"\\` + "\u2028" + `\n/+&=ö"},"list":[1,null,"x"],"quoted-key":"v","ma ria":1}`},
		{"a form", `method = "POST"
      url = "${config.base_url}/a"
      form = { user = input.user, secret = input.secret, note = input.note, tag = input.tags, now = now }`,
			"POST /a", "application/x-www-form-urlencoded", "user=ma+ria&secret=p%22%5C%E2%80%A8%0A%2F%2B%26%3D%C3%B6&tag=x&tag=y%26z&now=1700000000"},
		{"merged", `method = "POST"
      url = "${config.base_url}/a"
      form = merge({ user = input.user, note = input.note }, input.extra, { last = "1" })`,
			"POST /a", "application/x-www-form-urlencoded", "user=won&a=2&z=1&last=1"},
		{"a computed form", `method = "POST"
      url = "${config.base_url}/a"
      form = { for k, v in input.extra : upper(k) => v }`,
			"POST /a", "application/x-www-form-urlencoded", "A=2&USER=won&Z=1"},
		{"a query", `method = "GET"
      url = "${config.base_url}/a?fixed=1"
      query = { "transfer-key" = input.secret, scope = join(" ", input.tags), none = input.note }`,
			"GET /a?fixed=1&transfer-key=p%22%5C%E2%80%A8%0A%2F%2B%26%3D%C3%B6&scope=x+y%26z", "", ""},
		{"conditions", `method = "PUT"
      url = "${config.base_url}/${input.note == null ? "none" : "some"}"
      json = input.user != "ma ria" ? null : { u = !false && config.region == "eu" }`,
			"PUT /none", "application/json", `{"u":true}`},
		{"nothing", `method = "POST"
      url = "${config.base_url}/a"`,
			"POST /a", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w wire
			r, _ := newRig(t, typeOf(t, oneGrant(inputs, c.request)), record(&w), nil)
			call := r.call(providers.OpGrant, "g", given)
			call.Now = time.Unix(1700000000, 0)
			r.must(call)
			if w.line != c.line || w.contentType != c.contentType || w.body != c.body {
				t.Errorf("%s\n%s\n%s", w.line, w.contentType, w.body)
			}
			if strings.HasPrefix(c.contentType, "application/json") && !json.Valid([]byte(w.body)) {
				t.Error("not JSON")
			}
			if w.header.Get("User-Agent") != "tokend" || w.header.Get("Accept") != "application/json" || w.header.Get("Accept-Encoding") != "" || w.header.Get("Authorization") != "" {
				t.Errorf("%v", w.header)
			}
			if c.name == "nothing" && w.length != "0" && w.header.Get("Transfer-Encoding") != "" {
				t.Errorf("length %q", w.length)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	var w wire
	src := oneGrant(`
    input "id" { type = string }
    input "secret" {
      type      = string
      sensitive = true
    }`, `method  = "POST"
      url     = "${config.base_url}/a"
      json    = {}
      headers = {
        Authorization  = "Basic ${base64encode("${urlencode(input.id)}:${urlencode(input.secret)}")}"
        "X-Null"       = null
        "content-type" = "application/json;charset=utf-8"
        Accept         = "application/vnd.x+json"
      }`)
	r, _ := newRig(t, typeOf(t, src), record(&w), nil)
	r.must(r.call(providers.OpGrant, "g", map[string]any{"id": "a:b c", "secret": "s/+ö"}))
	if w.header.Get("Authorization") != "Basic YSUzQWIrYzpzJTJGJTJCJUMzJUI2" || w.contentType != "application/json;charset=utf-8" || w.header.Get("Accept") != "application/vnd.x+json" || w.header.Values("X-Null") != nil {
		t.Errorf("%v", w.header)
	}
	// What a header cannot hold is refused before anything is sent.
	src = oneGrant(`input "v" { type = string }`, `method = "POST"
      url = "${config.base_url}/a"
      headers = { X-Value = input.v }`)
	r, _ = newRig(t, typeOf(t, src), record(&w), nil)
	for _, v := range []string{"a\r\nX-Other: b", "a\x00"} {
		_, err := r.e.Prepare(r.call(providers.OpGrant, "g", map[string]any{"v": v}))
		if e := asError(t, err); e.Class != providers.ClassConfig || !strings.Contains(e.Error(), "a header cannot have") {
			t.Errorf("%v", e)
		}
	}
}

func TestRefusedBeforeSending(t *testing.T) {
	plain := `method = "POST"
      url = `
	for _, c := range []struct {
		name, url string
		insecure  bool
		want      string
	}{
		{"plain http", `"http://api.example/x"`, false, "is not encrypted"},
		{"plain http, allowed", `"http://api.example/x"`, true, ""},
		{"loopback", `"http://127.0.0.2:9/x"`, false, ""},
		{"loopback by name", `"http://LOCALHOST:9/x"`, false, ""},
		{"loopback of IPv6", `"http://[::1]:9/x"`, false, ""},
		{"a name that begins like loopback", `"http://localhost.evil.example/x"`, false, "is not encrypted"},
		{"no scheme", `"api.example/x"`, false, "an absolute URL"},
		{"ftp", `"ftp://api.example/x"`, false, "an absolute URL"},
		{"no host", `"https:///x"`, false, "no host"},
		{"user name", `"https://user:canary-pass@api.example/x"`, false, "user name or password"},
		{"fragment", `"https://api.example/x#y"`, false, "fragment"},
		{"null", `input.url`, false, "there is no url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := oneGrant(`
    input "url" {
      type    = string
      default = null
    }`, plain+c.url)
			r, _ := newRig(t, typeOf(t, src), record(&wire{}), nil, func(p *spec.Provider) { p.AllowInsecureHTTP = c.insecure })
			_, err := r.e.Prepare(r.call(providers.OpGrant, "g", nil))
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := asError(t, err)
			if e.Class != providers.ClassConfig || e.Reached || !strings.Contains(e.Error(), c.want) {
				t.Errorf("%v", e)
			}
			if c.name == "null" && (!errors.Is(err, providers.ErrNoEndpoint) || !strings.Contains(e.Hint, "url")) {
				t.Errorf("%v %s", err, e.Hint)
			}
			if strings.Contains(e.Error(), "canary-pass") {
				t.Error("shows a password")
			}
		})
	}
}

func TestOriginBinding(t *testing.T) {
	r, srv := newRig(t, typeOf(t, shop), record(&wire{}), nil)
	c := shopCall(r, providers.OpRefresh)
	c.Origins = []string{"https://api.example:443"}
	_, err := r.e.Prepare(c)
	e := asError(t, err)
	if e.Class != providers.ClassConfig || !strings.Contains(e.Error(), "is refused") || !strings.Contains(e.Error(), "api.example") {
		t.Error(e)
	}
	quiet(t, e.Error())
	c.Origins = []string{srv.URL}
	r.must(c)
	got, err := r.e.Origins("login", c.Inputs)
	if err != nil || len(got) != 1 || got[0] != srv.URL {
		t.Errorf("%v %v", got, err)
	}
}

func TestMissingInputIsNotSentAsNothing(t *testing.T) {
	r, _ := newRig(t, typeOf(t, shop), record(&wire{}), nil)
	c := r.call(providers.OpGrant, "login", map[string]any{"user": "maria", "password": nil})
	_, err := r.e.Prepare(c)
	if e := asError(t, err); e.Class != providers.ClassConfig || !strings.Contains(e.Error(), `input "password" has no value`) {
		t.Error(e)
	}
	// The refresh names no input, so it needs none.
	c = shopCall(r, providers.OpRefresh)
	c.Inputs = spec.Values{}
	r.must(c)
	for _, grant := range []string{"nope", ""} {
		c.Grant = grant
		_, err := r.e.Prepare(c)
		if e := asError(t, err); e.Class != providers.ClassConfig || !strings.Contains(e.Hint, "login") {
			t.Error(e, e.Hint)
		}
	}
	c = shopCall(r, providers.OpAction)
	c.Action = "explode"
	_, err = r.e.Prepare(c)
	if e := asError(t, err); !errors.Is(err, providers.ErrNoEndpoint) || !strings.Contains(e.Error(), `"explode"`) {
		t.Error(e)
	}
}

func TestDumpShowsNoSecret(t *testing.T) {
	r, _ := newRig(t, typeOf(t, shop), record(&wire{}), nil)
	for _, op := range []providers.Op{providers.OpGrant, providers.OpRefresh, providers.OpRevoke} {
		req, err := r.e.Prepare(shopCall(r, op))
		if err != nil {
			t.Fatal(err)
		}
		dump := req.Dump()
		quiet(t, strings.ReplaceAll(dump, "\n", " ")+req.String())
		if !strings.Contains(dump, "POST http://") || !strings.Contains(dump, "[secret]") {
			t.Error(dump)
		}
	}
	c := r.call(providers.OpGrant, "login", map[string]any{"user": "maria", "password": "pin"})
	req, err := r.e.Prepare(c)
	if err != nil || strings.Contains(req.Dump(), "pin") {
		t.Errorf("%s %v", req.Dump(), err)
	}
}

func TestVerifyByPath(t *testing.T) {
	var w wire
	r, _ := newRig(t, typeOf(t, shop), record(&w), nil)
	c := shopCall(r, providers.OpVerify)
	c.Path = "/traders/me?x=1"
	r.must(c)
	if w.line != "GET /traders/me?x=1" || w.header.Get("Authorization") != "Bearer "+canaryAccess {
		t.Errorf("%+v", w)
	}
	for _, path := range []string{"//evil.example/x", "https://evil.example/x", "x", "/\\evil.example", "/x\x00"} {
		c.Path = path
		req, err := r.e.Prepare(c)
		if err == nil && !strings.HasPrefix(req.Origin, "http://127.0.0.1:") {
			t.Errorf("%q goes to %s", path, req.Origin)
		}
	}
}

func TestEndpointSurvivesItsBlock(t *testing.T) {
	var w wire
	src := strings.Replace(shop, `config "base_url" { type = string }`, `config "base_url" { type = string }
  config "app_key" {
    type      = string
    sensitive = true
  }`, 1)
	src = strings.Replace(src, "form   = { refresh_token = token.refresh_token }", "form = { refresh_token = token.refresh_token, app = config.app_key }", 1)
	for name, text := range map[string]string{"native": src, "json": jsonTwin} {
		t.Run(name, func(t *testing.T) {
			r, _ := newRig(t, typeOf(t, text), record(&w), map[string]any{"app_key": "canary-app-key"}, func(p *spec.Provider) {
				p.HTTP.Timeout = 7 * time.Second
				p.RateLimit = spec.RateLimit{Requests: 5, Per: time.Second}
			})
			b, err := r.e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := providers.DecodeEndpoint(b, providers.Options{Now: r.clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			c := shopCall(r, providers.OpRefresh)
			c.Inputs = spec.Values{}
			req, err := again.Prepare(c)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := again.Send(context.Background(), req); err != nil {
				t.Fatal(err)
			}
			if w.body != "refresh_token=canary-refresh%2F%2Btoken&app=canary-app-key" {
				t.Error(w.body)
			}
			if strings.Contains(req.Dump(), "canary") {
				t.Error(req.Dump())
			}
			if p := again.Provider(); p.HTTP.Timeout != 7*time.Second || p.RateLimit.Requests != 5 || p.Addr != r.e.Provider().Addr {
				t.Errorf("%+v", p)
			}
			second, err := again.Encode()
			if err != nil || string(second) != string(b) {
				t.Error("encoding again gives something else")
			}
			if diff := cmp.Diff(r.e.Traits("login"), again.Traits("login")); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"", "{}", `{"version":9,"addr":"x"}`, `{"version":1,"source":"junk"}`, "null"} {
		if _, err := providers.DecodeEndpoint([]byte(bad), providers.Options{}); err == nil {
			t.Errorf("%q decodes", bad)
		}
	}
	for text, want := range map[string]string{`{"version":9,"addr":"x"}`: "it was written by a newer tokend (format 9)", "{}": "it is damaged: it does not say its format"} {
		if _, err := providers.DecodeEndpoint([]byte(text), providers.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// jsonTwin is the type of TestEndpointSurvivesItsBlock in JSON syntax.
const jsonTwin = `{"provider_type": {"shop": {
  "config": {"base_url": {"type": "string"}, "app_key": {"type": "string", "sensitive": true}},
  "grant": {"login": {
    "input": {"user": {"type": "string"}, "password": {"type": "string", "sensitive": true}},
    "request": {"method": "POST", "url": "${config.base_url}/login", "json": {"user": "${input.user}", "password": "${input.password}"}}
  }},
  "response": {"access_token": "${body.access_token}", "refresh_token": "${body.refresh_token}"},
  "refresh": {"request": {"method": "POST", "url": "${config.base_url}/refresh", "form": {"refresh_token": "${token.refresh_token}", "app": "${config.app_key}"}}}
}}}`

func TestErrorIsAnError(t *testing.T) {
	e := &providers.Error{Op: providers.OpRefresh, Class: providers.ClassPermanent, Status: 400, Code: "invalid_grant", Message: "gone", URL: "https://x.example/t"}
	if got := e.Error(); got != "refreshing the token at https://x.example/t: status 400, invalid_grant, gone" {
		t.Error(got)
	}
	for _, op := range []providers.Op{providers.OpGrant, providers.OpExchange, providers.OpRefresh, providers.OpRevoke, providers.OpVerify, providers.OpAction, providers.OpDevice, "x"} {
		if s := (&providers.Error{Op: op, Message: "m"}).Error(); !strings.Contains(s, "ing ") || !strings.HasSuffix(s, ": m") {
			t.Error(s)
		}
	}
}

// Some APIs carry the token in the path.
func TestSecretInThePath(t *testing.T) {
	src := oneGrant(`
    input "key" {
      type      = string
      sensitive = true
    }`, `method = "POST"
      url = "${config.base_url}/bot${input.key}/getMe"
      query = { k = input.key }`)
	r, _ := newRig(t, typeOf(t, src), jsonReply(400, `{"error":"no"}`), nil)
	for _, key := range []string{canaryAccess, "k"} {
		c := r.call(providers.OpGrant, "g", map[string]any{"key": key})
		req, err := r.e.Prepare(c)
		if err != nil {
			t.Fatal(err)
		}
		e := r.failure(c)
		text := req.String() + e.Error() + e.URL
		quiet(t, text+strings.ReplaceAll(req.Dump(), "\n", " "))
		if strings.Contains(text, "bot") {
			t.Error(text)
		}
	}
}
