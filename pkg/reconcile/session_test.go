package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// oneSeat is an API that knows one session an account: a login ends the one before.
type oneSeat struct {
	came    atomic.Int64 // logins
	mu      sync.Mutex
	n       int
	logins  int
	seats   map[string]int // the token that works, by user
	refuses bool           // all logins
	forgets bool           // who may refresh
}

func (a *oneSeat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login" {
		<-time.After(time.Duration(a.came.Add(1)) * time.Millisecond) // no two of them end at once
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seats == nil {
		a.seats = map[string]int{}
	}
	user := r.FormValue("user") + r.FormValue("tenant")
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/login":
		if a.logins++; a.refuses {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
	case "/refresh":
		var n int
		_, _ = fmt.Sscanf(r.FormValue("refresh_token"), "r-"+user+"-%d", &n)
		if n != a.seats[user] || a.forgets {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
	case "/me":
		if t := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); !a.works(t) {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return
	}
	a.n++
	a.seats[user] = a.n
	fmt.Fprintf(w, `{"access_token":"a-%s-%d","refresh_token":"r-%s-%d","expires_in":30}`, user, a.n, user, a.n)
}

// works says whether a token is that of its user's session.
func (a *oneSeat) works(token string) bool {
	for user, n := range a.seats {
		if token == fmt.Sprintf("a-%s-%d", user, n) {
			return true
		}
	}
	return false
}

// honours is works, for who does not serve just now.
func (a *oneSeat) honours(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.works(token)
}

// count is how many logins there were since it was asked last.
func (a *oneSeat) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.logins
	a.logins = 0
	return n
}

func (a *oneSeat) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// seatOf is one credential of it and its sink; by is what else its block says.
type seatOf struct{ name, user, by string }

// seats is a configuration of such credentials.
func seats(lockout bool, all ...seatOf) string {
	config := fmt.Sprintf(`
tokend {
  guard { settle = "1s" }
}
provider_type "seat" {
  session = "one_per_account"
  config "base_url" {
    type    = string
    default = "http://seat.localhost"
  }
  config "tenant" {
    type    = string
    default = null
  }
  grant "password" {
    lockout = %t
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/login"
      form   = {
        tenant   = config.tenant
        user     = input.user
        password = input.password
        scope    = join(" ", input.scopes)
      }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    rotates = true
    request {
      method = "POST"
      url    = "${config.base_url}/refresh"
      form   = {
        tenant        = config.tenant
        user          = input.user
        refresh_token = token.refresh_token
      }
    }
  }
}
provider "seat" { allow_insecure_http = true }
provider "seat" {
  alias               = "again"
  allow_insecure_http = true
}
provider "seat" {
  alias               = "tenant"
  tenant              = "two"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "right" }
secret "mem" "same" { value = "right" }
`, lockout)
	for _, s := range all {
		if !strings.Contains(s.by, "password") {
			s.by += "\n  password = secret.mem.pw.value"
		}
		config += fmt.Sprintf("credential \"seat\" %q {\n  user = %q\n  scopes = [%q]\n  %s\n}\nsink \"mem\" %q {\n  place = %q\n  content = credential.seat.%s.access_token\n}\n", s.name, s.user, s.name, s.by, s.name, s.name, s.name)
	}
	return config
}

// takesTheSeat is who holds the session, and of whom each of the others says so.
func takesTheSeat(t *testing.T, w *world, api *oneSeat, when, holder string, others ...string) {
	t.Helper()
	if l := w.line("credential.seat." + holder); l.State != reconcile.Ready {
		t.Errorf("%s: %s is %s: %s", when, l.Address, l.State, l.Why)
	}
	if !api.honours(w.places.get(holder)) {
		t.Errorf("%s: the place of %s holds %q, which does not work", when, holder, w.places.get(holder))
	}
	for _, name := range others {
		l := w.line("credential.seat." + name)
		if l.State != reconcile.Stopped || !strings.Contains(l.Why, "its account allows one session, which credential.seat."+holder+" holds since 2000-") || !strings.Contains(l.Mend, "tokend retry seat."+name) {
			t.Errorf("%s: %s is %s: %s (to mend: %s)", when, l.Address, l.State, l.Why, l.Mend)
		}
	}
}

func seatLogins(t *testing.T, api *oneSeat, when string, want int) {
	t.Helper()
	if n := api.count(); n != want {
		t.Errorf("%s: %d logins, want %d", when, n, want)
	}
}

// Of credentials that log in with one account that has one session, one holds it, and
// the others do not end it: neither in an hour, nor over restarts, nor when a person has
// it changed hands. They were each other's end before, with a login every few seconds.
func TestOneSessionIsHeldByOne(t *testing.T) {
	ask := "verify {\n    path  = \"/me\"\n    every = \"3s\"\n  }"
	for name, c := range map[string]struct {
		lockout bool
		x, y    string
	}{
		"it counts refusals":     {true, "", ""},
		"it counts none":         {false, "", ""},
		"its tokens are asked":   {true, ask, ask},
		"another secret":         {false, "", "password = secret.mem.same.value"},
		"another provider block": {false, "", "provider = provider.seat.again"},
		"and it counts refusals": {true, "", "provider = provider.seat.again"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				api := &oneSeat{}
				w.serveAlso(api, "seat.localhost")
				config := seats(c.lockout, seatOf{"x", "me", c.x}, seatOf{"y", "me", c.y}, seatOf{"z", "else", ""})
				w.set(config)
				w.pass(time.Hour, time.Minute, nil)
				if n := api.count(); n != 2 {
					t.Errorf("%d logins in an hour, want one of each account", n)
				}
				holder, other := "x", "y"
				if w.line("credential.seat.x").State == reconcile.Stopped {
					holder, other = other, holder
				}
				takesTheSeat(t, w, api, "in an hour", holder, other)
				takesTheSeat(t, w, api, "another account", "z")
				for range 3 {
					w.halt()
					w.start()
					w.set(config)
					w.pass(5*time.Minute, time.Minute, nil)
				}
				w.crash()
				w.set(config)
				w.pass(5*time.Minute, time.Minute, nil)
				seatLogins(t, api, "restarts", 0)
				takesTheSeat(t, w, api, "restarts", holder, other)
				for range 2 {
					holder, other = other, holder
					if err := w.loop.Do(t.Context(), "credential.seat."+holder, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
						t.Error(err)
					}
					w.pass(time.Second, time.Second, nil)
					takesTheSeat(t, w, api, "a retry", holder, other)
					w.pass(time.Hour, time.Minute, nil)
					seatLogins(t, api, "a retry", 1)
					takesTheSeat(t, w, api, "an hour after a retry", holder, other)
				}
			})
		})
	}
}

// Who waits for a session gets it as soon as the one that holds it is not declared for
// that account any more, or cannot log in itself; two that change accounts do not wait
// for each other; and one that gets another name goes on at once.
func TestASessionIsHandedOn(t *testing.T) {
	x, y := seatOf{"x", "me", ""}, seatOf{"y", "me", ""}
	for name, c := range map[string]struct {
		first  []seatOf
		does   func(w *world, api *oneSeat)
		within time.Duration
		logins int
		ready  []string
	}{
		"its holder is removed":          {[]seatOf{x, y}, func(w *world, _ *oneSeat) { w.set(seats(true, y)) }, time.Minute, 1, []string{"y"}},
		"its holder has another account": {[]seatOf{x, y}, func(w *world, _ *oneSeat) { w.set(seats(true, seatOf{"x", "you", ""}, y)) }, time.Minute, 2, []string{"x", "y"}},
		"it has another account":         {[]seatOf{x, y}, func(w *world, _ *oneSeat) { w.set(seats(true, x, seatOf{"y", "you", ""})) }, 5 * time.Second, 1, []string{"x", "y"}},
		"it is another tenant's": {[]seatOf{x, y}, func(w *world, _ *oneSeat) {
			w.set(seats(true, x, seatOf{"y", "me", "provider = provider.seat.tenant"}))
		}, time.Minute, 1, []string{"x", "y"}},
		"both change accounts": {[]seatOf{x, {"y", "you", ""}}, func(w *world, _ *oneSeat) { w.set(seats(true, seatOf{"x", "you", ""}, y)) }, 10 * time.Second, 2, []string{"x", "y"}},
		"it gets another name": {[]seatOf{x}, func(w *world, _ *oneSeat) { w.set(seats(true, y)) }, 10 * time.Second, 1, []string{"y"}},
		"who took it is removed": {[]seatOf{x, y}, func(w *world, _ *oneSeat) {
			if err := w.loop.Do(w.t.Context(), "credential.seat.y", reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
				w.t.Error(err)
			}
			w.pass(time.Second, time.Second, nil)
			w.set(seats(true, x))
		}, time.Minute, 2, []string{"x"}},
		"who lost it has another account": {[]seatOf{x, y}, func(w *world, _ *oneSeat) {
			if err := w.loop.Do(w.t.Context(), "credential.seat.y", reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
				w.t.Error(err)
			}
			w.set(seats(true, seatOf{"x", "you", ""}, y))
		}, 5 * time.Second, 2, []string{"x", "y"}},
		"its holder is refused, and ends": {[]seatOf{x, y}, func(_ *world, api *oneSeat) { api.set(func() { api.forgets, api.refuses = true, true }) }, 10 * time.Minute, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				api := &oneSeat{}
				w.serveAlso(api, "seat.localhost")
				w.set(seats(true, c.first[:1]...)) // x holds it
				w.pass(time.Second, time.Second, nil)
				w.set(seats(true, c.first...))
				w.pass(time.Minute, time.Second, nil)
				api.count()
				c.does(w, api)
				w.pass(c.within, time.Second, nil)
				seatLogins(t, api, name, c.logins)
				for _, n := range c.ready {
					takesTheSeat(t, w, api, name, n)
				}
				w.pass(time.Hour, time.Minute, nil)
				seatLogins(t, api, "in an hour", 0)
			})
		})
	}
}

// Once its type says that sessions are independent, who waited for one logs in.
func TestNobodyWaitsForASessionThatIsIndependent(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		api := &oneSeat{}
		w.serveAlso(api, "seat.localhost")
		config := seats(false, seatOf{"x", "me", ""}, seatOf{"y", "me", ""})
		w.set(config)
		w.pass(10*time.Minute, time.Minute, nil)
		w.set(strings.Replace(config, "one_per_account", "independent", 1))
		w.pass(10*time.Minute, time.Minute, nil)
		for _, name := range []string{"x", "y"} {
			if l := w.line("credential.seat." + name); l.State == reconcile.Stopped {
				t.Errorf("%s waits: %s", name, l.Why)
			}
		}
	})
}
