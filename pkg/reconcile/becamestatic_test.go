package reconcile_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A type that calls a grant a key from now on has not made a key of the token that
// the grant obtained: the guard sees that it is given up, and it is revoked.
func TestATokenIsNoKeyBecauseItsTypeSaysSo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &pages{refusal: http.StatusForbidden, revoked: "{}", life: 24 * 60 * 60}
		w.serveAlso(x, "pages.localhost")
		const guard = "tokend {\n guard {\n max_revocations = 0\n settle = \"1s\"\n }\n}\n"
		obtained, _, _ := strings.Cut(x.config("a@example.com", "false"), "sink ")
		if held := w.set(guard + obtained); held != nil {
			t.Fatalf("held: %+v", held)
		}
		time.Sleep(time.Minute)
		held := w.set(guard + `
provider "pages" { allow_insecure_http = true }
provider_type "pages" {
  grant "plain" {
    static  = true
    outputs = { email = input.email }
    input "email" { type = string }
  }
}
credential "pages" "a" { email = "b@example.com" }
`)
		if held == nil || len(held.Revocations) != 1 {
			t.Fatalf("held: %+v", held)
		}
		if err := w.loop.Approve(context.Background(), held); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if last := x.last.Load(); last == nil || *last != "rt1" {
			t.Errorf("it was not revoked: %+v", w.line("credential.pages.a"))
		}
	})
}
