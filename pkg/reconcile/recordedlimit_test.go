package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// Credentials whose whole file went, with the block of their provider: their
// revocations keep to the limit that it had, also after a restart.
func TestRevocationsKeepTheLimitOfARemovedProvider(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "started anew": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(many(12, "rate_limit {\n    requests = 2\n    per      = \"10s\"\n  }") + loose)
				w.pass(2*time.Minute, time.Second, nil)
				if d := w.dead(12); d > 0 {
					t.Fatalf("%d places hold no token that works", d)
				}
				w.set(loose + other)
				if restart {
					w.halt()
					w.start()
					w.set(loose + other)
				}
				var seen []int
				w.pass(3*time.Minute, 10*time.Second, func() { seen = append(seen, w.revocations()) })
				for i := 1; i < len(seen); i++ {
					if n := seen[i] - seen[i-1]; n > 4 { // what was saved up, and what comes meanwhile
						t.Errorf("%d revocations within 10s: %v", n, seen)
					}
				}
				if n := w.revocations(); n != 12 {
					t.Errorf("%d of 12 tokens were revoked: %v", n, seen)
				}
			})
		})
	}
}

// A limit is known from when it is said, also where nothing was asked by it before
// its provider went.
func TestRevocationsKeepALimitThatWasSaidAMomentAgo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(many(12, "") + loose)
		w.pass(2*time.Minute, time.Second, nil)
		w.halt()
		w.start()
		w.set(many(12, "rate_limit {\n    requests = 2\n    per      = \"10s\"\n  }") + loose)
		<-time.After(time.Second)
		w.set(loose + other)
		var seen []int
		w.pass(3*time.Minute, 10*time.Second, func() { seen = append(seen, w.revocations()) })
		for i := 1; i < len(seen); i++ {
			if n := seen[i] - seen[i-1]; n > 4 { // what was saved up, and what comes meanwhile
				t.Errorf("%d revocations within 10s: %v", n, seen)
			}
		}
		if n := w.revocations(); n != 12 {
			t.Errorf("%d of 12 tokens were revoked: %v", n, seen)
		}
	})
}

// A credential whose change is held lives on by what the configuration said, but
// its provider's new limit binds at once.
func TestAHeldCredentialKeepsToTheNewLimit(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := func(account, settings string) string {
			return strings.ReplaceAll(many(12, settings), "@example.com", "@"+account)
		}
		w.set(config("example.com", ""))
		w.pass(time.Minute, time.Second, nil)
		if held := w.set(config("example.org", "rate_limit {\n    requests = 2\n    per      = \"10s\"\n  }")); held == nil {
			t.Fatal("twelve replacements are not held")
		}
		time.Sleep(time.Minute)
		before := w.server.Counts(standin.Coinify).Refreshes
		for i := range 12 {
			go func() {
				_ = w.loop.Do(t.Context(), fmt.Sprintf("credential.coinify.trader[%q]", fmt.Sprintf("t%d", i)), reconcile.Order{Kind: reconcile.OrderRefresh})
			}()
		}
		time.Sleep(10 * time.Second)
		if n := w.server.Counts(standin.Coinify).Refreshes - before; n < 1 || n > 4 {
			t.Errorf("%d refreshes within 10s", n)
		}
		time.Sleep(2 * time.Minute)
		if n := w.server.Counts(standin.Coinify).Refreshes - before; n < 12 {
			t.Errorf("%d of 12 refreshes", n)
		}
	})
}

const loose = `
tokend {
  guard {
    max_revocations     = 1000
    max_revoked_percent = 100
  }
}
`

// other is what is left of a configuration.
const other = `
secret "mem" "other" { value = "a-password" }
credential "coinsph" "wallet" {
  grant         = "authorization_code"
  client_id     = "c"
  client_secret = secret.mem.other.value
}
`
