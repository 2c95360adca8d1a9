package main

import (
	"strings"
	"testing"
)

// A client that shall prove itself by a secret and has none is found before a
// request is made, whichever way it sends it.
func TestValidateClientAuth(t *testing.T) {
	for auth, wrong := range map[string]bool{"client_secret_basic": true, "client_secret_post": true, "none": false} {
		dir := configOf(t, `
credential "oauth2" "b" {
  grant       = "client_credentials"
  token_url   = "https://id.example.com/token"
  client_id   = "billing"
  client_auth = "`+auth+`"
}
`)
		got := tokend(t, dir, "validate")
		if wrong != (got.status != exitOK) || wrong != strings.Contains(got.err, `client_secret is not given, which client_auth = "`+auth+`" needs`) {
			t.Errorf("%s: status %d, %s%s", auth, got.status, got.out, got.err)
		}
	}
}
