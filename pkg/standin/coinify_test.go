package standin

import (
	"strings"
	"testing"
	"time"
)

const coinifyLogin = `{"grant_type":"password","email":"a@example.com","partnerId":"p-1","password":"s3cret"}`

func coinifyRig(rules Rules) (*Server, *clock) {
	c := newClock()
	return New(Options{Now: c.Now, Rules: rules, Accounts: []Account{
		{API: Coinify, Login: "a@example.com", Password: "s3cret", Partner: "p-1", OfflineToken: "offline-for-life"},
		{API: Coinify, Login: "f@example.com", Password: "s3cret", Forbidden: true},
	}}), c
}

func TestCoinifyRefuses(t *testing.T) {
	s, _ := coinifyRig(Rules{})
	h := s.Handler(Coinify)
	access, refresh := pairOf(good(t, h, jsonPost("/auth", coinifyLogin)))
	auth := func(body string) req { return jsonPost("/auth", body) }
	get := req{method: "GET", path: "/traders/me"}
	refusals(t, s, Coinify, h, []bad{
		{"method", req{method: "GET", path: "/auth"}, 405, "must be POST"},
		{"path", jsonPost("/oauth", coinifyLogin), 404, "no such endpoint"},
		{"content type", req{method: "POST", path: "/auth", media: formType, body: coinifyLogin}, 400, "must be application/json"},
		{"no content type", req{method: "POST", path: "/auth", body: coinifyLogin}, 400, "must be application/json"},
		{"charset", req{method: "POST", path: "/auth", media: jsonType + ";charset=latin1", body: coinifyLogin}, 400, "must be application/json"},
		{"query", jsonPost("/auth?x=1", coinifyLogin), 400, "must not have a query"},
		{"empty body", auth(""), 400, "not one JSON object"},
		{"array", auth(`["grant_type"]`), 400, "not one JSON object"},
		{"rest behind", auth(coinifyLogin + "{}"), 400, "not one JSON object"},
		{"no grant type", auth(`{"email":"a@example.com"}`), 400, "`grant_type` is missing"},
		{"unknown grant type", auth(`{"grant_type":"client_credentials"}`), 400, "unsupported_grant_type"},
		{"missing field", auth(`{"grant_type":"password","email":"a@example.com","password":"s3cret"}`), 400, "`partnerId` is missing"},
		{"empty field", auth(`{"grant_type":"password","email":"a@example.com","partnerId":"p-1","password":""}`), 400, "`password` is empty"},
		{"misspelt field", auth(`{"grant_type":"password","email":"a@example.com","partner_id":"p-1","password":"s3cret"}`), 400, "`partnerId` is missing"},
		{"unknown field", auth(strings.Replace(coinifyLogin, "}", `,"scope":"x"}`, 1)), 400, "`scope` is unknown"},
		{"repeated field", auth(strings.Replace(coinifyLogin, "}", `,"email":"a@example.com"}`, 1)), 400, "`email` is repeated"},
		{"number", auth(strings.Replace(coinifyLogin, `"p-1"`, `1`, 1)), 400, "`partnerId` must be a string"},
		{"null", auth(strings.Replace(coinifyLogin, `"p-1"`, `null`, 1)), 400, "`partnerId` must be a string"},
		{"field of another grant", auth(`{"grant_type":"refresh_token","refresh_token":"x","email":"a@example.com"}`), 400, "`email` is unknown"},
		{"no email", auth(strings.Replace(coinifyLogin, "a@example.com", "alice", 1)), 400, "not an email"},
		{"wrong password", auth(strings.Replace(coinifyLogin, "s3cret", "other", 1)), 400, "invalid_grant"},
		{"wrong partner", auth(strings.Replace(coinifyLogin, "p-1", "p-2", 1)), 400, "invalid_grant"},
		{"unknown account", auth(strings.Replace(coinifyLogin, "a@", "b@", 1)), 400, "invalid_grant"},
		{"unknown offline token", auth(`{"grant_type":"offline_token","offline_token":"else"}`), 400, "invalid_grant"},
		{"unknown refresh token", auth(`{"grant_type":"refresh_token","refresh_token":"else"}`), 400, "invalid_grant"},
		{"access token as refresh token", auth(`{"grant_type":"refresh_token","refresh_token":"` + access + `"}`), 400, "invalid_grant"},
		{"revoke without hint", jsonPost("/auth/revoke", `{"token":"`+refresh+`"}`), 400, "`token_type_hint` is missing"},
		{"revoke with the other hint", jsonPost("/auth/revoke", `{"token_type_hint":"access_token","token":"`+refresh+`"}`), 400, "unsupported_token_type"},
		{"revoke an access token", jsonPost("/auth/revoke", `{"token_type_hint":"refresh_token","token":"`+access+`"}`), 400, "invalid_grant"},
		{"no token", get, 401, "invalid_token"},
		{"refresh token at the API", withBearer("GET", "/traders/me", refresh), 401, "invalid_token"},
		{"other scheme", req{method: "GET", path: "/traders/me", header: map[string]string{"Authorization": "Token " + access}}, 401, "invalid_token"},
		{"deactivation at the wrong host", withBearer("PUT", "/me/deactivate", access), 404, "no such endpoint"},
	})
	if got := s.Counts(Coinify).RefusedLogins; got != 4 {
		t.Errorf("%d refused logins, want 4", got)
	}
	if got := s.Ledger(Coinify).Accounts["a@example.com"].Refusals; got != 2 {
		t.Errorf("%d refusals of the account, want 2", got)
	}
}

func TestCoinifyTokens(t *testing.T) {
	s, c := coinifyRig(Rules{})
	h := s.Handler(Coinify)
	first := good(t, h, jsonPost("/auth", coinifyLogin))
	access, refresh := pairOf(first)
	if first.text("token_type") != "bearer" || first.object["expires_in"] != 1200.0 || len(first.object) != 4 {
		t.Errorf("token reply is %s", first.raw)
	}
	if first.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a token reply may be cached: %v", first.header)
	}
	good(t, h, withBearer("GET", "/traders/me", access))
	c.Move(1200 * time.Second)
	if out := send(t, h, withBearer("GET", "/traders/me", access)); out.status != 401 {
		t.Errorf("status %d at the end of the lifetime, want 401", out.status)
	}
	again := good(t, h, jsonPost("/auth", `{"grant_type":"refresh_token","refresh_token":"`+refresh+`"}`))
	if _, kept := pairOf(again); kept != refresh {
		t.Errorf("a refresh changed the refresh token, though nothing said so")
	}
	good(t, h, jsonPost("/auth", `{"grant_type":"offline_token","offline_token":"offline-for-life"}`))
	c.Move(24 * time.Hour)
	if out := send(t, h, jsonPost("/auth", `{"grant_type":"refresh_token","refresh_token":"`+refresh+`"}`)); out.status != 400 {
		t.Errorf("a refresh token of 24 hours is good after them: %d", out.status)
	}
}

func TestCoinifyRevoke(t *testing.T) {
	s, _ := coinifyRig(Rules{})
	h := s.Handler(Coinify)
	access, refresh := pairOf(good(t, h, jsonPost("/auth", coinifyLogin)))
	revoke := jsonPost("/auth/revoke", `{"token_type_hint":"refresh_token","token":"`+refresh+`"}`)
	if out := send(t, h, revoke); out.status != 204 || out.raw != "" {
		t.Errorf("revocation: %d %q, want 204 and nothing", out.status, out.raw)
	}
	if out := send(t, h, revoke); out.status != 400 {
		t.Errorf("a second revocation: %d, want 400", out.status)
	}
	if out := send(t, h, jsonPost("/auth", `{"grant_type":"refresh_token","refresh_token":"`+refresh+`"}`)); out.status != 400 {
		t.Errorf("refresh with a revoked token: %d", out.status)
	}
	good(t, h, withBearer("GET", "/traders/me", access)) // "forget" it: it lives on
	token, _ := s.Lookup(Coinify, refresh)
	if token.Alive || token.Why != "revoked" || s.Counts(Coinify).Revocations != 1 {
		t.Errorf("the books say %+v, %d revocations", token, s.Counts(Coinify).Revocations)
	}
}

func TestCoinifyForbiddenAndDeactivated(t *testing.T) {
	s, _ := coinifyRig(Rules{})
	h, user := s.Handler(Coinify), s.CoinifyUser()
	access, _ := pairOf(good(t, h, jsonPost("/auth", strings.Replace(coinifyLogin, "a@", "f@", 1))))
	if out := send(t, h, withBearer("GET", "/traders/me", access)); out.status != 403 {
		t.Errorf("status %d for a forbidden account, want 403", out.status)
	}
	access, refresh := pairOf(good(t, h, jsonPost("/auth", coinifyLogin)))
	refusals(t, s, Coinify, user, []bad{
		{"method", withBearer("POST", "/me/deactivate", access), 405, "must be PUT"},
		{"no token", req{method: "PUT", path: "/me/deactivate"}, 401, "invalid_token"},
		{"body", req{method: "PUT", path: "/me/deactivate", body: "{}", header: map[string]string{"Authorization": "Bearer " + access}}, 400, "must not have a body"},
	})
	if out := send(t, user, withBearer("PUT", "/me/deactivate", access)); out.status != 204 {
		t.Fatalf("deactivation: %d %s", out.status, out.raw)
	}
	refusals(t, s, Coinify, h, []bad{
		{"login", jsonPost("/auth", coinifyLogin), 400, "deactivated"},
		{"refresh", jsonPost("/auth", `{"grant_type":"refresh_token","refresh_token":"`+refresh+`"}`), 400, "deactivated"},
		{"offline", jsonPost("/auth", `{"grant_type":"offline_token","offline_token":"offline-for-life"}`), 400, "deactivated"},
		{"use", withBearer("GET", "/traders/me", access), 401, "invalid_token"},
	})
	book := s.Ledger(Coinify).Accounts["a@example.com"]
	if !book.Deactivated || book.LiveAccess != 0 || book.LiveRefresh != 0 {
		t.Errorf("the books say %+v", book)
	}
}

func TestCoinifyAnyAccount(t *testing.T) {
	s := New(Options{AnyAccount: true, Accounts: []Account{{API: Coinify, Login: "a@example.com", Password: "s3cret"}}})
	h := s.Handler(Coinify)
	good(t, h, jsonPost("/auth", `{"grant_type":"password","email":"any@body","partnerId":"x","password":"y"}`))
	good(t, h, jsonPost("/auth", `{"grant_type":"offline_token","offline_token":"whatever"}`))
	if out := send(t, h, jsonPost("/auth", strings.Replace(coinifyLogin, "s3cret", "other", 1))); out.status != 400 {
		t.Errorf("a registered account got in with a wrong password: %d", out.status)
	}
}
