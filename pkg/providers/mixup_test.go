package providers_test

import (
	"net/http"
	"strings"
	"testing"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
)

// A code that another server issued is not sent to the one that the login began
// with, whoever led the person there.
func TestARedirectOfAnotherIssuerIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		says    string // in the metadata
		params  map[string]string
		refusal string // "" for none
	}{
		"the issuer itself":                {`true`, map[string]string{"code": "c", "iss": "%s"}, ""},
		"the issuer itself, with a slash":  {`true`, map[string]string{"code": "c", "iss": "%s/"}, ""},
		"nobody says so":                   {`false`, map[string]string{"code": "c"}, ""},
		"another one":                      {`true`, map[string]string{"code": "c", "iss": "https://evil.example"}, "another server"},
		"another one, where none is asked": {`false`, map[string]string{"code": "c", "iss": "https://evil.example"}, "another server"},
		"none, where one is promised":      {`true`, map[string]string{"code": "c"}, "does not say which server"},
		"an error without one":             {`true`, map[string]string{"error": "access_denied"}, "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, _ := idp(t, map[string]string{"/.well-known/openid-configuration": `{"issuer":"%s","token_endpoint":"%s/t","authorization_endpoint":"%s/a","authorization_response_iss_parameter_supported":` + c.says + `}`})
			r, _ := newRig(t, builtin(t, "oauth2"), http.NotFoundHandler(), nil)
			call := r.call(providers.OpExchange, "authorization_code", map[string]any{"issuer": srv.URL, "client_id": "app", "client_secret": "canary-client"})
			if err := r.e.Discover(t.Context(), call.Grant, call.Inputs, nil); err != nil {
				t.Fatal(err)
			}
			call.Flow.Params = map[string]secret.Text{}
			for k, v := range c.params {
				call.Flow.Params[k] = secret.New(strings.ReplaceAll(v, "%s", srv.URL))
			}
			call.Flow.Code = call.Flow.Params["code"]
			err := r.e.RedirectError(call)
			switch {
			case c.refusal == "" && err != nil:
				t.Error(err)
			case c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal) || asError(t, err).Class != providers.ClassLogin):
				t.Errorf("%v", err)
			}
		})
	}
}
