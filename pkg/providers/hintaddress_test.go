package providers_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"tokend/pkg/providers"
)

const threeAddresses = `provider_type "three" {
  config "user_url" { type = string }
  grant "set" {
    request {
      method = "POST"
      url    = "${config.user_url}/token"
    }
  }
  grant "given" {
    input "where" { type = string }
    request {
      method = "POST"
      url    = input.where
    }
  }
  grant "fixed" {
    request {
      method = "POST"
      url    = "http://127.0.0.1:1/token"
    }
  }
  response { access_token = body.token }
}
`

// A hint about an address names by what that is set: not a setting that the type does
// not have, or that has no part in it.
func TestAHintNamesByWhatAnAddressIsSet(t *testing.T) {
	r, srv := newRig(t, typeOf(t, threeAddresses), http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/page":
			_, _ = w.Write([]byte("<html>"))
		case "/moved":
			w.Header().Set("Location", "https://elsewhere.example.com/")
			w.WriteHeader(http.StatusFound)
		default:
			http.NotFound(w, q)
		}
	}), map[string]any{"user_url": "http://127.0.0.1:1"})
	for _, path := range []string{"/none", "/moved", "/page"} {
		e := r.failure(r.call(providers.OpGrant, "given", map[string]any{"where": srv.URL + path}))
		if !strings.HasPrefix(e.Hint, "check the address that is called (where)") {
			t.Errorf("%s: the hint is %q", path, e.Hint)
		}
	}
	for grant, want := range map[string]string{"set": "the port of user_url", "fixed": "the port of the address in provider type three"} {
		req, err := r.e.Prepare(r.call(providers.OpGrant, grant, nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.e.Send(context.Background(), req)
		if e := asError(t, err); !strings.HasSuffix(e.Hint, want) {
			t.Errorf("%s: the hint is %q", grant, e.Hint)
		}
	}
}
