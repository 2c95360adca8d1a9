package providers_test

import (
	"errors"
	"net/http"
	"testing"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
)

// A type may find its token in a header, whatever the body is. Where there is
// none, nothing at all and a page are no answer, and other text cannot be read.
func TestATokenInAHeader(t *testing.T) {
	const src = `provider_type "own" {
  config "base_url" { type = string }
  grant "login" {
    request {
      method = "POST"
      url    = "${config.base_url}/token"
    }
    response {
      access_token  = headers["X-Subject-Token"]
      refresh_token = body.refresh_token
    }
  }
}`
	var w wire
	r, _ := newRig(t, typeOf(t, src), record(&w), nil)
	for name, c := range map[string]struct {
		status int
		header string
		body   string
		token  string
		class  providers.Class
	}{
		"nothing else":         {204, "a-token", "", "a-token", ""},
		"beside other text":    {201, "a-token", "created", "a-token", ""},
		"beside a page":        {200, "a-token", "<!doctype html><p>hello", "a-token", ""},
		"beside JSON":          {200, "a-token", `{"refresh_token":"b"}`, "a-token", ""},
		"none, and nothing":    {200, "", "", "", providers.ClassUnknown},
		"none, and a page":     {200, "", "<html><p>sign in to the network", "", providers.ClassUnknown},
		"none, and other text": {200, "", "created", "", providers.ClassUnreadable},
		"none in JSON":         {200, "", `{"refresh_token":"b"}`, "", providers.ClassUnreadable},
	} {
		reply := &providers.Reply{Status: c.status, Header: http.Header{}, Body: secret.New(c.body), At: r.clock.Now()}
		if c.header != "" {
			reply.Header.Set("X-Subject-Token", c.header)
		}
		tok, err := r.e.Read(r.call(providers.OpGrant, "login", nil), reply)
		var pe *providers.Error
		switch {
		case c.class == "" && (err != nil || tok.AccessToken.Reveal() != c.token):
			t.Errorf("%s: %v", name, err)
		case c.class != "" && (!errors.As(err, &pe) || pe.Class != c.class):
			t.Errorf("%s: %v, want class %s", name, err, c.class)
		}
	}
}
