package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A credential whose removal prevent_destroy holds, and that is declared again at
// another address, waits for a person and lives on meanwhile: by the configuration
// that declared it before it went, which is not the one before the change.
func TestWhatComesBackElsewhereLivesOn(t *testing.T) {
	kept := strings.Replace(trader("a@example.com", ""), "  partner_id", "  lifecycle { prevent_destroy = true }\n  partner_id", 1)
	const other = `
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }
credential "coinify" "other" {
  grant      = "password"
  email      = "b@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`
	elsewhere := strings.Replace(trader("a@example.com", ""), "http://coinify.localhost", "http://coinify.localhost:81", 1)
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(kept)
		<-time.After(time.Minute)
		w.set(other)
		<-time.After(time.Minute)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Held {
			t.Fatalf("its removal is %s: %s", l.State, l.Why)
		}
		if w.set(elsewhere) == nil {
			t.Fatal("a change of its API's address is not held")
		}
		w.pass(3*time.Hour, time.Minute, func() {
			if l := w.line("credential.coinify.trader"); l.State != reconcile.Held {
				t.Fatalf("it is %s: %s", l.State, l.Why)
			}
		})
		w.halt()
		w.start()
		w.set(elsewhere)
		w.pass(time.Hour, time.Minute, nil)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Held || !l.ExpiresAt.After(time.Now()) {
			t.Errorf("after a start it is %s: %s; its token ends %s", l.State, l.Why, l.ExpiresAt)
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Reuses != 0 {
			t.Errorf("%d grants, %d reuses", c.Grants, c.Reuses)
		}
	})
}
