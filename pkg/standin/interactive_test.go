package standin

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

const callback = "http://127.0.0.1:9/callback"

func interactiveRig(rules Rules) (*Server, *clock) {
	c := newClock()
	return New(Options{Now: c.Now, Rules: rules, AutoApprove: true, Clients: []Client{
		{API: CoinsPh, ID: "app", Secret: "sec/ret", RedirectURIs: []string{callback}, User: "maria"},
		{API: CoinsPh, ID: "other", Secret: "sec/ret", RedirectURIs: []string{callback}},
		{API: CoinsPh, ID: "few", Secret: "sec/ret", RedirectURIs: []string{callback}, Scopes: []string{"history"}},
		{API: Cryptohopper, ID: "app", Secret: "sec/ret", RedirectURIs: []string{callback, callback + "?tenant=1"}},
		{API: OAuth2, ID: "app", Secret: "sec/ret", RedirectURIs: []string{callback}},
		{API: OAuth2, ID: "public", RedirectURIs: []string{callback}},
		{API: OAuth2, ID: "basic", Secret: "s:e c", Auth: "client_secret_basic", Scopes: []string{"a", "b"}},
	}, Accounts: []Account{{API: OAuth2, Login: "u", Password: "p"}}}), c
}

// location follows an authorization to its redirect, and gives the parameters with the sign before them.
func location(t *testing.T, r res) (string, url.Values) {
	t.Helper()
	at := r.header.Get("Location")
	i := len(callback)
	if r.status != 302 || !strings.HasPrefix(at, callback) || len(at) == i {
		t.Fatalf("status %d, location %q: %s", r.status, at, r.raw)
	}
	values, err := url.ParseQuery(at[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	return at[i : i+1], values
}

func coinsCode(t *testing.T, s *Server) string {
	t.Helper()
	_, v := location(t, send(t, s.Handler(CoinsPh), req{method: "GET", path: "/user/api/authorize?client_id=app&response_type=code&redirect_uri=" + url.QueryEscape(callback) + "&scope=buyorder+history&state=mine"}))
	return v.Get("code")
}

func coinsExchange(code string) req {
	return formPost("/user/oauthtoken", "client_id", "app", "client_secret", "sec/ret", "code", code, "grant_type", "authorization_code", "redirect_uri", callback)
}

func coinsRefresh(token string) req {
	return formPost("/user/oauthtoken", "client_id", "app", "client_secret", "sec/ret", "refresh_token", token, "grant_type", "refresh_token", "redirect_uri", callback)
}

func TestCoinsPhAuthorize(t *testing.T) {
	s, _ := interactiveRig(Rules{})
	h := s.Handler(CoinsPh)
	ask := func(rest string) req { return req{method: "GET", path: "/user/api/authorize?" + rest} }
	sign, v := location(t, send(t, h, ask("client_id=app&response_type=code&grant_type=authorization_code&state=mine")))
	if sign != "#" || v.Get("code") == "" || len(v) != 1 {
		t.Errorf("code redirect: %s %v, want #code= and nothing else", sign, v)
	}
	out := send(t, h, ask("client_id=app&response_type=token&scope=buyorder+sellorder+history"))
	if at := out.header.Get("Location"); !regexp.MustCompile(`^` + regexp.QuoteMeta(callback) + `#access_token=[^&]+&token_type=Bearer&state=&scope=buyorder\+sellorder\+history$`).MatchString(at) {
		t.Errorf("implicit redirect: %s", at)
	}
	s.Change(CoinsPh, func(r *Rules) { r.ScopesInState, r.ExpiresIn = true, ExpiryNumber })
	if at := send(t, h, ask("client_id=few&response_type=token")).header.Get("Location"); !strings.HasSuffix(at, "&state=history&expires_in=3600") {
		t.Errorf("implicit redirect with the scopes in state: %s", at)
	}
	if at := send(t, h, ask("client_id=few&response_type=code")).header.Get("Location"); !strings.HasSuffix(at, "&state=history") {
		t.Errorf("code redirect with the scopes in state: %s", at)
	}
	refusals(t, s, CoinsPh, h, []bad{
		{"method", formPost("/user/api/authorize", "client_id", "app"), 405, "GET"},
		{"unknown client", ask("client_id=x&response_type=code"), 400, "invalid_client"},
		{"no client", ask("response_type=code"), 400, "`client_id` is missing"},
		{"unknown parameter", ask("client_id=app&response_type=code&prompt=none"), 400, "`prompt` is unknown"},
		{"PKCE, which the page does not have", ask("client_id=app&response_type=code&code_challenge=x"), 400, "`code_challenge` is unknown"},
		{"repeated", ask("client_id=app&client_id=app&response_type=code"), 400, "`client_id` is repeated"},
		{"other redirect", ask("client_id=app&response_type=code&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Felse"), 400, "not registered"},
		{"encoded plus", ask("client_id=app&response_type=code&scope=buyorder%2Bhistory"), 400, "plain +"},
		{"encoded space", ask("client_id=app&response_type=code&scope=buyorder%20history"), 400, "plain +"},
		{"commas", ask("client_id=app&response_type=code&scope=buyorder,history"), 400, "invalid_scope"},
		{"unknown scope", ask("client_id=app&response_type=code&scope=everything"), 400, "invalid_scope"},
		{"scope of the page, not of the client", ask("client_id=few&response_type=code&scope=buyorder"), 400, "invalid_scope"},
	})
	if at := send(t, h, ask("client_id=app&response_type=id_token")).header.Get("Location"); at != callback+"#error=unsupported_response_type" {
		t.Errorf("location %s", at)
	}
}

func TestCoinsPhTokens(t *testing.T) {
	s, c := interactiveRig(Rules{})
	h := s.Handler(CoinsPh)
	wrong := func(key, value string) req {
		pairs := []string{"client_id", "app", "client_secret", "sec/ret", "code", coinsCode(t, s), "grant_type", "authorization_code", "redirect_uri", callback}
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				pairs[i+1] = value
			}
		}
		return formPost("/user/oauthtoken", pairs...)
	}
	asJSON := coinsExchange(coinsCode(t, s))
	asJSON.media = jsonType
	inQuery := coinsExchange(coinsCode(t, s))
	inQuery.path += "?" + inQuery.body
	plus := coinsExchange("a+b")
	refusals(t, s, CoinsPh, h, []bad{
		{"JSON", asJSON, 400, "x-www-form-urlencoded"},
		{"query", inQuery, 400, "must not have a query"},
		{"wrong secret", wrong("client_secret", "x"), 401, "invalid_client"},
		{"unknown client", wrong("client_id", "x"), 401, "invalid_client"},
		{"another client's code", wrong("client_id", "other"), 400, "another client"},
		{"no redirect URI", wrong("redirect_uri", ""), 400, "`redirect_uri` is empty"},
		{"other redirect URI", wrong("redirect_uri", callback+"/"), 400, "not registered"},
		{"unknown code", plus, 400, "the code is unknown"},
		{"grant type", wrong("grant_type", "password"), 400, "unsupported_grant_type"},
		{"unknown field", formPost("/user/oauthtoken", "client_id", "app", "client_secret", "sec/ret", "code", "x", "grant_type", "authorization_code", "redirect_uri", callback, "scope", "x"), 400, "`scope` is unknown"},
	})
	code := coinsCode(t, s)
	first := good(t, h, coinsExchange(code))
	access, refresh := pairOf(first)
	if _, told := first.object["expires_in"]; told || access == "" || refresh == "" {
		t.Errorf("token reply: %s", first.raw)
	}
	if out := send(t, h, coinsExchange(code)); out.status != 400 || s.Counts(CoinsPh).CodeReuses != 1 {
		t.Errorf("the same code again: %d, %d reuses counted", out.status, s.Counts(CoinsPh).CodeReuses)
	}
	late := coinsCode(t, s)
	c.Move(10 * time.Minute)
	if out := send(t, h, coinsExchange(late)); out.status != 400 || !strings.Contains(out.raw, "expired") {
		t.Errorf("an old code: %d %s", out.status, out.raw)
	}

	call := func(token, path, nonce string) res {
		return send(t, h, req{method: "GET", path: path, header: map[string]string{"Authorization": "Bearer " + token, "nonce": nonce}})
	}
	for _, step := range []struct {
		path, nonce string
		want        int
	}{
		{"/api/v3/crypto-accounts", "1", 200}, {"/api/v3/crypto-accounts", "1", 400}, {"/api/v3/crypto-accounts", "", 400},
		{"/api/v3/crypto-accounts", "x2", 400}, {"/api/v2/buyorder", "2", 200}, {"/api/v2/sellorder", "3", 403},
	} {
		if out := call(access, step.path, step.nonce); out.status != step.want {
			t.Errorf("%s with nonce %q: %d, want %d (%s)", step.path, step.nonce, out.status, step.want, out.raw)
		}
	}
	next, _ := pairOf(good(t, h, coinsRefresh(refresh)))
	if out := call(access, "/api/v3/crypto-accounts", "10"); out.status != 401 {
		t.Errorf("the old access token after a refresh: %d, want 401", out.status)
	}
	if out := call(next, "/api/v3/crypto-accounts", "11"); out.status != 200 {
		t.Errorf("the new access token: %d", out.status)
	}
}

func TestCryptohopper(t *testing.T) {
	s, _ := interactiveRig(Rules{})
	h := s.Handler(Cryptohopper)
	ask := func(rest string) req { return req{method: "GET", path: "/oauth2/authorize?" + rest} }
	sign, v := location(t, send(t, h, ask("client_id=app&response_type=code&state=a%2Bb&scope=read,trade")))
	if sign != "?" || v.Get("code") == "" || v.Get("state") != "a+b" {
		t.Errorf("redirect: %s %v", sign, v)
	}
	if at := send(t, h, ask("client_id=app&response_type=code&redirect_uri="+url.QueryEscape(callback+"?tenant=1"))).header.Get("Location"); !strings.HasPrefix(at, callback+"?tenant=1&code=") {
		t.Errorf("location %s", at)
	}
	for message, rest := range map[string]string{
		"App key is invalid.":      "client_id=x&response_type=code&state=st&redirect_uri=" + url.QueryEscape(callback),
		"App key cannot be empty.": "client_id=&response_type=code&state=st&redirect_uri=" + url.QueryEscape(callback),
	} {
		_, e := location(t, send(t, h, ask(rest)))
		if e.Get("error") != "1" || e.Get("message") != message || e.Get("state") != "st" {
			t.Errorf("error redirect: %v", e)
		}
	}
	exchange := func(pairs ...string) req {
		var b strings.Builder
		for i := 0; i < len(pairs); i += 2 {
			b.WriteString(`,"` + pairs[i] + `":"` + pairs[i+1] + `"`)
		}
		return jsonPost("/oauth2/token", "{"+b.String()[1:]+"}")
	}
	code := func() string {
		_, v := location(t, send(t, h, ask("client_id=app&response_type=code")))
		return v.Get("code")
	}
	client := []string{"client_id", "app", "client_secret", "sec/ret"}
	refusals(t, s, Cryptohopper, h, []bad{
		{"elsewhere", ask("client_id=x&response_type=code&redirect_uri=https%3A%2F%2Fevil.example"), 400, "App key is invalid."},
		{"response type", ask("client_id=app&response_type=token"), 400, "must be code"},
		{"redirect URI", ask("client_id=app&response_type=code&redirect_uri=https%3A%2F%2Fevil.example"), 400, "not registered"},
		{"scopes by plus", ask("client_id=app&response_type=code&scope=read+trade"), 400, "invalid_scope"},
		{"form", formPost("/oauth2/token", append(client, "grant_type", "authorization_code", "code", code())...), 400, "application/json"},
		{"wrong secret", exchange("client_id", "app", "client_secret", "x", "grant_type", "authorization_code", "code", code()), 401, "signature"},
		{"unknown field", exchange(append(client, "grant_type", "authorization_code", "code", code(), "state", "x")...), 400, "`state` is unknown"},
		{"redirect URI that the authorization had not", exchange(append(client, "grant_type", "authorization_code", "code", code(), "redirect_uri", callback+"?tenant=1")...), 400, "redirect URI"},
		{"grant type", exchange(append(client, "grant_type", "client_credentials", "code", code())...), 400, "unsupported_grant_type"},
	})
	access, refresh := pairOf(good(t, h, exchange(append(client, "grant_type", "authorization_code", "code", code())...)))
	good(t, h, req{method: "GET", path: "/v1/user/get", header: map[string]string{"access-token": access}})
	if out := send(t, h, withBearer("GET", "/v1/user/get", access)); out.status != 401 {
		t.Errorf("the token in another header: %d, want 401", out.status)
	}
	good(t, h, exchange(append(client, "grant_type", "refresh_token", "refresh_token", refresh)...))
	good(t, h, exchange(append(client, "grant_type", "authorization_code", "code", code(), "redirect_uri", callback)...))
}

func TestConsentPage(t *testing.T) {
	s, c := interactiveRig(Rules{})
	s.SetAutoApprove(false)
	h := s.Handler(Cryptohopper)
	id := func() string {
		out := good(t, h, req{method: "GET", path: "/oauth2/authorize?client_id=app&response_type=code&state=st&scope=read"})
		found := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(out.raw)
		if found == nil || !strings.Contains(out.raw, "Deny") || out.header.Get("Location") != "" {
			t.Fatalf("no consent page: %s", out.raw)
		}
		return found[1]
	}
	first := id()
	_, v := location(t, send(t, h, formPost(consentPath, "id", first, "decision", "approve", "user", "jo")))
	if v.Get("code") == "" || v.Get("state") != "st" {
		t.Errorf("approved: %v", v)
	}
	if out := send(t, h, formPost(consentPath, "id", first, "decision", "approve")); out.status != 400 {
		t.Errorf("a page was used twice: %d", out.status)
	}
	good(t, h, jsonPost("/oauth2/token", `{"client_id":"app","client_secret":"sec/ret","grant_type":"authorization_code","code":"`+v.Get("code")+`"}`))
	if got := len(s.Live(Cryptohopper, "jo")); got != 2 {
		t.Errorf("%d tokens of who signed in, want 2", got)
	}
	_, v = location(t, send(t, h, formPost(consentPath, "id", id(), "decision", "deny")))
	if v.Get("error") != "1" || v.Get("message") != "User did not give permission to the app." || s.Counts(Cryptohopper).Denied != 1 {
		t.Errorf("denied: %v", v)
	}
	late := id()
	c.Move(10 * time.Minute)
	if out := send(t, h, formPost(consentPath, "id", late, "decision", "approve")); out.status != 400 {
		t.Errorf("an old page: %d", out.status)
	}
}

func TestOAuth2(t *testing.T) {
	s, _ := interactiveRig(Rules{})
	h := s.Handler(OAuth2)
	app := []string{"client_id", "app", "client_secret", "sec/ret"}
	basic := func(id, secret string, pairs ...string) req {
		q := formPost("/token", pairs...)
		q.header = map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))}
		return q
	}
	twoWays := basic("app", "sec/ret", append(app, "grant_type", "client_credentials")...)
	refusals(t, s, OAuth2, h, []bad{
		{"JSON", jsonPost("/token", `{"grant_type":"client_credentials"}`), 400, "x-www-form-urlencoded"},
		{"no client", formPost("/token", "grant_type", "client_credentials"), 401, "invalid_client"},
		{"wrong secret", basic("app", "x", "grant_type", "client_credentials"), 401, "invalid_client"},
		{"two ways", twoWays, 400, "more than one way"},
		{"post where basic is registered", formPost("/token", "client_id", "basic", "client_secret", "s:e c", "grant_type", "client_credentials"), 401, "invalid_client"},
		{"no grant type", basic("app", "sec/ret"), 400, "`grant_type` is missing"},
		{"repeated", formPost("/token", append(app, "grant_type", "client_credentials", "grant_type", "client_credentials")...), 400, "is repeated"},
		{"scope", basic("basic", "s:e c", "grant_type", "client_credentials", "scope", "c"), 400, "invalid_scope"},
		{"public client", formPost("/token", "client_id", "public", "grant_type", "client_credentials"), 400, "unauthorized_client"},
		{"wrong password", formPost("/token", append(app, "grant_type", "password", "username", "u", "password", "x")...), 400, "invalid_grant"},
	})
	if out := send(t, h, basic("app", "x", "grant_type", "client_credentials")); !strings.HasPrefix(out.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("no WWW-Authenticate after a failed Basic: %v", out.header)
	}
	out := good(t, h, basic("basic", "s:e c", "grant_type", "client_credentials", "scope", "a", "unheard_of", "x"))
	if _, has := out.object["refresh_token"]; has || out.text("scope") != "a" || out.object["expires_in"] != 3600.0 {
		t.Errorf("client_credentials: %s", out.raw)
	}
	access, refresh := pairOf(good(t, h, formPost("/token", append(app, "grant_type", "password", "username", "u", "password", "p", "scope", "x y")...)))
	good(t, h, withBearer("GET", "/api/me", access))
	refusals(t, s, OAuth2, h, []bad{
		{"more scopes", formPost("/token", append(app, "grant_type", "refresh_token", "refresh_token", refresh, "scope", "x z")...), 400, "invalid_scope"},
		{"another client's token", basic("basic", "s:e c", "grant_type", "refresh_token", "refresh_token", refresh), 400, "another client"},
	})
	good(t, h, formPost("/token", append(app, "grant_type", "refresh_token", "refresh_token", refresh)...))
	revoke := formPost("/revoke", append(app, "token", refresh)...)
	good(t, h, revoke)
	good(t, h, revoke) // RFC 7009: a dead token is a success
	if out := send(t, h, withBearer("GET", "/api/me", access)); out.status != 401 {
		t.Errorf("the access token of a revoked grant: %d", out.status)
	}
	meta := good(t, h, req{method: "GET", path: "/.well-known/oauth-authorization-server"})
	if meta.text("token_endpoint") != meta.text("issuer")+"/token" {
		t.Errorf("metadata: %s", meta.raw)
	}
}

func TestPKCE(t *testing.T) {
	s, _ := interactiveRig(Rules{})
	h := s.Handler(OAuth2)
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	ask := func(rest string) res {
		return send(t, h, req{method: "GET", path: "/authorize?response_type=code&state=st&client_id=" + rest})
	}
	for name, rest := range map[string]string{
		"public without":    "public",
		"unknown method":    "app&code_challenge_method=S512&code_challenge=" + challenge,
		"method alone":      "app&code_challenge_method=S256",
		"short challenge":   "app&code_challenge=x",
		"response type too": "app&response_mode=fragment&code_challenge_method=none&code_challenge=" + challenge,
	} {
		if _, v := location(t, ask(rest)); v.Get("error") != "invalid_request" || v.Get("state") != "st" {
			t.Errorf("%s: %v", name, v)
		}
	}
	exchange := func(code string, more ...string) req {
		return formPost("/token", append([]string{"client_id", "public", "grant_type", "authorization_code", "code", code}, more...)...)
	}
	_, v := location(t, ask("public&code_challenge_method=S256&code_challenge="+challenge))
	code := v.Get("code")
	refusals(t, s, OAuth2, h, []bad{
		{"no verifier", exchange(code), 400, "verifier"},
		{"wrong verifier", exchange(code, "code_verifier", strings.Repeat("w", 43)), 400, "does not match"},
	})
	good(t, h, exchange(code, "code_verifier", verifier))
	_, v = location(t, ask("app"))
	if out := send(t, h, formPost("/token", "client_id", "app", "client_secret", "sec/ret", "grant_type", "authorization_code", "code", v.Get("code"), "code_verifier", verifier)); out.status != 400 {
		t.Errorf("a verifier without a challenge: %d", out.status)
	}
	s.Change(OAuth2, func(r *Rules) { r.RequirePKCE = true })
	if _, v := location(t, ask("app")); v.Get("error") != "invalid_request" {
		t.Errorf("PKCE is required, and was not asked for: %v", v)
	}
}

func TestAnyClient(t *testing.T) {
	s := New(Options{AnyAccount: true, AutoApprove: true})
	h := s.Handler(CoinsPh)
	code := func(rest string) res {
		return send(t, h, req{method: "GET", path: "/user/api/authorize?response_type=code&client_id=mine" + rest})
	}
	_, v := location(t, code("&redirect_uri="+url.QueryEscape(callback)))
	good(t, h, formPost("/user/oauthtoken", "client_id", "mine", "client_secret", "any", "code", v.Get("code"), "grant_type", "authorization_code", "redirect_uri", callback))
	for _, rest := range []string{"", "&redirect_uri=example.com", "&redirect_uri=http%3A%2F%2Fa%2F%23frag"} {
		if out := code(rest); out.status != 400 {
			t.Errorf("redirect %q: %d, want 400", rest, out.status)
		}
	}
}
