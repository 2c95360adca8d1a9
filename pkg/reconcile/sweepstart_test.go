package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// What a removed provider has left in the state is gone after the next start; what those
// that are there need is not.
func TestAStartDropsWhatARemovedProviderLeft(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		names := func() []string {
			t.Helper()
			all, err := w.store.Blobs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		config := traders("max_revocations = 100\nmax_revoked_percent = 100", "x", "a b", "")
		w.set(config)
		<-time.After(time.Minute)
		before := len(names())
		const other = `
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
credential "apirone" "gone" {
  grant    = "login"
  login    = "apr-gone"
  password = secret.mem.pw.value
}
`
		w.set(config + other)
		<-time.After(time.Minute)
		w.set(config)
		<-time.After(2 * time.Minute)
		if c := w.server.Counts(standin.Apirone); c.Grants != 1 || c.Revocations != 1 {
			t.Fatalf("the other provider was asked: %+v", c)
		}
		if len(names()) <= before {
			t.Fatalf("nothing is left of the other provider: %d contents, %d before", len(names()), before)
		}
		w.halt()
		w.begin(false)
		w.set(config)
		<-time.After(time.Minute)
		if n := len(names()); n != before {
			t.Errorf("%d contents after a start, %d before there was the other provider", n, before)
		}
		// Those that are there are refreshed and revoked by theirs.
		w.halt()
		w.begin(false)
		w.set(config)
		<-time.After(30 * time.Minute)
		w.set(strings.Replace(config, `toset(["a", "b"])`, `toset(["a"])`, 1))
		<-time.After(5 * time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Revocations != 1 || c.Refreshes < 2 {
			t.Errorf("of the provider that stays: %+v", c)
		}
	})
}
