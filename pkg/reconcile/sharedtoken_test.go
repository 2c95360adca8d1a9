package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// cached is an API that gives the access token of its one client again as long as it
// lives, which is ten minutes.
type cached struct {
	mu      sync.Mutex
	n       int
	until   time.Time
	dead    map[string]bool
	revoked []string
	tokens  int           // requests for one
	early   time.Duration // by which it says that they end before they do
	before  time.Duration // its end a token's successor is given
	old     time.Time     // when the one before this one ends
	// slowly says how long a request is on its way before, and its answer after, it is
	// carried out; nil: no time at all.
	slowly func(path string) (before, after time.Duration)
}

// late takes the time of a request, of which before and after are told apart by do.
func (x *cached) late(path string, do func()) {
	var before, after time.Duration
	if x.slowly != nil {
		before, after = x.slowly(path)
	}
	<-time.After(before)
	do()
	<-time.After(after)
}

func (x *cached) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	x.late(r.URL.Path, func() { x.serve(w, r) })
}

func (x *cached) serve(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.URL.Path == "/revoke" {
		x.revoked = append(x.revoked, r.Form.Get("token"))
		x.dead[r.Form.Get("token")] = true
		return
	}
	if now := time.Now(); !now.Before(x.until.Add(-x.before)) || x.dead[fmt.Sprint("at", x.n)] {
		x.n++
		x.old, x.until = x.until, now.Add(10*time.Minute)
	}
	x.tokens++
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"at%d","expires_in":%d,"token_type":"bearer"}`, x.n, int(max(0, time.Until(x.until)-x.early).Seconds()))
}

// works says whether the API honours a token.
func (x *cached) works(token string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return token == fmt.Sprint("at", x.n) && !x.dead[token] && time.Now().Before(x.until)
}

// lives says whether a token has not ended: the last one, or the one before.
func (x *cached) lives(token string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return token == fmt.Sprint("at", x.n) && time.Now().Before(x.until) || token == fmt.Sprint("at", x.n-1) && time.Now().Before(x.old)
}

func (x *cached) revocations() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Join(x.revoked, " ")
}

func cachedConfig(names ...string) string {
	out := `
tokend {
  guard {
    settle          = "1s"
    max_revocations = 10
  }
}
secret "mem" "key" { value = "a-key" }
credential "apirone" "other" {
  grant        = "transfer_key"
  transfer_key = secret.mem.key.value
}
provider "cached" { allow_insecure_http = true }
provider_type "cached" {
  grant "client" {
    input "id" { type = string }
    request {
      method = "POST"
      url    = "http://cached.localhost/token"
      form   = { id = input.id }
    }
  }
  response {
    access_token = body.access_token
    expires_in   = body.expires_in
  }
  revoke {
    on = ["remove", "replace"]
    request {
      method = "POST"
      url    = "http://cached.localhost/revoke"
      form   = { token = token.access_token }
    }
  }
}
`
	for _, n := range names {
		out += fmt.Sprintf(`
credential "cached" %[1]q {
  grant = "client"
  id    = "one"
}
sink "mem" %[1]q {
  place   = %[1]q
  content = credential.cached.%[1]s.access_token
}
`, n)
	}
	return out
}

// A token that another credential has in force is not revoked for the sake of one that
// is removed, or that has another name now: its revocation waits until that one holds
// another.
func TestATokenInForceElsewhereIsNotRevoked(t *testing.T) {
	for name, c := range map[string]struct {
		first, then []string
		restart     bool
		order       bool
		revoked     string // within a minute
	}{
		"one of two is removed":           {first: []string{"a", "b"}, then: []string{"a"}},
		"one of two, after a start":       {first: []string{"a", "b"}, then: []string{"a"}, restart: true},
		"another name, without moved":     {first: []string{"a"}, then: []string{"b"}},
		"both are removed":                {first: []string{"a", "b", "c"}, then: nil, revoked: "at1 at1 at1"},
		"a person wants that of one dead": {first: []string{"a", "b", "c"}, then: []string{"a", "b", "c"}, order: true, revoked: "at1"},
		"the only one":                    {first: []string{"a"}, then: nil, revoked: "at1"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &cached{dead: map[string]bool{}}
				w.serveAlso(x, "cached.localhost")
				w.set(cachedConfig(c.first...))
				time.Sleep(time.Second)
				if c.restart {
					w.crash()
				}
				w.set(cachedConfig(c.then...) + "\n# as it is now\n")
				if c.order {
					if err := w.loop.Do(context.Background(), "credential.cached.a", reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(3 * time.Minute)
				if got := x.revocations(); got != c.revoked {
					t.Errorf("revoked %q, want %q", got, c.revoked)
				}
				for _, n := range c.then {
					if got := w.places.get(n); !x.works(got) {
						t.Errorf("%s holds %q, which does not work", n, got)
					}
				}
				if c.revoked != "" {
					return
				}
				if l := w.line("credential.cached." + c.first[len(c.first)-1]); !strings.Contains(l.Why, "holds the same access token") {
					t.Errorf("while it waits: %+v", l)
				}
				// In time the token ends by itself, and the queue is empty.
				time.Sleep(10 * time.Minute)
				if got := x.revocations(); got != "" {
					t.Errorf("later revoked %q", got)
				}
			})
		})
	}
}

// Where a revocation and a grant are on their way at the same moment, an API may give
// the grant the very token that it then ends. Nobody is left with that: it is obtained
// anew once the revocation is over.
func TestATokenThatIsRevokedWhileItIsBroughtIsRenewed(t *testing.T) {
	for name, c := range map[string]struct {
		revoke, token [2]time.Duration // before and after they are carried out
		later         time.Duration    // b comes so long after a's block is gone
		crash         time.Duration    // after that; 0: there is none
		asked         int              // for a token, at the most
	}{
		"the grant is answered while the revocation is on its way": {revoke: [2]time.Duration{5 * time.Second, 0}, later: 3 * time.Second, asked: 3},
		"the revocation is over before the answer comes":           {token: [2]time.Duration{0, 3 * time.Second}, asked: 3},
		"both are slow": {revoke: [2]time.Duration{2 * time.Second, 2 * time.Second}, token: [2]time.Duration{0, 3 * time.Second}, later: 2 * time.Second, asked: 3},
		"a crash while the revocation is on its way":                  {revoke: [2]time.Duration{5 * time.Second, 0}, later: 3 * time.Second, crash: time.Second, asked: 4},
		"a crash after the revocation, before the answer is recorded": {token: [2]time.Duration{0, 5 * time.Second}, crash: 3 * time.Second, asked: 4},
		"a crash after the revocation is carried out":                 {revoke: [2]time.Duration{2 * time.Second, 5 * time.Second}, later: 2 * time.Second, crash: 3 * time.Second, asked: 4},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &cached{dead: map[string]bool{}}
				w.serveAlso(x, "cached.localhost")
				w.set(cachedConfig("a"))
				time.Sleep(time.Second)
				x.mu.Lock()
				x.slowly = func(path string) (before, after time.Duration) {
					of := c.token
					if path == "/revoke" {
						of = c.revoke
					}
					return of[0], of[1]
				}
				x.mu.Unlock()
				if c.later > 0 {
					w.set(cachedConfig())
					time.Sleep(c.later)
				}
				w.set(cachedConfig("b"))
				if c.crash > 0 {
					time.Sleep(c.crash)
					w.crash()
					w.set(cachedConfig("b"))
				}
				time.Sleep(time.Minute)
				if got := w.places.get("b"); !x.works(got) {
					t.Errorf("b holds %q, which does not work: %+v", got, w.line("credential.cached.b"))
				}
				x.mu.Lock()
				defer x.mu.Unlock()
				if x.tokens > c.asked {
					t.Errorf("it was asked %d times for a token, want %d at the most", x.tokens, c.asked)
				}
				if len(x.revoked) == 0 || x.revoked[0] != "at1" {
					t.Errorf("revoked %q", x.revoked)
				}
			})
		})
	}
}
