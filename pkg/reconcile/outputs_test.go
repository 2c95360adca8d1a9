package reconcile_test

import (
	"strings"
	"testing"
	"time"
)

// What a login's reply said of an account stays known when the reply to a refresh,
// which has a response of its own, says something else.
func TestOutputsOutliveARefreshThatDoesNotNameThem(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(`
provider "mine" { allow_insecure_http = true }
provider_type "mine" {
  grant "login" {
    input "email" { type = string }
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "password", email = input.email, partnerId = "p", password = "a-password" }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
    outputs       = { lives = "for ${body.expires_in} s" }
  }
  refresh {
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
    response {
      access_token  = body.access_token
      refresh_token = body.refresh_token
      expires_in    = body.expires_in
      outputs       = { kind = body.token_type }
    }
  }
}
credential "mine" "a" { email = "a@example.com" }
sink "mem" "a" {
  place   = "a"
  content = "${credential.mine.a.generation} ${credential.mine.a.lives}"
}
`)
		w.pass(time.Hour, time.Minute, nil)
		if got := w.places.get("a"); !strings.HasSuffix(got, " for 1200 s") || strings.HasPrefix(got, "1 ") {
			t.Errorf("after refreshes the sink holds %q; it is %+v", got, w.line("sink.mem.a"))
		}
	})
}
