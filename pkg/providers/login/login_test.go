package login_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/providers"
	"tokend/pkg/providers/catalog"
	"tokend/pkg/providers/login"
	"tokend/pkg/spec"
)

const callback = "http://127.0.0.1:8250/callback"

func endpoint(t *testing.T, src string) *providers.Endpoint {
	t.Helper()
	typ, diags := spec.ParseProviderType([]byte(src), true)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	config := map[string]cty.Value{}
	for _, f := range typ.Config {
		if f.Default != nil {
			config[f.Name] = *f.Default
		}
	}
	e, err := providers.NewEndpoint(&spec.Provider{Addr: spec.Address("provider." + typ.Name + ".default"), Type: typ, Config: spec.NewValues(config)}, providers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func builtin(t *testing.T, name string) *providers.Endpoint {
	t.Helper()
	src, err := catalog.FS.ReadFile(name + ".hcl")
	if err != nil {
		t.Fatal(err)
	}
	return endpoint(t, string(src))
}

func call(grant string, scopes ...string) providers.Call {
	return providers.Call{Grant: grant, Scopes: scopes, Now: time.Unix(1700000000, 0), Flow: providers.Flow{RedirectURI: callback},
		Inputs: spec.NewValues(map[string]cty.Value{"client_id": cty.StringVal("app"), "client_secret": spec.Sensitive(cty.StringVal("canary-secret"))})}
}

func start(t *testing.T, e *providers.Endpoint, c providers.Call) (login.Pending, url.Values) {
	t.Helper()
	p, err := login.Start(e, c)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	return p, u.Query()
}

func TestAuthorizationURLs(t *testing.T) {
	p, q := start(t, builtin(t, "coinsph"), call("authorization_code", "buyorder", "sellorder", "history"))
	want := "https://coins.ph/user/api/authorize?client_id=app&response_type=code&redirect_uri=http%3A%2F%2F127.0.0.1%3A8250%2Fcallback&scope=buyorder+sellorder+history&state=" + q.Get("state")
	if p.URL != want {
		t.Error(p.URL)
	}
	none := call("authorization_code")
	none.Flow.RedirectURI = ""
	if _, q := start(t, builtin(t, "coinsph"), none); q.Has("scope") || q.Has("redirect_uri") || q.Get("state") == "" {
		t.Error(q)
	}
	if _, q := start(t, builtin(t, "coinsph"), call("implicit")); q.Get("response_type") != "token" {
		t.Error(q)
	}
	if _, q := start(t, builtin(t, "cryptohopper"), call("authorization_code", "read", "trade")); q.Get("scope") != "read,trade" || q.Has("code_challenge") {
		t.Error(q)
	}
	// The state is new each time.
	_, a := start(t, builtin(t, "coinsph"), none)
	_, b := start(t, builtin(t, "coinsph"), none)
	if a.Get("state") == b.Get("state") || len(a.Get("state")) != 43 {
		t.Error("state")
	}
	if _, err := login.Start(builtin(t, "apirone"), call("login")); err == nil || !strings.Contains(err.Error(), "needs no authorization") {
		t.Error(err)
	}
}

const pkceType = `provider_type "web" {
  grant "code" {
    input "client_id" { type = string }
    authorize {
      url   = "https://web.example/authorize?fixed=1"
      query = { client_id = input.client_id, response_type = "code", scope = input.scopes, nonce = null, extra = ["a", "b c"] }
      scope_separator = "|"
      pkce  = true
    }
    request {
      method = "POST"
      url    = "https://web.example/token"
      form   = { code = flow.code, code_verifier = flow.code_verifier, redirect_uri = flow.redirect_uri }
    }
  }
  response { access_token = body.access_token }
}
`

func TestPKCE(t *testing.T) {
	e := endpoint(t, pkceType)
	c := call("code", "x", "y")
	p, q := start(t, e, c)
	if q.Get("fixed") != "1" || q.Get("scope") != "x|y" || q.Has("nonce") || strings.Join(q["extra"], ",") != "a,b c" || q.Get("code_challenge_method") != "S256" {
		t.Error(q)
	}
	flow, err := p.Finish(e, c, callback+"?code=c0de&state="+q.Get("state"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(flow.CodeVerifier.Reveal()))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || flow.CodeVerifier.Len() != 43 {
		t.Error("the challenge is not that of the verifier")
	}
	c.Op, c.Flow = providers.OpExchange, flow
	req, err := e.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	if dump := req.Dump(); strings.Contains(dump, "c0de") || strings.Contains(dump, flow.CodeVerifier.Reveal()) || !strings.Contains(dump, "redirect_uri=http") {
		t.Error(dump)
	}
}

func TestFinish(t *testing.T) {
	for _, c := range []struct {
		name, typ, grant string
		scopes           []string
		redirect         string // STATE stands for ours
		wantErr          error
		wantText         string
		code             string
	}{
		{"whole URL", "cryptohopper", "authorization_code", nil, callback + "?code=abc&state=STATE", nil, "", "abc"},
		{"with spaces around", "cryptohopper", "authorization_code", nil, "  " + callback + "?code=abc&state=STATE\r\n", nil, "", "abc"},
		{"query alone", "cryptohopper", "authorization_code", nil, "?code=abc&state=STATE", nil, "", "abc"},
		{"parameters alone", "cryptohopper", "authorization_code", nil, "code=abc&state=STATE", nil, "", "abc"},
		{"encoded", "cryptohopper", "authorization_code", nil, "?code=a%2Bb%2F%3D&state=STATE", nil, "", "a+b/="},
		{"wrong state", "cryptohopper", "authorization_code", nil, "?code=abc&state=mine", login.ErrState, "", ""},
		{"no state", "cryptohopper", "authorization_code", nil, "?code=abc", login.ErrState, "it has none", ""},
		{"empty state", "cryptohopper", "authorization_code", nil, "?code=abc&state=", login.ErrState, "", ""},
		{"state of scopes where it is required", "cryptohopper", "authorization_code", []string{"read"}, "?code=abc&state=read", login.ErrState, "", ""},
		{"code twice", "cryptohopper", "authorization_code", nil, "?code=abc&code=def&state=STATE", login.ErrIncomplete, "code is there twice", ""},
		{"no code", "cryptohopper", "authorization_code", nil, "?state=STATE", login.ErrIncomplete, "no code", ""},
		{"nothing", "cryptohopper", "authorization_code", nil, "", login.ErrIncomplete, "nothing was given", ""},
		{"no parameters", "cryptohopper", "authorization_code", nil, callback, login.ErrIncomplete, "no parameters in its query", ""},
		{"in the fragment, where the type reads the query", "cryptohopper", "authorization_code", nil, callback + "#code=abc&state=STATE", login.ErrIncomplete, "query", ""},
		{"error=1", "cryptohopper", "authorization_code", nil, "?error=1&error_message=User+did+not+give+permission+to+the+app.&state=STATE", providers.ErrRefused, "User did not give permission to the app.", ""},
		{"error=1 without state", "cryptohopper", "authorization_code", nil, "?error=1&message=App+key+is+invalid.", providers.ErrRefused, "App key is invalid.", ""},
		{"error=1 of another login", "cryptohopper", "authorization_code", nil, "?error=1&state=other", login.ErrState, "", ""},
		{"standard error", "coinsph", "authorization_code", nil, "#error=access_denied&error_description=No%1b%5B31m", providers.ErrRefused, "access_denied, No [31m", ""},
		{"error of silence", "cryptohopper", "authorization_code", nil, "?error=1&state=STATE", providers.ErrRefused, "and not why", ""},

		{"fragment", "coinsph", "authorization_code", nil, callback + "#code=abc", nil, "", "abc"},
		{"fragment with our state", "coinsph", "authorization_code", nil, callback + "#code=abc&state=STATE", nil, "", "abc"},
		{"query too", "coinsph", "authorization_code", nil, callback + "?code=abc", nil, "", "abc"},
		{"bare", "coinsph", "authorization_code", nil, "code=abc", nil, "", "abc"},
		{"empty state, if returned", "coinsph", "authorization_code", nil, "#code=abc&state=", nil, "", "abc"},
		{"scopes as state", "coinsph", "authorization_code", []string{"history", "buyorder"}, "#code=abc&state=buyorder+history", nil, "", "abc"},
		{"granted scopes as state", "coinsph", "authorization_code", []string{"history", "buyorder"}, "#code=abc&state=history&scope=history", nil, "", "abc"},
		{"other scopes than granted", "coinsph", "authorization_code", []string{"history", "buyorder"}, "#code=abc&state=buyorder&scope=history", login.ErrState, "", ""},
		{"scopes not asked for", "coinsph", "authorization_code", []string{"history"}, "#code=abc&state=sellorder", login.ErrState, "", ""},
		{"dashboard's scopes", "coinsph", "authorization_code", nil, "#code=abc&state=sellorder+user_identity", nil, "", "abc"},
		{"somebody's state", "coinsph", "authorization_code", nil, "#code=abc&state=Zm9yZWlnbi1zdGF0ZQ", login.ErrState, "", ""},
		{"the same in query and fragment", "coinsph", "authorization_code", nil, "?code=abc#code=abc", login.ErrIncomplete, "twice", ""},
		{"bad encoding", "coinsph", "authorization_code", nil, "#code=%zz", login.ErrIncomplete, "cannot be read", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := builtin(t, c.typ)
			base := call(c.grant, c.scopes...)
			p, _ := start(t, e, base)
			flow, err := p.Finish(e, base, strings.ReplaceAll(c.redirect, "STATE", p.State()))
			if c.wantErr == nil {
				if err != nil || flow.Code.Reveal() != c.code || flow.RedirectURI != callback {
					t.Fatalf("%q %v", flow.Code.Reveal(), err)
				}
				return
			}
			if !errors.Is(err, c.wantErr) || !strings.Contains(err.Error(), c.wantText) {
				t.Errorf("%v", err)
			}
			for _, secret := range []string{p.State(), "canary-secret", "abc", "\x1b"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows %q", err, secret)
				}
			}
		})
	}
}

func TestPastingTheWrongURL(t *testing.T) {
	e := builtin(t, "coinsph")
	c := call("authorization_code")
	p, _ := start(t, e, c)
	if _, err := p.Finish(e, c, p.URL); !errors.Is(err, login.ErrIncomplete) || !strings.Contains(err.Error(), "it is the one to open") {
		t.Error(err)
	}
}

func TestPendingIsDataAndSilent(t *testing.T) {
	e := builtin(t, "coinsph")
	c := call("authorization_code", "history")
	p, _ := start(t, e, c)
	b, err := p.Seal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := login.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{p.Grant, p.URL, p.RedirectURI, p.Scopes, p.State()}, []any{again.Grant, again.URL, again.RedirectURI, again.Scopes, again.State()}); diff != "" {
		t.Error(diff)
	}
	if flow, err := again.Finish(e, c, "#code=abc&state="+p.State()); err != nil || flow.CodeVerifier.Empty() {
		t.Error(err)
	}
	for _, text := range []string{fmt.Sprint(p), fmt.Sprintf("%v %+v %#v %s %q", p, p, p, p, p)} {
		if strings.Contains(text, p.State()) {
			t.Error(text)
		}
	}
	for _, bad := range []string{"", "{}", "null", `{"state":"x"}`} {
		if _, err := login.Open([]byte(bad)); err == nil {
			t.Errorf("%q opens", bad)
		}
	}
}

func FuzzFinish(f *testing.F) {
	f.Add("?code=a&state=b")
	f.Add("#access_token=x&state=history&scope=history")
	f.Add("https://x/?error=1#code=2")
	src, err := catalog.FS.ReadFile("coinsph.hcl")
	if err != nil {
		f.Fatal(err)
	}
	typ, diags := spec.ParseProviderType(src, true)
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	e, err := providers.NewEndpoint(&spec.Provider{Addr: "provider.coinsph.default", Type: typ, Config: spec.NewValues(map[string]cty.Value{
		"base_url": cty.StringVal("https://coins.ph"), "default_lifetime": cty.StringVal("1h")})}, providers.Options{})
	if err != nil {
		f.Fatal(err)
	}
	c := call("authorization_code")
	p, err := login.Start(e, c)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, redirected string) {
		flow, err := p.Finish(e, c, redirected)
		if (err == nil) == flow.Code.Empty() {
			t.Fatalf("code %v, error %v", flow.Code.Empty(), err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x00\x1b\r\n") {
			t.Fatalf("%q", err)
		}
	})
}
