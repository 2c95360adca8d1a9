package providers_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
)

// idp is an issuer whose metadata a test gives, with %s for its own URL.
func idp(t *testing.T, answers map[string]string) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var reads atomic.Int64
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.Contains(q.URL.Path, "/.well-known/") {
			reads.Add(1)
			body, ok := answers[q.URL.Path]
			if !ok {
				http.NotFound(w, q)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, strings.ReplaceAll(body, "%s", srv.URL))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"from %s"}`, q.URL.Path)
	}))
	t.Cleanup(srv.Close)
	return srv, &reads
}

func issuerCall(r *rig, issuer string, more map[string]any) providers.Call {
	in := map[string]any{"issuer": issuer, "client_id": "app", "client_secret": "canary-client"}
	for k, v := range more {
		in[k] = v
	}
	return r.call(providers.OpGrant, "client_credentials", in)
}

func TestDiscovery(t *testing.T) {
	for _, c := range []struct {
		name, path string // of the issuer
		answers    map[string]string
		token      string
		class      providers.Class
		want       string
	}{
		{"OpenID Connect", "", map[string]string{"/.well-known/openid-configuration": `{"issuer":"%s","token_endpoint":"%s/oidc"}`}, "from /oidc", "", ""},
		{"with a path", "/tenant/a", map[string]string{"/tenant/a/.well-known/openid-configuration": `{"issuer":"%s/tenant/a","token_endpoint":"%s/oidc"}`}, "from /oidc", "", ""},
		{"RFC 8414", "", map[string]string{"/.well-known/oauth-authorization-server": `{"issuer":"%s","token_endpoint":"%s/oauth"}`}, "from /oauth", "", ""},
		{"RFC 8414 with a path", "/tenant/a", map[string]string{"/.well-known/oauth-authorization-server/tenant/a": `{"issuer":"%s/tenant/a","token_endpoint":"%s/oauth"}`}, "from /oauth", "", ""},
		{"another issuer", "", map[string]string{"/.well-known/openid-configuration": `{"issuer":"https://evil.example","token_endpoint":"%s/oidc"}`}, "", providers.ClassPermanent, "another issuer"},
		{"nowhere", "", nil, "", providers.ClassPermanent, "not found"},
		{"a list", "", map[string]string{"/.well-known/openid-configuration": `[]`}, "", providers.ClassPermanent, "not a JSON object"},
		{"a page", "", map[string]string{"/.well-known/openid-configuration": `<html>`}, "", providers.ClassPermanent, "not a JSON object"},
		{"plain endpoint", "", map[string]string{"/.well-known/openid-configuration": `{"issuer":"%s","token_endpoint":"http://id.example/t"}`}, "", providers.ClassConfig, "is not encrypted"},
		{"no such endpoint", "", map[string]string{"/.well-known/openid-configuration": `{"issuer":"%s"}`}, "", providers.ClassConfig, "there is no url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, reads := idp(t, c.answers)
			r, _ := newRig(t, builtin(t, "oauth2"), http.NotFoundHandler(), nil)
			call := issuerCall(r, srv.URL+c.path, nil)
			err := r.e.Discover(context.Background(), call.Grant, call.Inputs, nil)
			var tok providers.Token
			if err == nil {
				tok, err = sendRead(r, call)
			}
			if c.class != "" {
				e := asError(t, err)
				if e.Class != c.class || !strings.Contains(e.Error(), c.want) || strings.Contains(e.Error(), "canary") {
					t.Errorf("%s: %v", e.Class, e)
				}
				return
			}
			if err != nil || tok.AccessToken.Reveal() != c.token {
				t.Fatalf("%q %v", tok.AccessToken.Reveal(), err)
			}
			before := reads.Load()
			for range 3 {
				if err := r.e.Discover(context.Background(), call.Grant, call.Inputs, nil); err != nil {
					t.Fatal(err)
				}
			}
			if reads.Load() != before {
				t.Error("read again within the hour")
			}
			r.clock.Move(61 * time.Minute)
			if err := r.e.Discover(context.Background(), call.Grant, call.Inputs, nil); err != nil || reads.Load() == before {
				t.Errorf("not read again after an hour: %v", err)
			}
			// The issuer is gone: what is known stays in force.
			srv.Close()
			r.clock.Move(61 * time.Minute)
			if err := r.e.Discover(context.Background(), call.Grant, call.Inputs, nil); err != nil {
				t.Errorf("%v", err)
			}
			if _, err := r.e.Prepare(call); err != nil {
				t.Error(err)
			}
			// It is asked again in a while, and not with each call.
			if r.e.Undiscovered(call.Grant, call.Inputs) != "" {
				t.Error("it is asked again at once")
			}
			if r.clock.Move(2 * time.Minute); r.e.Undiscovered(call.Grant, call.Inputs) == "" {
				t.Error("it is not asked again")
			}
		})
	}
}

// Before the metadata were read, the origin of the issuer is known, and those of
// addresses that are given by hand; that is not taken for all.
func TestKnownOriginsBeforeDiscovery(t *testing.T) {
	srv, _ := idp(t, nil)
	r, _ := newRig(t, builtin(t, "oauth2"), http.NotFoundHandler(), nil)
	for name, c := range map[string]struct {
		more map[string]any
		want []string
	}{
		"the issuer alone":      {nil, []string{srv.URL}},
		"with a revocation url": {map[string]any{"revoke_url": "https://evil.example/x"}, []string{srv.URL, "https://evil.example:443"}},
	} {
		t.Run(name, func(t *testing.T) {
			call := issuerCall(r, srv.URL, c.more)
			if got := r.e.KnownOrigins(call.Grant, call.Inputs); !slices.Equal(got, c.want) {
				t.Errorf("known are %q, want %q", got, c.want)
			}
			if got, err := r.e.Origins(call.Grant, call.Inputs); err == nil {
				t.Errorf("all are said to be %q", got)
			}
		})
	}
}

func TestDiscoveryIsBound(t *testing.T) {
	srv, reads := idp(t, map[string]string{"/.well-known/openid-configuration": `{"issuer":"%s","token_endpoint":"%s/oidc","revocation_endpoint":"https://other.example/revoke"}`})
	r, _ := newRig(t, builtin(t, "oauth2"), http.NotFoundHandler(), nil)
	call := issuerCall(r, srv.URL, nil)
	if err := r.e.Discover(context.Background(), call.Grant, call.Inputs, []string{"https://elsewhere.example:443"}); err == nil || reads.Load() != 0 {
		t.Errorf("the issuer is asked although the grant is not bound to it: %v", err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := r.e.Discover(context.Background(), call.Grant, call.Inputs, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := reads.Load(); n != 1 {
		t.Errorf("%d reads at once", n)
	}
	origins, err := r.e.Origins(call.Grant, call.Inputs)
	if err != nil || strings.Join(origins, " ") != srv.URL+" https://other.example:443" {
		t.Errorf("%v %v", origins, err)
	}
	// Of endpoints given by hand nothing is asked.
	hand := r.call(providers.OpGrant, "client_credentials", map[string]any{"token_url": "https://id.example/t", "client_id": "app", "client_secret": "s"})
	if err := r.e.Discover(context.Background(), hand.Grant, hand.Inputs, nil); err != nil || reads.Load() != 1 {
		t.Error(err)
	}
	if req, err := r.e.Prepare(hand); err != nil || req.Origin != "https://id.example:443" {
		t.Error(err)
	}
	hand = with(hand, providers.OpRevoke, providers.Token{AccessToken: secret.New("at-4711")})
	if _, err := r.e.Prepare(hand); err == nil || !strings.Contains(asError(t, err).Hint, "issuer, revoke_url") {
		t.Errorf("%v", err)
	}
	if needs := r.e.Needs(providers.OpRefresh, "client_credentials"); !strings.Contains(strings.Join(needs, " "), "issuer") {
		t.Errorf("the issuer is needed for a refresh: %v", needs)
	}
	bad := issuerCall(r, "http://id.example", nil)
	if e := asError(t, r.e.Discover(context.Background(), bad.Grant, bad.Inputs, nil)); e.Class != providers.ClassConfig || !strings.Contains(e.Error(), "not encrypted") {
		t.Error(e)
	}
}

func TestDeviceCode(t *testing.T) {
	answer := `{"error":"authorization_pending"}`
	status := 400
	h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = q.ParseForm()
		switch {
		case q.URL.Path == "/device" && q.Form.Get("scope") == "a b" && q.Form.Get("client_id") == "tv":
			_, _ = fmt.Fprint(w, `{"device_code":"dc/+","user_code":"WDJB-MJHT","verification_url":"https://id.example/device","expires_in":1800}`)
		case q.URL.Path == "/token" && q.Form.Get("device_code") == "dc/+" && q.Form.Get("grant_type") == "urn:ietf:params:oauth:grant-type:device_code":
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, answer)
		default:
			w.WriteHeader(418)
		}
	})
	r, srv := newRig(t, builtin(t, "oauth2"), h, nil)
	c := r.call(providers.OpDevice, "device_code", map[string]any{"client_id": "tv", "client_auth": "none", "device_url": srv.URL + "/device", "token_url": srv.URL + "/token"})
	c.Scopes = []string{"a", "b"}
	req, err := r.e.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.e.Send(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.e.ReadDevice(c, rep)
	if err != nil || d.UserCode != "WDJB-MJHT" || d.VerificationURI != "https://id.example/device" || d.Interval != 5*time.Second || d.ExpiresAt.Sub(r.clock.Now()) != 30*time.Minute {
		t.Fatalf("%+v %v", d, err)
	}
	c.Op, c.Flow = providers.OpExchange, providers.Flow{DeviceCode: d.DeviceCode}
	if e := r.failure(c); e.Class != providers.ClassTransient || e.Code != "authorization_pending" {
		t.Error(e)
	}
	answer = `{"error":"slow_down"}`
	if e := r.failure(c); e.Class != providers.ClassThrottled {
		t.Error(e)
	}
	answer = `{"error":"expired_token"}`
	if e := r.failure(c); e.Class != providers.ClassPermanent {
		t.Error(e)
	}
	status, answer = 200, `{"access_token":"a"}`
	r.must(c)
	rep.Body = secret.New(`{"device_code":"x"}`)
	c.Op = providers.OpDevice
	if _, err := r.e.ReadDevice(c, rep); asError(t, err).Class != providers.ClassUnreadable {
		t.Error(err)
	}
}

// A type that has no base_url is not told to check it.
func TestTheAddressIsNotCalledByASettingThatTheTypeDoesNotHave(t *testing.T) {
	r, _ := newRig(t, builtin(t, "oauth2"), http.NotFoundHandler(), nil)
	for _, url := range []string{"https://no-such-host.invalid/token", "http://127.0.0.1:1/token"} {
		c := r.call(providers.OpGrant, "client_credentials", map[string]any{"token_url": url, "client_id": "app", "client_secret": "s"})
		req, err := r.e.Prepare(c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.e.Send(context.Background(), req)
		if e := asError(t, err); strings.Contains(e.Hint, "base_url") || !strings.Contains(e.Hint, "the address that is called (token_url)") || !strings.Contains(e.Error(), url) {
			t.Errorf("%v (%s)", e, e.Hint)
		}
	}
}
