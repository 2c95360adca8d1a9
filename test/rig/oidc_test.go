package rig_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"tokend/test/rig"
)

func TestOIDCClientCredentials(t *testing.T) {
	s := rig.OIDC(t, rig.OIDCOptions{AccessTokenTTL: 90})
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}
	status, reply := s.Post(s.Token, "service", "service-secret", form)
	if status != http.StatusOK || reply["access_token"] == nil || reply["expires_in"] != float64(90) {
		t.Fatalf("status %d, %v", status, reply)
	}
	token := reply["access_token"].(string)
	if !s.Active("service", "service-secret", token) {
		t.Error("a fresh token is not active")
	}
	if status, _ := s.Post(s.Revocation, "service", "service-secret", url.Values{"token": {token}}); status != http.StatusOK {
		t.Errorf("revoking: status %d", status)
	}
	if s.Active("service", "service-secret", token) {
		t.Error("a revoked token is active")
	}

	form.Set("client_id", "service-post")
	form.Set("client_secret", "service-secret")
	if status, reply := s.Post(s.Token, "", "", form); status != http.StatusOK {
		t.Errorf("secret in the form: status %d, %v", status, reply)
	}
	if status, reply := s.Post(s.Token, "service", "wrong", form); status == http.StatusOK {
		t.Errorf("a wrong secret: status %d, %v", status, reply)
	}
}

func TestOIDCAuthorizationCode(t *testing.T) {
	const callback = "http://127.0.0.1:8250/callback"
	s := rig.OIDC(t, rig.OIDCOptions{})
	verifier := "a-verifier-that-is-long-enough-for-the-specification-0"
	challenge := sha256.Sum256([]byte(verifier))
	authorization := s.Authorization + "?" + url.Values{
		"client_id": {"native"}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {"openid offline_access read"},
		"prompt": {"consent"}, "state": {"s1"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}.Encode()

	back, err := s.Browse(authorization)
	if err != nil {
		t.Fatal(err)
	}
	if back.Query().Get("state") != "s1" || back.Query().Get("code") == "" {
		t.Fatalf("sent back to %s", back)
	}
	exchange := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"native"}, "code": {back.Query().Get("code")},
		"redirect_uri": {callback}, "code_verifier": {"wrong" + verifier},
	}
	if status, reply := s.Post(s.Token, "", "", exchange); status == http.StatusOK {
		t.Errorf("a wrong verifier is accepted: %v", reply)
	}

	if back, err = s.Browse(authorization); err != nil {
		t.Fatal(err)
	}
	exchange.Set("code", back.Query().Get("code"))
	exchange.Set("code_verifier", verifier)
	status, reply := s.Post(s.Token, "", "", exchange)
	if status != http.StatusOK || reply["refresh_token"] == nil {
		t.Fatalf("exchanging the code: status %d, %v", status, reply)
	}

	back, err = s.Browse(authorization + "&login_hint=deny")
	if err != nil || back.Query().Get("error") != "access_denied" {
		t.Errorf("a person who refuses: %v, %v", back, err)
	}
}

func TestOIDCRefreshTokensAreSingleUse(t *testing.T) {
	s := rig.OIDC(t, rig.OIDCOptions{})
	status, first := s.Post(s.Token, "legacy", "legacy-secret",
		url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"}, "scope": {"read"}})
	if status != http.StatusOK {
		t.Fatalf("password grant: status %d, %v", status, first)
	}
	refresh := func(token any) (int, map[string]any) {
		return s.Post(s.Token, "legacy", "legacy-secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.(string)}})
	}
	status, second := refresh(first["refresh_token"])
	if status != http.StatusOK || second["refresh_token"] == first["refresh_token"] {
		t.Fatalf("refreshing: status %d, %v", status, second)
	}
	if status, reply := refresh(first["refresh_token"]); status != http.StatusBadRequest || reply["error"] != "invalid_grant" {
		t.Errorf("using a refresh token twice: status %d, %v", status, reply)
	}
	if status, reply := refresh(second["refresh_token"]); status == http.StatusOK {
		t.Errorf("after a reuse the grant goes on: %v", reply)
	}

	status, reply := s.Post(s.Token, "legacy", "legacy-secret",
		url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"looking-glass"}})
	if status != http.StatusBadRequest || reply["error"] != "invalid_grant" {
		t.Errorf("a wrong password: status %d, %v", status, reply)
	}
}
