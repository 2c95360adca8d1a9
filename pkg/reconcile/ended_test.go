package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// endable has an account that an action ends.
const endable = `
provider "mine" { allow_insecure_http = true }
provider_type "mine" {
  grant "login" {
    input "email" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "password", email = input.email, partnerId = "p", password = input.password }
    }
  }
  response {
    access_token = body.access_token
    expires_in   = body.expires_in
  }
  action "close" {
    ends_account = true
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "password", email = "closed@example.com", partnerId = "p", password = "a-password" }
    }
  }
}
secret "mem" "pw" { value = "from-the-loop" }
credential "mine" "a" {
  email    = "a@example.com"
  password = secret.mem.pw.value
}
`

// An account was ended by an action: it gets no token any more, also not after what
// is left of its token was revoked.
func TestAnEndedAccountStaysEndedWhenItsTokenIsRevoked(t *testing.T) {
	const addr = "credential.mine.a"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(endable)
		time.Sleep(time.Minute)
		for _, o := range []reconcile.Order{{Kind: reconcile.OrderAction, Action: "close"}, {Kind: reconcile.OrderRevoke}} {
			if err := w.loop.Do(t.Context(), addr, o); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(3*time.Hour, time.Minute, nil)
		if l, c := w.line(addr), w.server.Counts(standin.Coinify); l.State != reconcile.Stopped || c.Grants != 2 {
			t.Errorf("%d logins, one of them the action; it is %+v", c.Grants, l)
		}
	})
}

// What changed before an account was ended is no reason to log in to it again; what
// changes after that is.
func TestAnEndedAccountIsTriedWithWhatChangedSince(t *testing.T) {
	const addr = "credential.mine.a"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		password := func(p string) {
			w.values.Store(&p)
			if err := w.loop.Touched(t.Context(), nil, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		w.set(endable)
		time.Sleep(time.Minute)
		password("a-second-one")
		if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderAction, Action: "close"}); err != nil {
			t.Fatal(err)
		}
		w.pass(3*time.Hour, time.Minute, nil)
		if l, c := w.line(addr), w.server.Counts(standin.Coinify); l.State != reconcile.Stopped || c.Grants != 2 {
			t.Errorf("%d logins, one of them the action; it is %+v", c.Grants, l)
		}
		password("a-third-one")
		if l, c := w.line(addr), w.server.Counts(standin.Coinify); l.State != reconcile.Ready || c.Grants != 3 {
			t.Errorf("%d logins, one of them the action; it is %+v", c.Grants, l)
		}
	})
}
