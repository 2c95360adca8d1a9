package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// loginOrKey is an Apirone account whose token comes from a login, or whose key
// is the credential.
func loginOrKey(grant, rest string) string {
	how := map[string]string{
		"login":        "login = \"apr-1\"\n  password = secret.mem.pw.value",
		"transfer_key": "transfer_key = secret.mem.key.value",
	}[grant]
	value := map[string]string{"login": "access_token", "transfer_key": "transfer_key"}[grant]
	return fmt.Sprintf(`
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }
secret "mem" "key" { value = "the-key" }
credential "apirone" "a" {
  grant = %q
  %s
  lifecycle {
    overlap = "5s"
    %s
  }
}
sink "mem" "a" {
  place   = "a"
  content = "${credential.apirone.a.%s}"
}
`, grant, how, rest, value)
}

const apironeA = "credential.apirone.a"

// A key that takes the place of a token is a replacement like any other: the
// token is revoked once the sinks have the key.
func TestAKeyInThePlaceOfATokenRevokesIt(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(loginOrKey("login", ""))
		w.pass(time.Minute, time.Second, nil)
		token := w.places.get("a")
		if held := w.set(loginOrKey("transfer_key", "")); held != nil {
			t.Fatalf("it is held: %+v", held)
		}
		w.pass(time.Minute, time.Second, nil)
		if got := w.places.get("a"); got != "the-key" {
			t.Errorf("the sink holds %q", got)
		}
		if tok, ok := w.server.Lookup(standin.Apirone, token); !ok || tok.Alive {
			t.Errorf("the token that the key replaced lives on: %+v", tok)
		}
		if l := w.line(apironeA); l.State != reconcile.Ready || l.Retiring != 0 {
			t.Errorf("it is %s: %s; %d wait to be given up", l.State, l.Why, l.Retiring)
		}
		// And back: a key is not revoked.
		w.set(loginOrKey("login", ""))
		w.pass(time.Minute, time.Second, nil)
		if !w.works(standin.Apirone, "a") || w.server.Counts(standin.Apirone).Revocations != 1 {
			t.Errorf("after a login took the place of the key: %q, %d revocations", w.places.get("a"), w.server.Counts(standin.Apirone).Revocations)
		}
	})
}

// The guard and prevent_destroy hold such a replacement, and the token is kept
// alive meanwhile.
func TestAKeyInThePlaceOfATokenIsHeld(t *testing.T) {
	for name, c := range map[string]struct{ lifecycle, settings string }{
		"by the guard":       {"", "tokend {\n  guard {\n    max_revocations = 0\n  }\n}\n"},
		"by prevent_destroy": {"prevent_destroy = true", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(c.settings + loginOrKey("login", c.lifecycle))
				w.pass(time.Minute, time.Second, nil)
				// Its sink is said as before, so that what it holds is seen.
				key := strings.Replace(loginOrKey("transfer_key", c.lifecycle), "a.transfer_key", "a.access_token", 1)
				held := w.set(c.settings + key)
				w.pass(time.Hour, time.Minute, nil)
				if l := w.line(apironeA); l.State != reconcile.Held {
					t.Errorf("it is %s: %s", l.State, l.Why)
				}
				if !w.works(standin.Apirone, "a") {
					t.Errorf("the sink holds %q", w.places.get("a"))
				}
				if (held != nil) != (c.lifecycle == "") {
					t.Fatalf("held: %+v", held)
				}
				if held == nil {
					return
				}
				if err := w.loop.Approve(t.Context(), held); err != nil {
					t.Fatal(err)
				}
				w.set(c.settings + loginOrKey("transfer_key", c.lifecycle))
				w.pass(time.Minute, time.Second, nil)
				if got, l := w.places.get("a"), w.line(apironeA); got != "the-key" || l.State != reconcile.Ready || w.server.Counts(standin.Apirone).Revocations == 0 {
					t.Errorf("once approved, the sink holds %q, and it is %s: %s", got, l.State, l.Why)
				}
			})
		})
	}
}

// A key that cannot be read takes nothing from the token that it is to replace.
func TestAnUnreadableKeyLeavesTheTokenAlive(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(loginOrKey("login", ""))
		w.pass(time.Minute, time.Second, nil)
		w.unreadable.Store(true)
		w.set(strings.Replace(loginOrKey("transfer_key", ""), "a.transfer_key", "a.access_token", 1))
		w.pass(time.Hour, time.Minute, nil)
		if !w.works(standin.Apirone, "a") {
			t.Errorf("the sink holds a dead token; it is %+v", w.line(apironeA))
		}
		w.unreadable.Store(false)
		w.set(loginOrKey("transfer_key", ""))
		w.pass(10*time.Minute, time.Second, nil)
		if got := w.places.get("a"); got != "the-key" {
			t.Errorf("once it can be read, the sink holds %q; it is %+v", got, w.line(apironeA))
		}
	})
}
