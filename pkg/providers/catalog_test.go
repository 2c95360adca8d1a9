package providers_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/providers"
	"tokend/pkg/providers/catalog"
	"tokend/pkg/providers/login"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
)

// api makes a rig of a built-in type against its stand-in.
func api(t testing.TB, kind standin.API, o standin.Options, settings map[string]any) (*rig, *standin.Server) {
	t.Helper()
	r := &rig{}
	o.Now = func() time.Time { return r.clock.Now() }
	s := standin.New(o)
	made, _ := newRig(t, builtin(t, string(kind)), s.Handler(kind), settings)
	r.clock = made.clock
	return made, s
}

func TestEveryCatalogFileLoads(t *testing.T) {
	files, err := catalog.FS.ReadDir(".")
	if err != nil || len(files) != 5 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		typ := builtin(t, strings.TrimSuffix(f.Name(), ".hcl"))
		e, err := providers.NewEndpoint(&spec.Provider{Addr: "provider.x.default", Type: typ, Config: filled(t, typ.Config, nil)}, providers.Options{})
		if err != nil {
			t.Errorf("%s: %v", f.Name(), err)
			continue
		}
		for _, g := range typ.Grants {
			if tr := e.Traits(g.Name); tr.Static != g.Static || tr.Interactive != g.Interactive() {
				t.Errorf("%s %s: %+v", f.Name(), g.Name, tr)
			}
		}
		e.Close()
	}
}

func TestApirone(t *testing.T) {
	r, s := api(t, standin.Apirone, standin.Options{Accounts: []standin.Account{{API: standin.Apirone, Login: "apr-1", Password: "transfer/key+="}}}, nil)
	c := r.call(providers.OpGrant, "login", map[string]any{"login": "apr-1", "password": "transfer/key+="})
	tok := r.must(c)
	if tok.AccessToken.Empty() || tok.RefreshToken.Empty() || !tok.RefreshGiven {
		t.Fatal("no tokens")
	}
	if got := tok.ExpiresAt.Sub(r.clock.Now()); got != 10*time.Minute {
		t.Errorf("exp of the JWT: %v", got)
	}
	if tok.HeaderName != "Authorization" || tok.Header.Reveal() != "Bearer "+tok.AccessToken.Reveal() {
		t.Error("header")
	}
	if v := tok.Outputs.Cty("login"); !spec.IsSensitive(v) {
		t.Error("outputs stay marked")
	}
	if text, err := tok.Outputs.Secret("login"); err != nil || text.Reveal() != "apr-1" {
		t.Errorf("outputs.login: %v", err)
	}
	r.clock.Move(time.Minute)
	next := r.must(with(c, providers.OpRefresh, tok))
	if next.AccessToken.Equal(tok.AccessToken) || !next.RefreshGiven {
		t.Error("refreshed to the same")
	}
	live := with(c, providers.OpVerify, next)
	live.Path = "/api/v2/accounts/apr-1/callback?currency=btc"
	if _, err := r.do(live); err != nil {
		t.Error(err)
	}
	if _, err := r.do(with(c, providers.OpRevoke, next)); err != nil {
		t.Error(err)
	}
	if n := s.Counts(standin.Apirone); n.Grants != 1 || n.Refreshes != 1 || n.Revocations != 1 || n.LiveRefresh != 0 {
		t.Errorf("%+v", n)
	}
	// The page's 500: a refused refresh falls back to a login, a refused login is
	// tried again with back-off.
	s.Change(standin.Apirone, func(r *standin.Rules) { r.RefusedStatus = 500 })
	if e := r.failure(with(c, providers.OpRefresh, next)); e.Class != providers.ClassPermanent || e.Status != 500 || !e.Reached {
		t.Errorf("refused refresh: %+v", e)
	}
	c.Inputs = filled(t, r.typ.Grant("login").Inputs, map[string]any{"login": "apr-1", "password": "wrong-transfer-key"})
	if e := r.failure(c); e.Class != providers.ClassTransient || e.Status != 500 || !e.Reached {
		t.Errorf("refused login: %+v", e)
	}
	s.Change(standin.Apirone, func(r *standin.Rules) { r.RefusedStatus = 400 })
	if e := r.failure(c); e.Class != providers.ClassPermanent || e.Status != 400 || strings.Contains(e.Error(), "wrong-transfer-key") {
		t.Errorf("refused login: %v", e)
	}

	static := r.call(providers.OpGrant, "transfer_key", map[string]any{"transfer_key": "bP1vwTAM"})
	st, err := r.e.Static(static)
	if err != nil || !st.AccessToken.Empty() || !st.ExpiresAt.IsZero() {
		t.Fatalf("%+v %v", st, err)
	}
	if key, err := st.Outputs.Secret("transfer_key"); err != nil || key.Reveal() != "bP1vwTAM" || !spec.IsSensitive(st.Outputs.Cty("transfer_key")) {
		t.Error("transfer_key")
	}
	want := providers.Traits{Lockout: true, Session: "independent", Secrets: []string{"password"}, HasRefresh: true, Rotates: "observe", HasRevoke: true, RevokeOn: []string{"remove", "replace"},
		RevokeNeeds: "access_token", RevokeNamesAccess: true, HeaderName: "Authorization"}
	if diff := cmp.Diff(want, r.e.Traits("login")); diff != "" {
		t.Error(diff)
	}
	for op, want := range map[providers.Op][]string{providers.OpGrant: {"login", "password"}, providers.OpRefresh: {}, providers.OpRevoke: {}, providers.OpVerify: {}} {
		if got := r.e.Needs(op, "login"); len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
			t.Errorf("%s needs %v", op, got)
		}
	}
}

func TestCoinify(t *testing.T) {
	var user *httptest.Server
	s := standin.New(standin.Options{Accounts: []standin.Account{{API: standin.Coinify, Login: "a@example.com", Password: "p\"w ö", Partner: "p-1", OfflineToken: "off+/="}}})
	user = httptest.NewServer(s.CoinifyUser())
	defer user.Close()
	r, _ := newRig(t, builtin(t, "coinify"), s.Handler(standin.Coinify), map[string]any{"user_url": user.URL})
	c := r.call(providers.OpGrant, "password", map[string]any{"email": "a@example.com", "partner_id": "p-1", "password": "p\"w ö"})
	tok := r.must(c)
	if got := tok.ExpiresAt.Sub(r.clock.Now()); got != 20*time.Minute || tok.TokenType != "bearer" {
		t.Errorf("%v %s", got, tok.TokenType)
	}
	if got := tok.RefreshUntil.Sub(r.clock.Now()); got != 24*time.Hour {
		t.Errorf("the refresh token ends in %v", got)
	}
	other := r.must(r.call(providers.OpGrant, "offline_token", map[string]any{"offline_token": "off+/="}))
	if other.AccessToken.Empty() {
		t.Error("offline token")
	}
	// Kept: the reply repeats the refresh token.
	next := r.must(with(c, providers.OpRefresh, tok))
	if !next.RefreshToken.Equal(tok.RefreshToken) || !next.RefreshGiven {
		t.Error("a kept refresh token")
	}
	// Left out (RFC 6749 section 6): the one held stays, with its end.
	s.Change(standin.Coinify, func(r *standin.Rules) { r.Rotate = standin.RotateOmit })
	r.clock.Move(time.Hour)
	omitted := r.must(with(c, providers.OpRefresh, next))
	if !omitted.RefreshToken.Equal(tok.RefreshToken) || omitted.RefreshGiven || !omitted.RefreshUntil.Equal(next.RefreshUntil) {
		t.Error("a refresh token that the reply leaves out")
	}
	if _, err := r.do(with(c, providers.OpRevoke, omitted)); err != nil {
		t.Error(err)
	}
	if e := r.failure(with(c, providers.OpRefresh, omitted)); e.Class != providers.ClassPermanent || e.Code != "invalid_grant" {
		t.Errorf("refreshing a revoked one: %v", e)
	}
	if e := r.failure(r.call(providers.OpGrant, "password", map[string]any{"email": "a@example.com", "partner_id": "p-1", "password": "canary-wrong"})); e.Class != providers.ClassPermanent || e.Hint == "" {
		t.Errorf("wrong password: %v", e)
	}
	act := with(c, providers.OpAction, other)
	act.Action = "deactivate"
	req, err := r.e.Prepare(act)
	if err != nil {
		t.Fatal(err)
	}
	if req.Method != "PUT" || !strings.HasSuffix(req.String(), "/me/deactivate") {
		t.Errorf("%s", req)
	}
	rep, err := r.e.Send(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.e.Read(act, rep); err != nil || rep.Status != 204 || s.Counts(standin.Coinify).Deactivations != 1 {
		t.Errorf("deactivation: %d %v", rep.Status, err)
	}
	if a := r.e.Action("deactivate"); !a.EndsAccount || !a.Destructive {
		t.Errorf("%+v", a)
	}
	origins, err := r.e.Origins("password", c.Inputs)
	if err != nil || len(origins) != 2 {
		t.Errorf("origins %v %v", origins, err)
	}
	if e := r.e.Traits("password"); !e.Lockout || e.RevokeNeeds != "refresh_token" || e.RevokesOn("refresh") || !e.RevokesOn("replace") {
		t.Errorf("%+v", e)
	}
}

// approve opens an authorization URL as a browser with a willing person would,
// and gives the URL that it is redirected to.
func approve(t testing.TB, authorize string) string {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(authorize)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != 302 {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %d: %s", resp.StatusCode, b)
	}
	return resp.Header.Get("Location")
}

const callback = "http://127.0.0.1:8250/callback"

func TestCoinsPh(t *testing.T) {
	r, s := api(t, standin.CoinsPh, standin.Options{AutoApprove: true, Clients: []standin.Client{{API: standin.CoinsPh, ID: "app", Secret: "s+e c/ret", RedirectURIs: []string{callback}}}}, nil)
	c := r.call(providers.OpExchange, "authorization_code", map[string]any{"client_id": "app", "client_secret": "s+e c/ret"})
	c.Scopes = []string{"buyorder", "sellorder", "history"}
	c.Flow.RedirectURI = callback
	pending, err := login.Start(r.e, c)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(pending.URL, "scope=buyorder+sellorder+history&") {
		t.Errorf("the bytes of scope: %s", pending.URL)
	}
	if c.Flow, err = pending.Finish(r.e, c, approve(t, pending.URL)); err != nil {
		t.Fatal(err)
	}
	tok := r.must(c)
	if got := tok.ExpiresAt.Sub(r.clock.Now()); got != time.Hour || tok.RefreshToken.Empty() {
		t.Errorf("default lifetime: %v", got)
	}
	c.DefaultLifetime = 10 * time.Minute
	c.Flow = providers.Flow{RedirectURI: callback}
	next := r.must(with(c, providers.OpRefresh, tok))
	if got := next.ExpiresAt.Sub(r.clock.Now()); got != 10*time.Minute {
		t.Errorf("the credential's default lifetime: %v", got)
	}
	s.Change(standin.CoinsPh, func(r *standin.Rules) { r.ExpiresIn = standin.ExpiryString })
	if got := r.must(with(c, providers.OpRefresh, next)).ExpiresAt.Sub(r.clock.Now()); got != time.Hour {
		t.Errorf("expires_in as a string of digits: %v", got)
	}
	if tr := r.e.Traits("authorization_code"); !tr.InvalidatesAccessToken || tr.HasRevoke || !tr.Interactive || tr.Lockout {
		t.Errorf("%+v", tr)
	}

	// The implicit grant: the redirect itself brings the token.
	for _, inState := range []bool{false, true} {
		s.Change(standin.CoinsPh, func(r *standin.Rules) { r.ScopesInState = inState; r.ExpiresIn = "" })
		im := r.call(providers.OpExchange, "implicit", map[string]any{"client_id": "app"})
		im.Scopes, im.Flow.RedirectURI = []string{"history", "buyorder"}, callback
		if pending, err = login.Start(r.e, im); err != nil {
			t.Fatal(err)
		}
		if im.Flow, err = pending.Finish(r.e, im, approve(t, pending.URL)); err != nil {
			t.Fatal(err)
		}
		got, err := r.e.Read(im, nil)
		if err != nil || got.AccessToken.Empty() || !got.RefreshToken.Empty() || got.TokenType != "Bearer" {
			t.Fatalf("implicit: %v", err)
		}
		if diff := cmp.Diff([]string{"history", "buyorder"}, got.Scopes); diff != "" {
			t.Error(diff)
		}
		if d := got.ExpiresAt.Sub(r.clock.Now()); d != time.Hour {
			t.Errorf("default lifetime: %v", d)
		}
	}
	if tr := r.e.Traits("implicit"); !tr.Implicit || tr.HasRefresh || !tr.Interactive {
		t.Errorf("%+v", tr)
	}
}

func TestCryptohopper(t *testing.T) {
	r, s := api(t, standin.Cryptohopper, standin.Options{AutoApprove: true, Clients: []standin.Client{{API: standin.Cryptohopper, ID: "app", Secret: "s\"ec", RedirectURIs: []string{callback}}}}, nil)
	c := r.call(providers.OpExchange, "authorization_code", map[string]any{"client_id": "app", "client_secret": "s\"ec"})
	c.Scopes = []string{"read", "notifications", "manage", "trade"}
	for _, redirect := range []string{callback, ""} { // which may be left out
		c.Flow = providers.Flow{RedirectURI: redirect}
		pending, err := login.Start(r.e, c)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(pending.URL)
		if err != nil || u.Query().Get("scope") != "read,notifications,manage,trade" || u.Query().Has("redirect_uri") != (redirect != "") {
			t.Errorf("%s", pending.URL)
		}
		if c.Flow, err = pending.Finish(r.e, c, approve(t, pending.URL)); err != nil {
			t.Fatal(err)
		}
		tok := r.must(c)
		if tok.HeaderName != "access-token" || !tok.Header.Equal(tok.AccessToken) {
			t.Error("the bare token in a header of its own")
		}
		if got := tok.ExpiresAt.Sub(r.clock.Now()); got != 24*time.Hour {
			t.Errorf("default lifetime: %v", got)
		}
		next := r.must(with(c, providers.OpRefresh, tok))
		v := with(c, providers.OpVerify, next)
		v.Path = "/v1/user/get"
		if _, err := r.do(v); err != nil {
			t.Error(err)
		}
	}
	if n := s.Counts(standin.Cryptohopper); n.Grants != 2 || n.Refreshes != 2 {
		t.Errorf("%+v", n)
	}
	c.Flow = providers.Flow{RedirectURI: callback}
	bad := c
	bad.Inputs = filled(t, r.typ.Grants[0].Inputs, map[string]any{"client_id": "nobody", "client_secret": "x"})
	pending, err := login.Start(r.e, bad)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pending.Finish(r.e, bad, approve(t, pending.URL))
	e := asError(t, err)
	if e.Class != providers.ClassLogin || !strings.Contains(e.Error(), "App key is invalid.") {
		t.Errorf("error=1 is shown: %v", e)
	}
	// A bearer's setting.
	other, _ := newRig(t, builtin(t, "cryptohopper"), s.Handler(standin.Cryptohopper), map[string]any{"header_name": "Authorization"})
	if other.e.Traits("authorization_code").HeaderName != "Authorization" {
		t.Error("header_name is a setting")
	}
}

func TestOAuth2(t *testing.T) {
	r, s := api(t, standin.OAuth2, standin.Options{AutoApprove: true,
		Accounts: []standin.Account{{API: standin.OAuth2, Login: "u", Password: "p:w&=+ö"}},
		Clients: []standin.Client{
			{API: standin.OAuth2, ID: "basic", Secret: "s:e c/+", Auth: "client_secret_basic"},
			{API: standin.OAuth2, ID: "post", Secret: "s:e c/+", Auth: "client_secret_post"},
			{API: standin.OAuth2, ID: "web", Secret: "sec", RedirectURIs: []string{callback}},
			{API: standin.OAuth2, ID: "public", RedirectURIs: []string{callback}},
		}, PerAPI: map[standin.API]standin.Rules{standin.OAuth2: {RequirePKCE: true}}}, nil)
	meta := httptest.NewServer(s.Handler(standin.OAuth2))
	defer meta.Close()
	for _, client := range []struct{ id, auth string }{{"basic", "client_secret_basic"}, {"post", "client_secret_post"}} {
		in := map[string]any{"issuer": meta.URL, "client_id": client.id, "client_secret": "s:e c/+", "client_auth": client.auth}
		c := r.call(providers.OpGrant, "client_credentials", in)
		c.Scopes = []string{"a", "b"}
		if _, err := r.e.Prepare(c); err == nil && client.auth == "client_secret_basic" {
			t.Error("prepared before discovery")
		}
		if err := r.e.Discover(context.Background(), c.Grant, c.Inputs, nil); err != nil {
			t.Fatal(err)
		}
		origins, err := r.e.Origins(c.Grant, c.Inputs)
		if err != nil || len(origins) != 1 || origins[0] != meta.URL {
			t.Errorf("origins %v %v", origins, err)
		}
		c.Origins = origins
		tok := sendAndRead(t, r, c)
		if tok.AccessToken.Empty() || strings.Join(tok.Scopes, " ") != "a b" {
			t.Errorf("%s: %v", client.id, tok.Scopes)
		}
		if _, err := sendRead(r, with(c, providers.OpRevoke, tok)); err != nil {
			t.Errorf("revoking by the access token: %v", err)
		}
	}
	in := map[string]any{"issuer": meta.URL, "client_id": "web", "client_secret": "sec", "username": "u", "password": "p:w&=+ö"}
	c := r.call(providers.OpGrant, "password", in)
	tok := sendAndRead(t, r, c)
	next := sendAndRead(t, r, with(c, providers.OpRefresh, tok))
	if _, err := sendRead(r, with(c, providers.OpRevoke, next)); err != nil {
		t.Error(err)
	}
	// A refresh token from elsewhere.
	tok = sendAndRead(t, r, c)
	s.Change(standin.OAuth2, func(r *standin.Rules) { r.Rotate = standin.RotateOmit })
	from := r.call(providers.OpGrant, "refresh_token", map[string]any{"issuer": meta.URL, "client_id": "web", "client_secret": "sec", "refresh_token": tok.RefreshToken.Reveal()})
	got := sendAndRead(t, r, from)
	if !got.RefreshToken.Equal(tok.RefreshToken) {
		t.Error("the refresh token that was given stays in force")
	}
	for _, client := range []map[string]any{{"client_id": "web", "client_secret": "sec"}, {"client_id": "public", "client_auth": "none"}} {
		client["issuer"] = meta.URL
		c := r.call(providers.OpExchange, "authorization_code", client)
		c.Flow.RedirectURI = callback
		pending, err := login.Start(r.e, c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Flow, err = pending.Finish(r.e, c, approve(t, pending.URL)); err != nil {
			t.Fatal(err)
		}
		tok := sendAndRead(t, r, c)
		c.Flow = providers.Flow{}
		sendAndRead(t, r, with(c, providers.OpRefresh, tok))
	}
}

func sendRead(r *rig, c providers.Call) (providers.Token, error) {
	req, err := r.e.Prepare(c)
	if err != nil {
		return providers.Token{}, err
	}
	rep, err := r.e.Send(context.Background(), req)
	if err != nil {
		return providers.Token{}, err
	}
	return r.e.Read(c, rep)
}

func sendAndRead(t testing.TB, r *rig, c providers.Call) providers.Token {
	t.Helper()
	tok, err := sendRead(r, c)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
