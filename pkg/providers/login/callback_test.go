package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tokend/pkg/providers"
	"tokend/pkg/providers/login"
)

// desk is a callback page and what was handed over at it.
type desk struct {
	login.Callback
	given []string
	err   error
}

func newDesk(err error) *desk {
	d := &desk{err: err}
	d.Host = func(h string) bool { return h == "127.0.0.1:8250" }
	d.Path = func(p string) bool { return p == "/callback" }
	d.Finish = func(_ context.Context, path, redirected string) (string, error) {
		d.given = append(d.given, path+redirected)
		return "example.me", d.err
	}
	return d
}

func (d *desk) ask(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8250"
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Host":
			r.Host = header[i+1]
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestCallbackTakesARedirect(t *testing.T) {
	d := newDesk(nil)
	w := d.ask("GET", "/callback?code=c0de&state=st4te", "")
	body := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(body, "Logged in") || !strings.Contains(body, "example.me") {
		t.Errorf("%d %s", w.Code, body)
	}
	if strings.Contains(body, "c0de") || strings.Contains(body, "st4te") || strings.Contains(body, "<script") {
		t.Errorf("the page shows what came, or runs a script for nothing: %s", body)
	}
	if fmt.Sprint(d.given) != "[/callback?code=c0de&state=st4te]" {
		t.Error(d.given)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// The values of some APIs stand after the #, which only a script can hand over.
func TestCallbackHandsTheFragmentOver(t *testing.T) {
	d := newDesk(nil)
	w := d.ask("GET", "/callback", "")
	body := w.Body.String()
	if len(d.given) != 0 || !strings.Contains(body, "<script>") || !strings.Contains(body, "<noscript>") || !strings.Contains(body, "Nothing was handed over") {
		t.Errorf("%v %s", d.given, body)
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'sha256-") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "form-action 'self'") {
		t.Error(policy)
	}
	form := url.Values{"fragment": {"code=a%2Bb&state=x"}, "query": {""}}.Encode()
	if w = d.ask("POST", "/callback", form, "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusOK || d.given[0] != "/callback#code=a%2Bb&state=x" {
		t.Errorf("%d %v", w.Code, d.given)
	}
	form = url.Values{"fragment": {"code=1&state=x"}, "query": {"tenant=7"}}.Encode()
	if w = d.ask("POST", "/callback", form, "Origin", "http://127.0.0.1:8250"); w.Code != http.StatusOK || d.given[1] != "/callback?tenant=7#code=1&state=x" {
		t.Errorf("%d %v", w.Code, d.given)
	}
	// A query that is not all of it the script finds in the address: it is not in the page.
	d.err = login.ErrIncomplete
	for _, query := range []string{"tenant=7", "tenant=7&state=x"} {
		if w = d.ask("GET", "/callback?"+query, ""); strings.Contains(w.Body.String(), "tenant") || !strings.Contains(w.Body.String(), "<script>") {
			t.Error(w.Body)
		}
	}
}

// Any web page can send a browser here, or have it load this as a picture: what
// carries no state is handed to nobody, neither a code nor an error.
func TestCallbackTakesNothingOfAnotherPage(t *testing.T) {
	d := newDesk(nil)
	for _, w := range []*httptest.ResponseRecorder{
		d.ask("GET", "/callback?code=c0de", ""),
		d.ask("GET", "/callback?code=c0de&state=", ""),
		d.ask("GET", "/callback?error=access_denied&error_description=c0de", ""),
		d.ask("POST", "/callback", "fragment=code%3Dc0de", "Sec-Fetch-Site", "same-origin"),
		d.ask("POST", "/callback", "query=error%3Dc0de&fragment=", "Sec-Fetch-Site", "same-origin"),
	} {
		if body := w.Body.String(); w.Code != http.StatusBadRequest || strings.Contains(body, "c0de") || !strings.Contains(body, "paste it where") {
			t.Errorf("%d %s", w.Code, body)
		}
	}
	for _, dest := range []string{"image", "iframe", "frame", "script", "empty"} {
		for _, w := range []*httptest.ResponseRecorder{
			d.ask("GET", "/callback?code=c0de&state=x", "", "Sec-Fetch-Dest", dest),
			d.ask("POST", "/callback", "fragment=code%3Dc0de%26state%3Dx", "Sec-Fetch-Dest", dest),
		} {
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", dest, w.Code, w.Body)
			}
		}
	}
	if len(d.given) != 0 {
		t.Error(d.given)
	}
	if w := d.ask("GET", "/callback?code=c0de&state=x", "", "Sec-Fetch-Dest", "document"); w.Code != http.StatusOK || len(d.given) != 1 {
		t.Errorf("a visit: %d %v", w.Code, d.given)
	}
}

func TestCallbackTakesNothingElse(t *testing.T) {
	d := newDesk(nil)
	const target = "/callback?code=c0de&state=x"
	for _, c := range []struct {
		name   string
		status int
		w      *httptest.ResponseRecorder
	}{
		{"another name for this port", http.StatusMisdirectedRequest, d.ask("GET", target, "", "Host", "evil.example:8250")},
		{"another port", http.StatusMisdirectedRequest, d.ask("GET", target, "", "Host", "127.0.0.1:80")},
		{"an icon", http.StatusNotFound, d.ask("GET", "/favicon.ico", "")},
		{"a look at the head", http.StatusOK, d.ask("HEAD", target, "")},
		{"another method", http.StatusMethodNotAllowed, d.ask("PUT", target, "code=1")},
		{"a form of another site", http.StatusBadRequest, d.ask("POST", target, "fragment=code", "Sec-Fetch-Site", "cross-site")},
		{"a form of a neighbour", http.StatusBadRequest, d.ask("POST", target, "fragment=code", "Sec-Fetch-Site", "same-site")},
		{"a form of another origin", http.StatusBadRequest, d.ask("POST", target, "fragment=code", "Origin", "https://evil.example")},
		{"no form", http.StatusBadRequest, d.ask("POST", target, "{}", "Content-Type", "application/json")},
		{"a large form", http.StatusBadRequest, d.ask("POST", target, "fragment="+strings.Repeat("x", login.MaxRedirect))},
	} {
		if c.w.Code != c.status || strings.Contains(c.w.Body.String(), "c0de") {
			t.Errorf("%s: %d %s", c.name, c.w.Code, c.w.Body)
		}
	}
	if len(d.given) != 0 {
		t.Error(d.given)
	}
}

func TestCallbackSaysWhatCame(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("finishing the login: %w", login.ErrState), http.StatusBadRequest, "another login"},
		{login.ErrNone, http.StatusNotFound, "No login waits here"},
		{&providers.Error{Op: providers.OpExchange, Class: providers.ClassLogin, Code: "access_denied", Hint: "begin the login again", Err: providers.ErrRefused}, http.StatusForbidden, "Not approved"},
		{&providers.Error{Op: providers.OpExchange, Class: providers.ClassPermanent, Message: "<script>alert(1)</script>\x1b[31m"}, http.StatusForbidden, "Not logged in"},
		{errors.New("the disk is full"), http.StatusForbidden, "the disk is full"},
	} {
		w := newDesk(c.err).ask("GET", "/callback?code=c0de&state=x", "")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "<script") || strings.ContainsAny(w.Body.String(), "\x1b") {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
	if !login.Again(fmt.Errorf("x: %w", login.ErrState)) || !login.Again(login.ErrNone) || login.Again(providers.ErrRefused) || login.Again(nil) {
		t.Error("which errors leave a login pending")
	}
}

func TestStateIn(t *testing.T) {
	for redirected, want := range map[string]string{
		"?code=a&state=b": "b", "#code=a&state=b": "b", "?x=1#state=b": "b", "http://127.0.0.1/cb?state=q#state=f": "q", "?code=a": "", "#": "", "": "", "?state=%zz": "",
	} {
		if got := login.StateIn(redirected); got != want {
			t.Errorf("%q: %q", redirected, got)
		}
	}
}
