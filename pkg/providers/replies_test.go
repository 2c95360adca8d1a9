package providers_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
)

// shop is a type of the plainest kind.
const shop = `provider_type "shop" {
  config "base_url" { type = string }
  grant "login" {
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/login"
      json   = { user = input.user, password = input.password }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    token_type    = body.token_type
    expires_in    = body.expires_in
    expires_at    = body.expires_at
    scopes        = body.scope
    outputs       = { id = body.account.id }
  }
  refresh {
    request {
      method = "POST"
      url    = "${config.base_url}/refresh"
      form   = { refresh_token = token.refresh_token }
    }
  }
  revoke {
    request {
      method = "POST"
      url    = "${config.base_url}/revoke"
      json   = { token = token.refresh_token }
    }
  }
}
`

const (
	canaryPassword = "canary-pass+/=ö\"word"
	canaryRefresh  = "canary-refresh/+token"
	canaryAccess   = "canary-access/+token"
)

func shopCall(r *rig, op providers.Op) providers.Call {
	c := r.call(op, "login", map[string]any{"user": "maria", "password": canaryPassword})
	if op != providers.OpGrant {
		c.Token = providers.Token{AccessToken: secret.New(canaryAccess), RefreshToken: secret.New(canaryRefresh), HeaderName: "Authorization", Header: secret.New("Bearer " + canaryAccess)}
	}
	return c
}

// quiet fails when text shows a canary in any form.
func quiet(t testing.TB, text string) {
	t.Helper()
	for _, c := range []string{canaryPassword, canaryRefresh, canaryAccess} {
		raw := []byte(c)
		for _, form := range []string{c, url.QueryEscape(c), url.PathEscape(c), base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
			hex.EncodeToString(raw), strings.Trim(fmt.Sprintf("%q", c), `"`)} {
			if strings.Contains(text, form) {
				t.Errorf("a secret is shown: %s", text)
			}
		}
	}
	if strings.ContainsAny(text, "\x00\x1b\n\r\u202e") {
		t.Errorf("control characters: %q", text)
	}
	if len(text) > 1200 {
		t.Errorf("%d bytes of text", len(text))
	}
}

func TestBadReplies(t *testing.T) {
	all := []providers.Op{providers.OpGrant}
	cases := []struct {
		name   string
		reply  http.Handler
		ops    []providers.Op
		class  providers.Class
		status int
		code   string
		want   []string // of text and hint
	}{
		{"empty", jsonReply(200, ""), all, providers.ClassUnknown, 200, "", []string{"the reply is empty", "base_url"}},
		{"blank", jsonReply(200, " \n"), all, providers.ClassUnknown, 200, "", []string{"the reply is empty"}},
		{"html", reply(200, "text/html", "<!DOCTYPE html><h1>Hello</h1>"), all, providers.ClassUnknown, 200, "", []string{"web page (HTML)", "base_url"}},
		{"html called json", jsonReply(200, "<html><body>proxy</body></html>"), all, providers.ClassUnknown, 200, "", []string{"HTML"}},
		{"cut JSON", jsonReply(200, `{"access_token":"abc`), all, providers.ClassUnreadable, 200, "", []string{"not JSON, or was cut off"}},
		{"two values", jsonReply(200, `{} {}`), all, providers.ClassUnreadable, 200, "", []string{"not JSON"}},
		{"not UTF-8", jsonReply(200, "{\"access_token\":\"\xff\"}"), all, providers.ClassUnreadable, 200, "", []string{"not JSON"}},
		{"a list", jsonReply(200, `["x"]`), all, providers.ClassUnreadable, 200, "", []string{"reading access_token (body.access_token): there is none"}},
		{"no token", jsonReply(200, `{"token":"x","expires_in":3}`), all, providers.ClassUnreadable, 200, "", []string{"body.access_token", "there is none", "the reply has token, expires_in"}},
		{"null token", jsonReply(200, `{"access_token":null}`), all, providers.ClassUnreadable, 200, "", []string{"there is none"}},
		{"empty token", jsonReply(200, `{"access_token":""}`), all, providers.ClassUnreadable, 200, "", []string{"there is none"}},
		{"token is a number", jsonReply(200, `{"access_token":7}`), all, providers.ClassUnreadable, 200, "", []string{"body.access_token", "a string is required, and it is a number"}},
		{"token is an object", jsonReply(200, `{"access_token":{"a":1}}`), all, providers.ClassUnreadable, 200, "", []string{"it is an object"}},
		{"token with half of a character", jsonReply(200, `{"access_token":"a\ud800"}`), all, providers.ClassUnreadable, 200, "", []string{"access_token", "half of a character"}},
		{"token with the other half", jsonReply(200, `{"access_token":"\udc00\ud800\udc00"}`), all, providers.ClassUnreadable, 200, "", []string{"access_token", "half of a character"}},
		{"refresh token with half of a character", jsonReply(200, `{"access_token":"a","refresh_token":"\uD83D x"}`), all, providers.ClassUnreadable, 200, "", []string{"refresh_token", "half of a character"}},
		{"output with half of a character", jsonReply(200, `{"access_token":"a","account":{"id":["\ud800"]}}`), all, providers.ClassUnreadable, 200, "", []string{"outputs", "half of a character"}},
		{"token with a line break", jsonReply(200, `{"access_token":"a\r\nX: y"}`), all, providers.ClassUnreadable, 200, "", []string{"control character"}},
		{"refresh token is a list", jsonReply(200, `{"access_token":"a","refresh_token":[]}`), all, providers.ClassUnreadable, 200, "", []string{"body.refresh_token", "it is a list"}},
		{"word where seconds belong", jsonReply(200, `{"access_token":"a","expires_in":"soon"}`), all, providers.ClassUnreadable, 200, "", []string{"expires_in (body.expires_in)", "a number of seconds"}},
		{"object where seconds belong", jsonReply(200, `{"access_token":"a","expires_in":{}}`), all, providers.ClassUnreadable, 200, "", []string{"a number of seconds"}},
		{"endless exponent", jsonReply(200, `{"access_token":"a","expires_in":1e999999999}`), all, providers.ClassUnreadable, 200, "", []string{"a number of seconds"}},
		{"zero lifetime", jsonReply(200, `{"access_token":"a","expires_in":0}`), all, providers.ClassUnreadable, 200, "", []string{"expires_in", "a second or more"}},
		{"lifetime of no second", jsonReply(200, `{"access_token":"a","expires_in":0.0001}`), all, providers.ClassUnreadable, 200, "", []string{"a second or more"}},
		{"negative lifetime", jsonReply(200, `{"access_token":"a","expires_in":-1}`), all, providers.ClassUnreadable, 200, "", []string{"a second or more"}},
		{"past expiry", jsonReply(200, `{"access_token":"a","expires_at":1613662713}`), all, providers.ClassUnreadable, 200, "", []string{"expires_at (body.expires_at)", "ended"}},
		{"past expiry as text", jsonReply(200, `{"access_token":"a","expires_at":"2021-02-18T15:38:33Z"}`), all, providers.ClassUnreadable, 200, "", []string{"ended"}},
		{"milliseconds", jsonReply(200, `{"access_token":"a","expires_at":1913662713000}`), all, providers.ClassUnreadable, 200, "", []string{"milliseconds"}},
		{"no time", jsonReply(200, `{"access_token":"a","expires_at":"tomorrow"}`), all, providers.ClassUnreadable, 200, "", []string{"a time in Unix seconds or RFC 3339"}},
		{"type is a list", jsonReply(200, `{"access_token":"a","token_type":[]}`), all, providers.ClassUnreadable, 200, "", []string{"token_type"}},
		{"scopes are objects", jsonReply(200, `{"access_token":"a","scope":[{}]}`), all, providers.ClassUnreadable, 200, "", []string{"scopes (body.scope)"}},

		{"200 with an error", jsonReply(200, `{"error":"invalid_grant","error_description":"no such user"}`), all, providers.ClassPermanent, 200, "invalid_grant", []string{"invalid_grant, no such user"}},
		{"200 with an error and a token", jsonReply(200, `{"error":"access_denied","access_token":"x"}`), all, providers.ClassUnreadable, 200, "", []string{"it has an error and a token"}},
		{"200 with a sentence", jsonReply(200, `{"error":"Something went wrong."}`), all, providers.ClassPermanent, 200, "", []string{"Something went wrong."}},
		{"200 with an error object", jsonReply(200, `{"error":{"code":"bad_user","message":"Nope"}}`), all, providers.ClassPermanent, 200, "bad_user", []string{"Nope"}},
		{"200, try later", jsonReply(200, `{"error":"temporarily_unavailable"}`), all, providers.ClassTransient, 200, "temporarily_unavailable", nil},
		{"200, slow down", jsonReply(200, `{"error":"slow_down"}`), all, providers.ClassThrottled, 200, "slow_down", nil},

		{"invalid_grant", jsonReply(400, `{"error":"invalid_grant"}`), []providers.Op{providers.OpGrant, providers.OpRefresh}, providers.ClassPermanent, 400, "invalid_grant", nil},
		{"invalid_grant of a revocation", jsonReply(400, `{"error":"invalid_grant"}`), []providers.Op{providers.OpRevoke}, providers.ClassGone, 400, "invalid_grant", nil},
		{"invalid_client", jsonReply(401, `{"error":"invalid_client"}`), []providers.Op{providers.OpGrant, providers.OpRefresh, providers.OpRevoke}, providers.ClassPermanent, 401, "invalid_client", []string{"client_secret"}},
		{"unauthorized_client", jsonReply(400, `{"error":"unauthorized_client"}`), all, providers.ClassPermanent, 400, "unauthorized_client", nil},
		{"unsupported_grant_type", jsonReply(400, `{"error":"unsupported_grant_type"}`), all, providers.ClassPermanent, 400, "unsupported_grant_type", []string{"another one"}},
		{"invalid_scope", jsonReply(400, `{"error":"invalid_scope"}`), all, providers.ClassPermanent, 400, "invalid_scope", []string{"scopes"}},
		{"login_required", jsonReply(400, `{"error":"login_required"}`), []providers.Op{providers.OpRefresh}, providers.ClassLogin, 400, "login_required", nil},
		{"400 without a word", jsonReply(400, ``), all, providers.ClassPermanent, 400, "", []string{"the reply is empty"}},
		{"401", jsonReply(401, `{"message":"who are you?"}`), all, providers.ClassPermanent, 401, "", []string{"who are you?"}},
		{"403", jsonReply(403, `{}`), all, providers.ClassPermanent, 403, "", []string{"forbidden"}},
		{"403 of a verification", jsonReply(403, `{}`), []providers.Op{providers.OpVerify}, "", 0, "", nil},
		{"200 of a verification, whatever it says", jsonReply(200, `{"error":"none"}`), []providers.Op{providers.OpVerify}, "", 0, "", nil},
		{"401 of a verification", jsonReply(401, `{}`), []providers.Op{providers.OpVerify}, providers.ClassPermanent, 401, "", nil},
		{"404", jsonReply(404, `{}`), all, providers.ClassPermanent, 404, "", []string{"base_url"}},
		{"405", jsonReply(405, `{}`), all, providers.ClassPermanent, 405, "", []string{"base_url"}},
		{"408", jsonReply(408, ``), all, providers.ClassTransient, 408, "", nil},
		{"410 of a revocation", jsonReply(410, ``), []providers.Op{providers.OpRevoke}, providers.ClassGone, 410, "", nil},
		{"429", jsonReply(429, ``), all, providers.ClassThrottled, 429, "", nil},
		{"503", reply(503, "text/html", "<html>"), all, providers.ClassThrottled, 503, "", []string{"HTML"}},
		{"500", jsonReply(500, `{"error":"invalid_grant"}`), []providers.Op{providers.OpGrant, providers.OpRefresh, providers.OpRevoke}, providers.ClassUnknown, 500, "invalid_grant", nil},
		{"502", reply(502, "text/html", "<html>bad gateway"), all, providers.ClassUnknown, 502, "", nil},
		{"504", reply(504, "text/plain", "x"), all, providers.ClassUnknown, 504, "", nil},
		{"302", http.RedirectHandler("https://elsewhere.example/login?next="+canaryPassword, http.StatusFound), all, providers.ClassPermanent, 302, "", []string{"redirect", "https://elsewhere.example:443", "base_url"}},
		{"307", http.RedirectHandler("/other", http.StatusTemporaryRedirect), all, providers.ClassPermanent, 307, "", []string{"not followed"}},
		{"304", jsonReply(304, ""), all, providers.ClassPermanent, 304, "", nil},
	}
	for _, c := range cases {
		for _, op := range c.ops {
			t.Run(c.name+" "+string(op), func(t *testing.T) {
				r, _ := newRig(t, typeOf(t, shop), c.reply, nil)
				call := shopCall(r, op)
				if op == providers.OpVerify {
					call.Path = "/me"
				}
				if c.class == "" {
					r.must(call)
					return
				}
				e := r.failure(call)
				text := e.Error() + " " + e.Hint
				if e.Class != c.class || e.Status != c.status || e.Code != c.code || !e.Reached || e.Op != op {
					t.Errorf("class %s, status %d, code %q, reached %v: %s", e.Class, e.Status, e.Code, e.Reached, text)
				}
				for _, w := range c.want {
					if !strings.Contains(text, w) {
						t.Errorf("%q lacks %q", text, w)
					}
				}
				quiet(t, text)
			})
		}
	}
}

func TestGoodReplies(t *testing.T) {
	far := time.Now().Add(300 * 24 * time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		name, body, contentType string
		check                   func(t *testing.T, at time.Time, tok providers.Token)
	}{
		{"all", `{"access_token":"a\u00e4\"","refresh_token":"r","token_type":"bearer","expires_in":3599.9,"scope":"x y","account":{"id":7}}`, "", func(t *testing.T, at time.Time, tok providers.Token) {
			if tok.AccessToken.Reveal() != "aä\"" || tok.RefreshToken.Reveal() != "r" || tok.TokenType != "bearer" || strings.Join(tok.Scopes, "|") != "x|y" {
				t.Errorf("%+v", tok)
			}
			if d := tok.ExpiresAt.Sub(at); d < 3599*time.Second || d > 3600*time.Second {
				t.Error(d)
			}
			if id, err := tok.Outputs.Secret("id"); err != nil || id.Reveal() != "7" {
				t.Error(err)
			}
		}},
		{"digits", `{"access_token":"a","expires_in":"60"}`, "", func(t *testing.T, at time.Time, tok providers.Token) {
			if tok.ExpiresAt.Sub(at) != time.Minute || tok.TokenType != "Bearer" || tok.RefreshGiven {
				t.Errorf("%+v", tok)
			}
		}},
		{"for ever", `{"access_token":"a","expires_in":99999999999999}`, "", func(t *testing.T, at time.Time, tok providers.Token) {
			if y := tok.ExpiresAt.Sub(at).Hours() / 8760; y != 100 {
				t.Errorf("%v years", y)
			}
		}},
		{"no lifetime", `{"access_token":"a","expires_in":null,"scope":""}`, "", func(t *testing.T, at time.Time, tok providers.Token) {
			if !tok.ExpiresAt.IsZero() {
				t.Error(tok.ExpiresAt)
			}
		}},
		{"unix", fmt.Sprintf(`{"access_token":"a","expires_at":%d,"expires_in":1}`, far.Unix()), "", func(t *testing.T, at time.Time, tok providers.Token) {
			if !tok.ExpiresAt.Equal(far) {
				t.Error(tok.ExpiresAt)
			}
		}},
		{"rfc3339", fmt.Sprintf(`{"access_token":"a","expires_at":%q}`, far.In(time.FixedZone("x", 7200)).Format(time.RFC3339)), "", func(t *testing.T, at time.Time, tok providers.Token) {
			if !tok.ExpiresAt.Equal(far) {
				t.Error(tok.ExpiresAt)
			}
		}},
		{"twice", `{"access_token":"old","access_token":"new"}`, "", func(t *testing.T, at time.Time, tok providers.Token) {
			if tok.AccessToken.Reveal() != "new" {
				t.Error("the last of two counts")
			}
		}},
		{"a list of scopes", `{"access_token":"a","scope":["x","y"]}`, "", func(t *testing.T, at time.Time, tok providers.Token) {
			if strings.Join(tok.Scopes, "|") != "x|y" {
				t.Error(tok.Scopes)
			}
		}},
		{"a form", `access_token=a%2Bb&expires_in=60&scope=x+y`, "application/x-www-form-urlencoded; charset=utf-8", func(t *testing.T, at time.Time, tok providers.Token) {
			if tok.AccessToken.Reveal() != "a+b" || tok.ExpiresAt.Sub(at) != time.Minute || len(tok.Scopes) != 2 {
				t.Errorf("%+v", tok)
			}
		}},
		{"wrong content type", `{"access_token":"a"}`, "text/plain", func(t *testing.T, at time.Time, tok providers.Token) {}},
		{"errors that are none", `{"access_token":"a","error":null}`, "", func(t *testing.T, at time.Time, tok providers.Token) {}},
		{"an empty error", `{"access_token":"a","error":""}`, "", func(t *testing.T, at time.Time, tok providers.Token) {}},
		{"a byte order mark", "\ufeff" + `{"access_token":"a"}`, "", func(t *testing.T, at time.Time, tok providers.Token) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ct := c.contentType
			if ct == "" {
				ct = "application/json"
			}
			r, _ := newRig(t, typeOf(t, shop), reply(200, ct, c.body), nil)
			tok := r.must(shopCall(r, providers.OpGrant))
			c.check(t, r.clock.Now(), tok)
			if tok.AccessToken.Reveal() == "a" && tok.Header.Reveal() != "Bearer a" {
				t.Error("header")
			}
		})
	}
}

func TestRefreshKeepsWhatTheReplyLeavesOut(t *testing.T) {
	r, _ := newRig(t, typeOf(t, shop), jsonReply(200, `{"access_token":"new"}`), nil)
	c := shopCall(r, providers.OpRefresh)
	c.Token.Scopes, c.Token.TokenType = []string{"x"}, "bearer"
	held := spec.NewValues(nil).With("id", spec.Sensitive(ctyString("7")))
	c.Token.Outputs = held
	tok := r.must(c)
	if !tok.RefreshToken.Equal(secret.New(canaryRefresh)) || tok.RefreshGiven || len(tok.Scopes) != 1 || tok.TokenType != "bearer" {
		t.Errorf("%+v", tok)
	}
	if id, err := tok.Outputs.Secret("id"); err != nil || id.Reveal() != "7" {
		t.Error("outputs")
	}
}

func TestRetryAfter(t *testing.T) {
	at := time.Now().UTC()
	for _, c := range []struct {
		value string
		want  time.Duration
	}{
		{"7", 7 * time.Second}, {"-3", 0}, {"", 0}, {"soon", 0}, {"999999999", 24 * time.Hour},
		{"3000000000", 24 * time.Hour}, {"99999999999999999999999", 24 * time.Hour}, {"1e999", 24 * time.Hour}, {"120.0", 2 * time.Minute}, {"0.2", time.Second}, {"NaN", 0},
		{at.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second}, {at.Add(-time.Hour).Format(http.TimeFormat), 0},
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", at.Format(http.TimeFormat))
			if c.value != "" {
				w.Header().Set("Retry-After", c.value)
			}
			w.WriteHeader(429)
		})
		r, _ := newRig(t, typeOf(t, shop), h, nil)
		if e := r.failure(shopCall(r, providers.OpGrant)); e.Class != providers.ClassThrottled || e.RetryAfter != c.want {
			t.Errorf("%q: %s, %v", c.value, e.Class, e.RetryAfter)
		}
	}
}

func TestHugeReplyIsNotRead(t *testing.T) {
	for _, declared := range []bool{true, false} {
		written := make(chan int, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if declared {
				w.Header().Set("Content-Length", "104857600")
			}
			chunk := []byte(strings.Repeat("x", 1<<16))
			n := 0
			for n < 100<<20 {
				m, err := w.Write(chunk)
				n += m
				if err != nil {
					break
				}
			}
			written <- n
		})
		r, _ := newRig(t, typeOf(t, shop), h, nil)
		e := r.failure(shopCall(r, providers.OpGrant))
		if e.Class != providers.ClassUnreadable || !strings.Contains(e.Error(), "larger than 1 MiB") {
			t.Errorf("%s: %v", e.Class, e)
		}
		if n := <-written; n > 32<<20 {
			t.Errorf("%d bytes were taken off the server", n)
		}
	}
}

func TestHugeReplyKeepsItsBeginning(t *testing.T) {
	r, _ := newRig(t, typeOf(t, shop), reply(200, "application/json", `"`+strings.Repeat("x", 3<<20)), nil)
	req, err := r.e.Prepare(shopCall(r, providers.OpGrant))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.e.Send(context.Background(), req)
	if err != nil || !rep.TooLarge || rep.Body.Len() != providers.MaxReply {
		t.Errorf("%v", err)
	}
}

func TestStandinFaults(t *testing.T) {
	account := standin.Account{API: standin.Coinify, Login: "a@example.com", Password: canaryPassword, Partner: "p"}
	for _, c := range []struct {
		fault standin.Fault
		class providers.Class
	}{
		{standin.Fault{Kind: standin.FaultRefuse}, providers.ClassPermanent},
		{standin.Fault{Kind: standin.FaultCut}, providers.ClassUnknown},
		{standin.Fault{Kind: standin.FaultLost}, providers.ClassUnknown},
		{standin.Fault{Kind: standin.FaultClose}, providers.ClassUnknown},
		{standin.Fault{Kind: standin.FaultThrottle, RetryAfter: 7 * time.Second}, providers.ClassThrottled},
		{standin.Fault{Kind: standin.FaultThrottle, RetryAfter: 7 * time.Second, RetryAfterDate: true}, providers.ClassThrottled},
		{standin.Fault{Kind: standin.FaultStatus}, providers.ClassUnknown},
		{standin.Fault{Kind: standin.FaultStatus, Status: 503}, providers.ClassThrottled},
		{standin.Fault{Kind: standin.FaultHTML}, providers.ClassUnknown},
		{standin.Fault{Kind: standin.FaultEmpty}, providers.ClassUnknown},
		{standin.Fault{Kind: standin.FaultHuge}, providers.ClassUnreadable},
		{standin.Fault{Kind: standin.FaultOKError}, providers.ClassPermanent},
		{standin.Fault{Kind: standin.FaultGarbage}, providers.ClassUnreadable},
		{standin.Fault{Kind: standin.FaultEcho}, providers.ClassPermanent},
		{standin.Fault{Kind: standin.FaultRedirect}, providers.ClassPermanent},
		{standin.Fault{Kind: standin.FaultMissingToken}, providers.ClassUnreadable},
		{standin.Fault{Kind: standin.FaultWrongTypes}, providers.ClassUnreadable},
		{standin.Fault{Kind: standin.FaultPastExpiry}, providers.ClassUnreadable},
		{standin.Fault{Kind: standin.FaultExpiryWord}, providers.ClassUnreadable},
		{standin.Fault{Kind: standin.FaultExpiryZero}, providers.ClassUnreadable},
		{standin.Fault{Kind: standin.FaultExpiryString}, ""},
		{standin.Fault{Kind: standin.FaultExpiryMissing}, ""},
		{standin.Fault{Kind: standin.FaultHeaders, Header: map[string]string{"Date": "yesterday"}}, ""},
	} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			r, s := api(t, standin.Coinify, standin.Options{Accounts: []standin.Account{account}}, nil)
			in := map[string]any{"email": "a@example.com", "partner_id": "p", "password": canaryPassword}
			s.Fail(c.fault)
			_, err := r.do(r.call(providers.OpGrant, "password", in))
			if c.class == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := asError(t, err)
			if e.Class != c.class || !e.Reached {
				t.Errorf("%s, want %s, reached %v: %v", e.Class, c.class, e.Reached, e)
			}
			if c.fault.RetryAfter != 0 && (e.RetryAfter < 6*time.Second || e.RetryAfter > 8*time.Second) {
				t.Errorf("retry after %v", e.RetryAfter)
			}
			quiet(t, e.Error()+e.Hint)
			// The next one finds a sound connection.
			r.must(r.call(providers.OpGrant, "password", in))
		})
	}
}

// Of a reply that is too large to be read its beginning is kept, and read again it says
// the same; one that is as long by chance, and whole, is read.
func TestALargeReplyIsReadAgain(t *testing.T) {
	large := `{"access_token":"a","pad":"` + strings.Repeat("x", providers.MaxReply) + `"}`
	r, _ := newRig(t, typeOf(t, shop), jsonReply(200, large), nil)
	call := shopCall(r, providers.OpGrant)
	req, err := r.e.Prepare(call)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.e.Send(t.Context(), req)
	if err != nil || !rep.TooLarge {
		t.Fatalf("too large %v: %v", rep.TooLarge, err)
	}
	again := &providers.Reply{Status: rep.Status, Header: rep.Header, Body: rep.Kept(), At: rep.At}
	if n := again.Body.Len(); n > 64<<10 || n == 0 {
		t.Errorf("%d bytes are kept", n)
	}
	for name, rep := range map[string]*providers.Reply{"at once": rep, "again": again} {
		_, err := r.e.Read(call, rep)
		if err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") || !strings.Contains(err.Error(), "no provider type can read it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := `{"access_token":"a","pad":"` + strings.Repeat("x", again.Body.Len()-len(`{"access_token":"a","pad":""}`)) + `"}`
	if token, err := r.e.Read(call, &providers.Reply{Status: 200, Header: rep.Header, Body: secret.New(whole), At: rep.At}); err != nil || token.AccessToken.Reveal() != "a" {
		t.Errorf("one that is as long, and whole: %v", err)
	}
	if kept := (&providers.Reply{Body: secret.New(whole)}).Kept(); kept.Reveal() != whole {
		t.Errorf("of one that is not too large %d bytes are kept", kept.Len())
	}
}
