package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// crashWindow is how long the API of the windowed type answers a repeated refresh
// with the same pair: longer than any restart takes.
const crashWindow = 10 * time.Minute

// windowedLifetime is longer than that of the others: the API repeats the pair
// that it gave, so its access token has to outlive some restarts.
const windowedLifetime = 40 * time.Second

// callbackURI is where a login comes back to, unless the configuration says
// otherwise.
const callbackURI = "http://127.0.0.1:8250/callback"

// interactiveType is a provider type for which a person has to log in, of the
// stand-in's Cryptohopper.
func interactiveType(name, refresh string) string {
	return fmt.Sprintf(`
provider_type %q {
  config "base_url" {
    type    = string
    default = null
  }
  grant "authorization_code" {
    input "client_id" { type = string }
    input "client_secret" {
      type      = string
      sensitive = true
    }
    authorize {
      url             = "${config.base_url}/oauth2/authorize"
      query           = { client_id = input.client_id, response_type = "code" }
      scope_separator = ","
      state           = "required"
    }
    request {
      method = "POST"
      url    = "${config.base_url}/oauth2/token"
      json = {
        client_id     = input.client_id
        client_secret = input.client_secret
        grant_type    = "authorization_code"
        redirect_uri  = flow.redirect_uri
        code          = flow.code
      }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    token_type    = body.token_type
    expires_in    = body.expires_in
  }
  refresh {
    rotates = true
    %s
    request {
      method = "POST"
      url    = "${config.base_url}/oauth2/token"
      json = {
        grant_type    = "refresh_token"
        refresh_token = token.refresh_token
        client_id     = input.client_id
        client_secret = input.client_secret
      }
    }
  }
}
provider %q { base_url = var.cryptohopper_url }
`, name, refresh, name)
}

// logIn logs in as a person with a browser does.
func (r *host) logIn(addr string) {
	r.t.Helper()
	r.until("a login to "+addr, func(ctx context.Context) string {
		l, err := r.ask().LoginStart(ctx, loginRequest{Address: addr})
		if err != nil {
			return err.Error()
		}
		back, err := sentBack(l.URL)
		if err != nil {
			return err.Error()
		}
		if err := r.ask().LoginFinish(ctx, loginFinish{Address: addr, ID: l.ID, Redirect: back}); err != nil {
			return err.Error()
		}
		return ""
	})
}

// logInAll logs in where that is needed, once and for all.
func (c *crash) logInAll() {
	c.t.Helper()
	d := c.start("--log-level", "warn")
	for a := range c.addresses(standin.Cryptohopper) {
		c.logIn(a)
	}
	c.converged(d)
	d.stop()
}

const onceConfig = `
tokend {
  defaults {
    refresh {
      at            = 0.4
      jitter        = 0
      min_remaining = "1s"
    }
    retry { initial = "20ms" }
  }
}
variable "out" { type = string }
variable "cryptohopper_url" { type = string }
secret "file" "password" { path = "password" }
credential "once" "bot" {
  grant         = "authorization_code"
  client_id     = "bot"
  client_secret = secret.file.password.value
  scopes        = ["read"]
}
sink "file" "bot" {
  path    = "${var.out}/bot"
  content = credential.once.bot.access_token
}
`

// Where a person has to log in and the API answers no repetition, a crash at the
// worst moment loses the grant. That is said, with its reason and what mends it;
// the token is sent once more at its very end and never again; and a login
// mends it.
func TestACrashThatNeedsAPerson(t *testing.T) {
	t.Parallel()
	o := standin.Options{AutoApprove: true, Rules: crashRules, Clients: []standin.Client{{API: standin.Cryptohopper, ID: "bot", Secret: "one-password", User: "bot", RedirectURIs: []string{callbackURI}}}}
	h := newHost(t, build(t), o)
	h.write("password", "one-password\n")
	h.write("type.hcl", interactiveType("once", ""))
	h.write("main.hcl", onceConfig)
	const addr = "credential.once.bot"
	d := h.start("--log-level", "warn")
	h.logIn(addr)
	h.untilState(addr, reconcile.Ready, "")

	armed := h.api.Fail(standin.Fault{API: standin.Cryptohopper, Kind: standin.FaultDelay, Delay: time.Minute, Path: "/oauth2/token", Grant: "refresh_token"})
	select {
	case <-armed.Hit():
	case <-time.After(hostPatience):
		t.Fatal("no refresh came")
	}
	d.kill()
	armed.Clear()
	d = h.start("--log-level", "warn")
	h.untilState(addr, reconcile.NeedsLogin, "refresh")
	out, status := h.tokend("", "status")
	if status != exitFailed || !strings.Contains(out, "tokend login once.bot") {
		t.Errorf("status (exit %d) does not say what mends it:\n%s", status, out)
	}
	if n := h.api.Counts(standin.Cryptohopper).Reuses; n != 1 {
		t.Errorf("the token that may have been spent was sent %d times more, want the one last try", n)
	}
	d.stop()
	d = h.start("--log-level", "warn")
	h.untilState(addr, reconcile.NeedsLogin, "")
	if n := h.api.Counts(standin.Cryptohopper).Reuses; n != 1 {
		t.Errorf("the token was sent again after a restart (%d reuses)", n)
	}
	h.logIn(addr)
	h.untilState(addr, reconcile.Ready, "")
	d.stop()
}

// untilState waits until an address is in a state whose reason has a word.
func (r *host) untilState(addr string, want reconcile.State, word string) {
	r.t.Helper()
	r.until(addr+" to be "+string(want), func(ctx context.Context) string {
		s, err := r.ask().Status(ctx, addr)
		if err != nil {
			return err.Error()
		}
		i := slices.IndexFunc(s.Credentials, func(l reconcile.Line) bool { return l.Address == addr })
		if i < 0 {
			return "it is not there"
		}
		l := s.Credentials[i]
		if l.State != want || !strings.Contains(l.Why, word) || want != reconcile.Ready && l.Why == "" {
			return fmt.Sprintf("it is %s: %s", l.State, l.Why)
		}
		return ""
	})
}
