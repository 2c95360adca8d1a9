package providers_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"tokend/pkg/providers"
)

// TestNoSecretInAnyError lets servers echo what they got, in every form that
// servers echo in, and looks at all texts.
func TestNoSecretInAnyError(t *testing.T) {
	forms := func(s string) []string {
		raw := []byte(s)
		return []string{s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), hex.EncodeToString(raw)}
	}
	type answer struct {
		status     int
		form, body string
	}
	var next atomic.Pointer[answer]
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := next.Load()
		w.Header().Set("Location", "https://x.example/?q="+url.QueryEscape(a.form))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	})
	r, _ := newRig(t, typeOf(t, shop), h, nil)
	for _, status := range []int{200, 302, 400, 401, 404, 429, 500} {
		for _, canary := range []string{canaryPassword, canaryRefresh, canaryAccess} {
			for _, form := range forms(canary) {
				for _, shape := range []string{
					`{"error":"invalid_grant","error_description":%q}`, `{"error":%q}`, `{"message":%q}`, `{"error":{"code":%q,"message":%[1]q}}`, `{%q:1,"expires_in":"x"}`,
					`{"access_token":"a","expires_in":%q}`, `{"access_token":"a","token_type":%q,"expires_at":%[1]q}`, `%s`, `<html>%s`,
				} {
					next.Store(&answer{status, form, fmt.Sprintf(shape, form)})
					for _, op := range []providers.Op{providers.OpGrant, providers.OpRefresh, providers.OpRevoke} {
						c := shopCall(r, op)
						if op == providers.OpGrant && canary != canaryPassword {
							continue // it was not sent, and does not look like anything
						}
						if _, err := r.do(c); err != nil {
							e := asError(t, err)
							quiet(t, e.Error()+" "+e.Hint+fmt.Sprintf(" %v %+v %#v", e.Code, e.Message, e.URL))
						}
					}
				}
			}
		}
	}
}

// A reply's own secrets are not shown either, though nobody knows them yet.
func TestNoSecretOfTheReply(t *testing.T) {
	for _, body := range []string{
		`{"error":"x","error_description":"issued ` + canaryAccess + `","access_token":"` + canaryAccess + `"}`,
		`{"error":"x","error_description":"issued ` + strings.Repeat("A1b2", 12) + `"}`,
		`{"error":{"message":"` + canaryAccess + `"},"data":{"session_token":["` + canaryAccess + `"]}}`,
	} {
		r, _ := newRig(t, typeOf(t, shop), jsonReply(400, body), nil)
		e := r.failure(shopCall(r, providers.OpGrant))
		quiet(t, e.Error())
		if strings.Contains(e.Error(), "A1b2A1b2") {
			t.Error(e.Error())
		}
	}
}

func TestControlCharactersAreTakenOut(t *testing.T) {
	r, _ := newRig(t, typeOf(t, shop), jsonReply(400, `{"error":"x","error_description":"a\u001b[31mred\u0000\r\n\u202eb `+strings.Repeat("word ", 200)+`"}`), nil)
	e := r.failure(shopCall(r, providers.OpGrant))
	quiet(t, e.Error())
	if !strings.Contains(e.Error(), "a [31mred b word") || len(e.Error()) > 400 {
		t.Errorf("%q", e.Error())
	}
}
