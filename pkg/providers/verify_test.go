package providers_test

import (
	"errors"
	"strings"
	"testing"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
)

// A type's own verification goes to where its tokens come from, whatever its
// settings make of its address.
func TestVerifyByTypeStaysAtItsOrigin(t *testing.T) {
	const src = `provider_type "own" {
  config "base_url" { type = string }
  config "api_url"  { type = string }
  grant "login" {
    request {
      method = "POST"
      url    = "${config.base_url}/token"
    }
    response { access_token = body.access_token }
  }
  verify {
    request {
      method  = "GET"
      url     = "${config.api_url}/me"
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }
}`
	for api, refused := range map[string]bool{"": false, "https://api.example.org": true} {
		var w wire
		text := src
		if api == "" {
			text = strings.Replace(src, "config.api_url}/me", "config.base_url}/me", 1)
		}
		r, _ := newRig(t, typeOf(t, text), record(&w), map[string]any{"api_url": api})
		c := r.call(providers.OpVerify, "login", nil)
		c.Token = providers.Token{AccessToken: secret.New("access")}
		_, err := r.e.Prepare(c)
		var pe *providers.Error
		if refused != (errors.As(err, &pe) && pe.Class == providers.ClassConfig) {
			t.Errorf("api_url %q: %v", api, err)
		}
	}
}
