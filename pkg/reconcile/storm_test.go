package reconcile_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// stormSize is how many tokens end at once, and the requests let through in a
// second. Ten thousand are many for a suite under -race: a tenth of them shows
// the same, at a tenth of the rate.
func stormSize() (tokens, rate int) {
	if os.Getenv("TOKEND_TEST_LONG") != "" {
		return 10_000, 500
	}
	return 1_000, 50
}

// many is a configuration with n Coinify traders, each with a place of its
// own, at a provider with more settings.
func many(n int, settings string) string {
	return fmt.Sprintf(`
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
  %s
}
secret "mem" "pw" { value = "a-password" }
credential "coinify" "trader" {
  for_each   = toset(flatten([for i in range(%d) : [for j in range(%d) : "t${i * 1000 + j}"]]))
  grant      = "password"
  email      = "${each.key}@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}
sink "mem" "trader" {
  for_each = credential.coinify.trader
  place    = each.key
  content  = each.value.access_token
}`, settings, (n+999)/1000, min(n, 1000))
}

// dead counts the places whose token does not work.
func (w *world) dead(n int) int {
	dead := 0
	for i := range n {
		if !w.works(standin.Coinify, fmt.Sprintf("t%d", i)) {
			dead++
		}
	}
	return dead
}

// Tokens that all end in the same second, at a provider whose limit lets a
// twentieth of them be replaced in a second, with a daemon that is up for the last
// thirty seconds: no place holds a dead token for a moment, and no request is
// above the limit.
func TestTokensThatEndInOneSecond(t *testing.T) {
	n, rate := stormSize()
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(many(n, ""))
		w.pass(20*time.Second, time.Second, nil)
		if d := w.dead(n); d > 0 {
			t.Fatalf("%d places hold no token that works", d)
		}
		ends, _ := w.server.Lookup(standin.Coinify, w.places.get("t0"))
		w.halt()
		w.server.Change(standin.Coinify, func(r *standin.Rules) { r.RateRequests, r.Latency = rate, 40*time.Millisecond })
		time.Sleep(time.Until(ends.Expires) - 30*time.Second)
		before := w.server.Counts(standin.Coinify)
		w.start()
		w.set(many(n, fmt.Sprintf("rate_limit {\n    requests = %d\n    per = \"1s\"\n    concurrency = 64\n  }", rate)))
		w.pass(35*time.Second, time.Second, func() {
			if d := w.dead(n); d > 0 {
				t.Fatalf("%s after the start %d places hold a dead token", 30*time.Second-time.Until(ends.Expires), d)
			}
		})
		c := w.server.Counts(standin.Coinify)
		if c.Throttled > 0 || c.Refreshes-before.Refreshes != n || c.Grants != n {
			t.Errorf("%d requests above the limit, %d refreshes, %d grants of %d", c.Throttled, c.Refreshes-before.Refreshes, c.Grants, n)
		}
	})
}

// A thousand credentials restored after a weekend's standstill, each with a token
// that ended long ago or will soon: they are spread over the time that the limit
// takes, soonest expiry first, and no request is above the limit.
func TestAThousandAfterAWeekend(t *testing.T) {
	const n, rate = 1000, 20
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Change(standin.Coinify, func(r *standin.Rules) { r.AccessLifetime, r.RefreshLifetime = 66*time.Hour, 200*time.Hour })
		// The second half is obtained two hours after the first, and lives so much
		// longer.
		first := strings.Replace(many(n, ""), "[for j in range(1000) :", "[for j in range(500) :", 1)
		w.set(first)
		time.Sleep(2 * time.Hour)
		w.set(many(n, ""))
		time.Sleep(time.Minute)
		if d := w.dead(n); d > 0 {
			t.Fatalf("%d places hold no token that works", d)
		}
		w.halt()
		// On Monday the first half's tokens have ended, and the others' end within
		// the hour.
		time.Sleep(63*time.Hour + 30*time.Minute)
		w.server.Change(standin.Coinify, func(r *standin.Rules) { r.RateRequests = rate })
		w.start()
		w.places.forget()
		w.set(many(n, fmt.Sprintf("rate_limit {\n    requests = %d\n    per = \"1s\"\n  }", rate)))
		took := time.Duration(n/rate) * time.Second
		w.pass(took*6/5, time.Second, func() {
			for i := 500; i < n; i++ {
				if !w.works(standin.Coinify, fmt.Sprintf("t%d", i)) {
					t.Fatalf("place t%d holds a dead token", i)
				}
			}
		})
		if d := w.dead(n); d > 0 {
			t.Errorf("after %s %d places hold a dead token", took*6/5, d)
		}
		c := w.server.Counts(standin.Coinify)
		if c.Throttled > 0 || c.Grants != 2*n {
			// The refresh tokens of this API live for a day, so each logs in anew.
			t.Errorf("%d requests above the limit, %d grants, want %d", c.Throttled, c.Grants, 2*n)
		}
		// What was taken up together may be delivered in any order.
		const together = 2 * rate
		for at, place := range w.places.writes() {
			var i int
			if _, err := fmt.Sscanf(place, "t%d", &i); err != nil {
				t.Fatal(err)
			}
			if i >= 500 && at < 500-together || i < 500 && at >= 500+together {
				t.Fatalf("write %d is that of t%d: the soonest expiry does not go first", at, i)
			}
		}
	})
}

// forget empties the log.
func (p *places) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = nil
}

// writes are the places written since, in order.
func (p *places) writes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.log {
		if place, ok := strings.CutPrefix(e, "write:"); ok && !slices.Contains(out, place) {
			out = append(out, place)
		}
	}
	return out
}

// More tokens end together than the limit lets through between their being due
// and their end: as many as it takes are refreshed earlier, so that none dies.
func TestTokensBeginEarlyEnoughForTheirLimit(t *testing.T) {
	const n = 600 // one a second, but due only in the last 528 seconds of 1200
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(many(n, ""))
		time.Sleep(10 * time.Second)
		w.halt()
		w.server.Change(standin.Coinify, func(r *standin.Rules) { r.RateRequests = 1 })
		w.start()
		w.set(many(n, "rate_limit {\n    requests = 1\n    per = \"1s\"\n  }"))
		w.pass(40*time.Minute, 20*time.Second, func() {
			if d := w.dead(n); d > 0 {
				t.Fatalf("at %s %d places hold a dead token", time.Now(), d)
			}
		})
		if c := w.server.Counts(standin.Coinify); c.Throttled > 0 || c.Grants != n || c.Refreshes > 3*n {
			t.Errorf("%d requests above the limit, %d grants, %d refreshes", c.Throttled, c.Grants, c.Refreshes)
		}
	})
}
