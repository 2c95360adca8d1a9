package standin

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const apironeBody = `{"login":"apr-1","password":"key"}`

func apironeRig(rules Rules) (*Server, *clock) {
	c := newClock()
	return New(Options{Now: c.Now, Rules: rules, Accounts: []Account{
		{API: Apirone, Login: "apr-1", Password: "key"}, {API: Apirone, Login: "btc-2", Password: "key"},
	}}), c
}

func claims(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("a JWT has three parts, this has %d", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestApironeRefuses(t *testing.T) {
	s, _ := apironeRig(Rules{})
	h := s.Handler(Apirone)
	pair := good(t, h, jsonPost("/api/v2/auth/login", apironeBody))
	access, refresh := pair.text("access-token"), pair.text("refresh-token")
	login := func(body string) req { return jsonPost("/api/v2/auth/login", body) }
	withBody := withBearer("POST", "/api/v2/auth/refresh-token", refresh)
	withBody.body = "{}"
	both := withBearer("GET", "/api/v2/accounts/apr-1/callback?transfer-key=key", access)
	refusals(t, s, Apirone, h, []bad{
		{"method", req{method: "GET", path: "/api/v2/auth/login"}, 405, `{"message":"the method must be POST"}`},
		{"form", req{method: "POST", path: "/api/v2/auth/login", media: formType, body: "login=apr-1&password=key"}, 400, "application/json"},
		{"missing password", login(`{"login":"apr-1"}`), 400, "`password` is missing"},
		{"unknown field", login(`{"login":"apr-1","password":"key","grant_type":"password"}`), 400, "`grant_type` is unknown"},
		{"no account shape", login(`{"login":"alice","password":"key"}`), 400, "not an account"},
		{"wrong password", login(`{"login":"apr-1","password":"other"}`), 400, "are wrong"},
		{"refresh without header", req{method: "POST", path: "/api/v2/auth/refresh-token"}, 400, "Authorization"},
		{"refresh with body", withBody, 400, "must not have a body"},
		{"refresh with access token", withBearer("POST", "/api/v2/auth/refresh-token", access), 400, "unknown"},
		{"logout with refresh token", withBearer("POST", "/api/v2/auth/logout", refresh), 400, "no longer valid"},
		{"logout without header", req{method: "POST", path: "/api/v2/auth/logout"}, 400, "Authorization"},
		{"no token", req{method: "GET", path: "/api/v2/accounts/apr-1/callback?currency=tbtc"}, 401, "message"},
		{"another's account", withBearer("GET", "/api/v2/accounts/btc-2/callback", access), 403, "another account"},
		{"wrong transfer key", req{method: "GET", path: "/api/v2/accounts/apr-1/callback?transfer-key=x"}, 401, "transfer key"},
		{"both", both, 400, "a token and a transfer key"},
		{"unknown query", withBearer("GET", "/api/v2/accounts/apr-1/callback?x=1", access), 400, "`x` is unknown"},
		{"no such account path", withBearer("GET", "/api/v2/accounts//callback", access), 404, "no such endpoint"},
	})
	s.Change(Apirone, func(r *Rules) { r.RefusedStatus = 500 })
	refusals(t, s, Apirone, h, []bad{
		{"500 for a refused token", withBearer("POST", "/api/v2/auth/refresh-token", "x"), 500, `{"message":`},
		{"400 for a malformed request", login(`{}`), 400, `{"message":`},
	})
}

func TestApironeSession(t *testing.T) {
	s, c := apironeRig(Rules{})
	h := s.Handler(Apirone)
	first := good(t, h, req{method: "POST", path: "/api/v2/auth/login", media: jsonType + ";charset=utf-8", body: apironeBody})
	access, refresh := first.text("access-token"), first.text("refresh-token")
	if first.text("login") != "apr-1" || len(first.object) != 3 {
		t.Errorf("the reply is %s", first.raw)
	}
	if got, want := claims(t, access)["exp"], float64(c.Now().Add(10*time.Minute).Unix()); got != want {
		t.Errorf("exp is %v, want %v", got, want)
	}
	use := withBearer("GET", "/api/v2/accounts/apr-1/callback?currency=tbtc", access)
	good(t, h, use)
	good(t, h, req{method: "GET", path: "/api/v2/accounts/apr-1/callback?currency=tbtc&transfer-key=key"})
	other := good(t, h, jsonPost("/api/v2/auth/login", apironeBody))

	second := good(t, h, withBearer("POST", "/api/v2/auth/refresh-token", refresh))
	if second.text("refresh-token") == refresh || second.text("access-token") == access {
		t.Error("a refresh brought nothing new")
	}
	good(t, h, use) // a JWT is good until its exp
	if out := good(t, h, withBearer("POST", "/api/v2/auth/logout", second.text("access-token"))); out.raw != "{}" {
		t.Errorf("logout answered %s", out.raw)
	}
	for _, token := range []string{access, refresh, second.text("access-token"), second.text("refresh-token")} {
		if got, _ := s.Lookup(Apirone, token); got.Alive {
			t.Errorf("a token of the session outlived its logout: %+v", got)
		}
	}
	if got := len(s.Live(Apirone, "apr-1")); got != 2 {
		t.Errorf("%d tokens of the other session live, want 2", got)
	}
	c.Move(10 * time.Minute)
	refusals(t, s, Apirone, h, []bad{
		{"logout after the end", withBearer("POST", "/api/v2/auth/logout", other.text("access-token")), 400, "no longer valid"},
	})
}
