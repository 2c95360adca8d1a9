package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// An action that could not even be begun takes nothing from the token in force,
// which is refreshed as ever.
func TestAnActionThatCannotBeginLetsNoTokenEnd(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(`
provider "mine" { allow_insecure_http = true }
provider_type "mine" {
  grant "login" {
    input "email" { type = string }
    input "pin" {
      type      = string
      sensitive = true
    }
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
  }
  refresh {
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
  }
  action "confirm" {
    request {
      method = "POST"
      url    = "http://coinify.localhost/confirm"
      json   = { pin = input.pin }
    }
  }
}
secret "mem" "pin" { value = "12345" }
credential "mine" "a" {
  email = "a@example.com"
  pin   = secret.mem.pin.value
}
sink "mem" "a" {
  place   = "a"
  content = credential.mine.a.access_token
}
`)
		w.pass(time.Minute, time.Second, nil)
		w.unreadable.Store(true)
		if err := w.loop.Do(t.Context(), "credential.mine.a", reconcile.Order{Kind: reconcile.OrderAction, Action: "confirm"}); err == nil {
			t.Fatal("an action whose secret cannot be read was carried out")
		}
		w.unreadable.Store(false)
		w.pass(2*time.Hour, 10*time.Second, func() {
			if !w.works(standin.Coinify, "a") {
				t.Fatalf("the token in force ended: %+v", w.line("credential.mine.a"))
			}
		})
	})
}
