package reconcile_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// unwilling is an API whose tokens live for twenty seconds and whose revocations
// never go through, in a way of its own.
type unwilling struct {
	revoke func(w http.ResponseWriter, r *http.Request)

	mu     sync.Mutex
	ends   map[string]time.Time // of the tokens issued
	tried  int                  // revocations
	asking int                  // of them, under way
	most   int                  // of them, at once, before the first had ended
	ended  bool                 // one of them has
}

func (x *unwilling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice who goes away
	if r.URL.Path == "/revoke" {
		x.tried++
		x.asking++
		if !x.ended { // whoever goes away after its time is noticed a little later than the next one comes
			x.most = max(x.most, x.asking)
		}
		x.mu.Unlock()
		x.revoke(w, r)
		x.mu.Lock()
		x.asking--
		x.ended = true
		return
	}
	n := len(x.ends)
	at := fmt.Sprintf("at%d", n)
	x.ends[at] = time.Now().Add(20 * time.Second)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"%s","refresh_token":"rt%d","expires_in":20}`, at, n)
}

func (x *unwilling) config(limit string, n int) string {
	return fmt.Sprintf(`
tokend {
  guard {
    settle              = "0s"
    max_revocations     = 10000
    max_revoked_percent = 100
  }
}
provider "unwilling" {
  allow_insecure_http = true
  rate_limit {
    %s
  }
}
provider_type "unwilling" {
  session = "independent"
  grant "plain" {
    input "user" { type = string }
    request {
      method = "POST"
      url    = "http://unwilling.localhost/token"
      form   = { user = input.user }
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
      url    = "http://unwilling.localhost/token"
      form   = { refresh_token = token.refresh_token }
    }
  }
  revoke {
    request {
      method = "POST"
      url    = "http://unwilling.localhost/revoke"
      form   = { token = token.refresh_token }
    }
  }
}
credential "unwilling" "many" {
  for_each = toset([for i in range(%d) : "u${i}"])
  user     = each.key
}
sink "mem" "many" {
  for_each = credential.unwilling.many
  place    = each.key
  content  = each.value.access_token
}`, limit, n)
}

// Revocations that never go through, of 950 of a thousand credentials, keep none of the other
// credentials of the same provider, and of the same host, waiting: no place holds an
// expired token, also where only one request may be in flight.
func TestRevocationsAreNotInTheWayOfRefreshing(t *testing.T) {
	stall := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	status := func(code int, after string) func(w http.ResponseWriter, r *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.WriteHeader(code)
		}
	}
	for name, c := range map[string]struct {
		revoke func(w http.ResponseWriter, r *http.Request)
		limit  string
		most   int // revocations at once
	}{
		"stalled":                {stall, "", 8},
		"stalled, one at a time": {stall, "concurrency = 1", 1},
		"stalled, two at a time": {stall, "concurrency = 2", 1},
		"stalled, rate limit":    {stall, "requests = 60\n per = \"1s\"", 8},
		"throttled":              {status(429, "60"), "", 8},
		"failing":                {status(503, ""), "", 8},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				x := &unwilling{revoke: c.revoke, ends: map[string]time.Time{}}
				w.serveAlso(x, "unwilling.localhost")
				w.set(x.config(c.limit, 1000))
				time.Sleep(30 * time.Second)
				w.set(x.config(c.limit, 50))
				time.Sleep(10 * time.Second)
				w.pass(2*time.Minute, time.Second, func() {
					x.mu.Lock()
					defer x.mu.Unlock()
					for i := range 50 {
						if at := w.places.get(fmt.Sprintf("u%d", i)); !time.Now().Before(x.ends[at]) {
							t.Fatalf("u%d holds %q, which expired %s ago: %+v", i, at, time.Since(x.ends[at]), w.line(fmt.Sprintf(`credential.unwilling.many["u%d"]`, i)))
						}
					}
				})
				if x.most > c.most || x.tried < 3 {
					t.Errorf("%d revocations at once, of %d", x.most, x.tried)
				}
				v, err := w.loop.Status(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				if l := laneOf(v, "provider.unwilling.default"); !l.OpenSince.IsZero() {
					t.Errorf("the provider: %+v", l)
				}
				if l := laneOf(v, "revocations of provider.unwilling.default"); l.OpenSince.IsZero() || l.Of != "provider.unwilling.default" || l.Concurrency != c.most || !strings.Contains(l.Why, "revoking") {
					t.Errorf("its revocations: %+v", l)
				}
				if v.Counts[reconcile.Ready] < 100 {
					t.Errorf("counts %v", v.Counts)
				}
			})
		})
	}
}
