package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/standin"
)

const byIssuer = `
provider "oauth2" {
  allow_insecure_http = true
  rate_limit {
    requests = 1
    per      = "10s"
  }
}
secret "mem" "client" { value = "a-client-secret" }
credential "oauth2" "a" {
  grant         = GRANT
  issuer        = "http://oauth2.localhost"
  client_id     = "a"
  client_secret = secret.mem.client.value
}
`

// Reading an issuer's metadata is a request to its provider like any: it keeps to the
// rate limit, before a grant as before a login.
func TestReadingAnIssuerKeepsToTheLimits(t *testing.T) {
	for grant, begin := range map[string]func(*testing.T, *world){
		"client_credentials": func(*testing.T, *world) { <-time.After(time.Minute) },
		"device_code": func(t *testing.T, w *world) {
			ep, call, want, err := w.loop.LoginCall(t.Context(), "credential.oauth2.a")
			if err == nil {
				err = w.loop.Discover(t.Context(), want, ep, call)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := w.loop.Discover(t.Context(), want, ep, call); err != nil {
				t.Error(err)
			}
			call.Op = providers.OpDevice
			if err := w.loop.Ask(t.Context(), want, ep, call, func(*providers.Reply) error { return nil }); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(grant, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				w.set(strings.Replace(byIssuer, "GRANT", `"`+grant+`"`, 1))
				begin(t, w)
				asked := w.server.Ledger(standin.OAuth2).Requests
				if len(asked) != 2 || asked[0].Path != "/.well-known/openid-configuration" || asked[1].At.Sub(asked[0].At) < 10*time.Second {
					t.Errorf("it is asked %+v", asked)
				}
				v, err := w.loop.Status(t.Context(), "")
				if lane := laneOf(v, "provider.oauth2.default"); err != nil || lane.Running != 0 || lane.InFlight != 0 {
					t.Errorf("it leaves behind %+v (%v)", lane, err)
				}
			})
		})
	}
}
