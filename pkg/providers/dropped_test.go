package providers_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

const dropsType = `provider_type "drops" {
  config "base_url" { type = string }
  grant "login" {
    request {
      method = "POST"
      url    = "${config.base_url}/token"
    }
    response { access_token = body.access_token }
  }
  revoke {
    request {
      method = "POST"
      url    = "${config.base_url}/revoke"
      form   = { token = token.access_token }
    }
  }
  verify {
    request {
      method = "POST"
      url    = "${config.base_url}/me"
      form   = { token = token.access_token }
    }
  }
}`

// A verification and a revocation are waited for as long as their caller says, also after
// they were sent; whatever spends something until the end.
func TestWhatLosesNothingIsWaitedForAsLongAsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typ := typeOf(t, dropsType)
		p := &pipeNet{conns: make(chan net.Conn)}
		e, err := providers.NewEndpoint(&spec.Provider{Addr: "provider.drops.default", Type: typ, Config: filled(t, typ.Config, map[string]any{"base_url": "http://localhost:1"})},
			providers.Options{DialContext: p.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for _, c := range []struct {
			op    providers.Op
			path  string
			drops bool
		}{{providers.OpVerify, "", true}, {providers.OpVerify, "/me", true}, {providers.OpRevoke, "", true}, {providers.OpGrant, "", false}} {
			for _, cancelled := range []bool{false, true} {
				gone := make(chan struct{})
				go func() { // takes a request, and never answers
					c := <-p.conns
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
					close(gone)
				}()
				req, err := e.Prepare(providers.Call{Op: c.op, Grant: "login", Path: c.path, Token: providers.Token{AccessToken: secret.New("access"), HeaderName: "Authorization", Header: secret.New("Bearer access")}, Now: time.Now()})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
				if cancelled {
					time.AfterFunc(4*time.Second, cancel)
				}
				want, cause, message := 7*time.Second, context.DeadlineExceeded, "no complete reply within 7s"
				switch {
				case !c.drops:
					want, message = 30*time.Second, "no complete reply within 30s"
				case cancelled:
					want, cause, message = 4*time.Second, context.Canceled, "no complete reply within 4s, when something else had to be done"
				}
				began := time.Now()
				_, err = e.Send(ctx, req)
				if got := asError(t, err); got.Class != providers.ClassUnknown || !got.Reached || time.Since(began) != want || !strings.Contains(got.Error(), message) || !errors.Is(err, cause) {
					t.Errorf("%s %q, cancelled %v: %s after %v: %v", c.op, c.path, cancelled, got.Class, time.Since(began), got)
				}
				cancel()
				<-gone
			}
		}
	})
}
