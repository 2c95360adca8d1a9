package vault_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tokend/pkg/vault"
)

// Where not every server may be asked, none is that another one sends a request on
// to: neither a token nor a secret goes there.
func TestARedirectIsAskedAbout(t *testing.T) {
	elsewhere, elsewhereURL := startFake(t)
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhereURL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(standby.Close)
	forbidden := errors.New("forbidden by the host's policy")
	for _, refusal := range []error{forbidden, nil} {
		var asked []string
		b := &blocks{now: byAppRole(standby.URL, "r", "s")}
		p := vault.NewPool(b.resolve, vault.Options{AllowServer: func(address string) error {
			asked = append(asked, address)
			return refusal
		}})
		_, err := p.Client(t.Context(), main)
		if len(asked) == 0 || asked[0] != elsewhereURL {
			t.Errorf("asked about %v", asked)
		}
		switch {
		case refusal == nil && err != nil:
			t.Error(err)
		case refusal != nil && (err == nil || !strings.Contains(err.Error(), "sends requests on to "+elsewhereURL+", which is forbidden by the host's policy")):
			t.Errorf("%v", err)
		case refusal != nil && elsewhere.count(login) != 0:
			t.Error("a login was sent on")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		p.Close(ctx)
		cancel()
	}
}
