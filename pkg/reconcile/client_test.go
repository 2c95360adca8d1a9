package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/standin"
)

// byHand is Coinify as an API that only a person can log in to.
const byHand = `
provider "hand" { allow_insecure_http = true }
provider_type "hand" {
  grant "login" {
    input "email" { type = string }
    authorize { url = "http://coinify.localhost/login" }
    request {
      method  = "POST"
      url     = "http://coinify.localhost/auth"
      json    = { grant_type = "password", email = input.email, partnerId = "p", password = "a-password" }
      headers = { X-Code = flow.code }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
  }
}
credential "hand" "a" { email = "a@example.com" }
`

// A refresh that is refused because of the client, not of the token, costs no
// login: the refresh token is kept and tried again. A refusal of the token needs a
// person.
func TestAWrongClientCostsNoLogin(t *testing.T) {
	for code, want := range map[string]reconcile.State{"invalid_client": reconcile.Ready, "invalid_grant": reconcile.NeedsLogin} {
		t.Run(code, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(byHand)
				if err := w.loop.Login(t.Context(), "credential.hand.a", reconcile.LoginCode{Flow: providers.Flow{Code: secret.New("the-code")}}); err != nil {
					t.Fatal(err)
				}
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 401, Code: code, Grant: "refresh_token", Times: -1})
				w.pass(2*time.Hour, 10*time.Minute, nil)
				w.server.ClearFaults()
				w.pass(10*time.Minute, time.Minute, nil)
				if l := w.line("credential.hand.a"); l.State != want {
					t.Errorf("%s: %+v", code, l)
				}
			})
		})
	}
}
