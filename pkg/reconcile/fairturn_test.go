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

// partly is an API that has no answer for some of its users.
type partly struct {
	life time.Duration

	mu     sync.Mutex
	refuse func(user string) bool
	ends   map[string]time.Time // of the tokens issued
	users  map[string]string    // of refresh tokens
	tried  map[string][]time.Time
}

func newPartly(life time.Duration) *partly {
	return &partly{life: life, refuse: func(string) bool { return false }, ends: map[string]time.Time{}, users: map[string]string{}, tried: map[string][]time.Time{}}
}

func (x *partly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.URL.Path == "/me" {
		return
	}
	user, ok := strings.CutPrefix(string(body), "user=")
	if !ok {
		user = x.users[strings.TrimPrefix(string(body), "refresh_token=")]
	}
	x.tried[user] = append(x.tried[user], time.Now())
	if x.refuse(user) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	n := len(x.ends)
	at, rt := fmt.Sprintf("at%d", n), fmt.Sprintf("rt%d", n)
	x.ends[at], x.users[rt] = time.Now().Add(x.life), user
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q,"expires_in":%d}`, at, rt, int(x.life.Seconds()))
}

func (x *partly) refuses(f func(user string) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refuse = f
}

// config has n credentials of it, u0 and so on, with more in each block.
func (x *partly) config(limit string, n int, more string) string {
	c := strings.ReplaceAll((&unwilling{}).config(limit, n), "unwilling", "partly")
	return strings.Replace(c, "  user     = each.key\n", "  user     = each.key\n"+more, 1)
}

// A token that is good and delivered is ready, whoever does not answer: also where it is
// looked at for the first time since the start, where it is time to ask about it, and
// where a secret of it is looked at again. None of that needs the provider's answer.
func TestAGoodTokenIsReadyWhileItsProviderIsAway(t *testing.T) {
	for name, limit := range map[string]string{"no limit": "", "a tight limit": "requests = 2\n per = \"20s\"", "one at a time": "concurrency = 1"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				const old, all = 8, 12
				verify := "  verify {\n    path  = \"/me\"\n    every = \"1m\"\n  }\n"
				x := newPartly(time.Hour)
				w.serveAlso(x, "partly.localhost")
				w.set(x.config(limit, old, verify))
				time.Sleep(3 * time.Minute)
				w.halt()
				x.refuses(func(string) bool { return true })
				w.start()
				w.set(x.config(limit, all, verify))
				opened := 0
				w.pass(10*time.Minute, time.Second, func() {
					v := viewOf(w)
					for i := range all {
						l := lineIn(v, fmt.Sprintf(`credential.partly.many["u%d"]`, i))
						if i < old && l.State != reconcile.Ready {
							t.Fatalf("a good token: %+v", l)
						} else if i >= old && l.State == reconcile.Ready {
							t.Fatalf("no token: %+v", l)
						}
					}
					if v.FirstPass && v.Counts[reconcile.Ready] != 2*old {
						t.Fatalf("counts %v", v.Counts)
					}
					if !laneOf(v, "provider.partly.default").OpenSince.IsZero() {
						opened++
					}
				})
				if opened < 300 {
					t.Errorf("the provider was known to be away for %d of 600 seconds", opened)
				}
			})
		})
	}
}

// Under a tight limit one that fails again and again takes nobody's turn: none of the
// others holds a token that has ended. It is tried all the same.
func TestWhoFailsTakesNobodysTurn(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		const n = 8
		x := newPartly(2 * time.Minute)
		w.serveAlso(x, "partly.localhost")
		w.set(x.config("requests = 2\n per = \"20s\"", n, "  retry {\n    initial = \"1s\"\n    max     = \"2s\"\n  }\n"))
		time.Sleep(2 * time.Minute)
		x.refuses(func(user string) bool { return user == "u0" })
		began := time.Now()
		w.pass(20*time.Minute, time.Second, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			for i := 1; i < n; i++ {
				if at := w.places.get(fmt.Sprintf("u%d", i)); !time.Now().Before(x.ends[at]) {
					t.Fatalf("after %s u%d holds %q, which ended %s ago; u0 was tried %d times", time.Since(began), i, at, time.Since(x.ends[at]), len(x.tried["u0"]))
				}
			}
		})
		x.mu.Lock()
		defer x.mu.Unlock()
		last := began
		for _, at := range append(x.tried["u0"], time.Now()) {
			if at.Before(began.Add(2 * time.Minute)) {
				continue // it has a token
			}
			if gap := at.Sub(last); gap > 3*time.Minute {
				t.Errorf("it was not tried for %s", gap)
			}
			last = at
		}
	})
}

// A token that has ended while it waits for its turn under a limit is not ready, and status
// says what it waits for.
func TestWhatEndsUnderALimitIsNotReady(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		const n = 8
		x := newPartly(time.Minute)
		w.serveAlso(x, "partly.localhost")
		w.set(x.config("requests = 1\n per = \"20s\"", n, ""))
		said := 0
		w.pass(5*time.Minute, 500*time.Millisecond, func() {
			v := viewOf(w)
			notReady := 0
			for _, l := range v.Credentials {
				if l.State != reconcile.Ready {
					notReady++
				}
				if !l.ExpiresAt.IsZero() && !v.Now.Before(l.ExpiresAt.Add(20*time.Second)) && l.State == reconcile.Ready {
					t.Fatalf("it has expired %s ago: %+v", v.Now.Sub(l.ExpiresAt), l)
				}
				if l.State == reconcile.Waiting && strings.Contains(l.Why, "the rate limit of provider.partly.default lets no more through (1 in 20s)") {
					said++
				}
			}
			counted := 0
			for s, n := range v.Counts {
				if s != reconcile.Ready {
					counted += n
				}
			}
			if sinks := len(v.Sinks) - countReady(v.Sinks); counted != notReady+sinks {
				t.Fatalf("%d of the credentials and %d sinks are not ready, counted are %v", notReady, sinks, v.Counts)
			}
		})
		if said == 0 {
			t.Error("nothing is said of the limit")
		}
	})
}

func countReady(lines []reconcile.Line) (n int) {
	for _, l := range lines {
		if l.State == reconcile.Ready {
			n++
		}
	}
	return n
}

func lineIn(v reconcile.View, addr string) reconcile.Line {
	for _, l := range v.Credentials {
		if l.Address == addr {
			return l
		}
	}
	return reconcile.Line{Address: addr}
}
