package rig

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// OIDCOptions are what a test may want different from one provider to the next.
type OIDCOptions struct {
	// RedirectURIs are those of the clients web and native; by default
	// http://127.0.0.1:8250/callback.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// AccessTokenTTL and RefreshTokenTTL are in seconds; by default an hour and
	// two weeks.
	AccessTokenTTL  int `json:"access_token_ttl,omitempty"`
	RefreshTokenTTL int `json:"refresh_token_ttl,omitempty"`
}

// OIDCServer is a real OAuth 2 and OpenID provider (oidc-provider, certified by
// the OpenID Foundation). Its clients and their secrets:
//
//	service       service-secret   client_credentials; HTTP Basic
//	service-post  service-secret   client_credentials; secret in the form
//	web           web-secret       authorization_code, device_code; HTTP Basic
//	native        (none)           authorization_code with PKCE, device_code
//	legacy        legacy-secret    password (alice, wonderland); HTTP Basic
//
// The scopes are openid, offline_access, read and write. Refresh tokens are single
// use; using one twice ends the whole grant. Revocation, introspection, pushed
// authorization requests and DPoP are on.
type OIDCServer struct {
	// Issuer is the URL of the provider, http://127.0.0.1:PORT; discovery is
	// below it at .well-known/openid-configuration.
	Issuer string
	// Token, Authorization, Revocation, Introspection and Device are the
	// endpoints' URLs, as discovery gave them.
	Token, Authorization, Revocation, Introspection, Device string

	t    testing.TB
	proc *process
}

// OIDC starts an OpenID provider for this test.
func OIDC(t testing.TB, options OIDCOptions) *OIDCServer {
	t.Helper()
	arg, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	s := &OIDCServer{t: t}
	s.proc, s.Issuer = start(t, Script(t, "oidc.mjs", string(arg)), "listening on ")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("OpenID provider said:\n%s", s.proc.said)
		}
		if err := s.proc.stop(); err != nil {
			t.Error(err)
		}
	})

	resp, err := http.Get(s.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatalf("reading discovery: %v", err)
	}
	defer resp.Body.Close()
	var found struct {
		Token         string `json:"token_endpoint"`
		Authorization string `json:"authorization_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		Device        string `json:"device_authorization_endpoint"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil || found.Token == "" {
		t.Fatalf("reading discovery: %v, %+v", err, found)
	}
	s.Token, s.Authorization, s.Revocation = found.Token, found.Authorization, found.Revocation
	s.Introspection, s.Device = found.Introspection, found.Device
	return s
}

// Post posts a form to one of the endpoints, with HTTP Basic unless client is "",
// and returns the status and the reply.
func (s *OIDCServer) Post(endpoint, client, secret string, form url.Values) (int, map[string]any) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("posting to %s: %v", endpoint, err)
	}
	defer resp.Body.Close()
	var reply map[string]any
	if resp.ContentLength != 0 {
		if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
			s.t.Fatalf("posting to %s: status %d, unreadable reply: %v", endpoint, resp.StatusCode, err)
		}
	}
	return resp.StatusCode, reply
}

// Active reports whether the provider holds a token of the client good.
func (s *OIDCServer) Active(client, secret, token string) bool {
	s.t.Helper()
	_, reply := s.Post(s.Introspection, client, secret, url.Values{"token": {token}})
	active, _ := reply["active"].(bool)
	return active
}

// Browse does what a person and a browser do with an authorization URL: it follows
// the redirects, logs in, consents, and returns the URL on which the provider sends
// the browser back to the client, which is not opened. With login_hint=deny in the
// authorization URL the person refuses.
func (s *OIDCServer) Browse(authorization string) (*url.URL, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{
		Jar:           jar,
		Timeout:       startTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	next := authorization
	for range 10 {
		resp, err := client.Get(next)
		if err != nil {
			return nil, fmt.Errorf("browsing: %w", err)
		}
		resp.Body.Close()
		to, err := resp.Location()
		if err != nil {
			return nil, fmt.Errorf("browsing %s: status %d and no redirect", next, resp.StatusCode)
		}
		if !strings.HasPrefix(to.String(), s.Issuer+"/") {
			return to, nil
		}
		next = to.String()
	}
	return nil, fmt.Errorf("browsing: still at the provider after ten redirects: %s", next)
}
