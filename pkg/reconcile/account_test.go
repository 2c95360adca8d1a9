package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// ledger is an API that counts the logins of each user, and how many were under way
// at once.
type ledger struct {
	mu       sync.Mutex
	right    string // the password; "": every login fails with status 500
	logins   map[string]int
	underWay map[string]int
	most     int
	noScope  bool // the scope s3 is refused
}

func (a *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	a.mu.Lock()
	if a.logins == nil {
		a.logins, a.underWay = map[string]int{}, map[string]int{}
	}
	a.logins[user]++
	a.underWay[user]++
	a.most = max(a.most, a.underWay[user])
	right := a.right
	a.mu.Unlock()
	<-time.After(100 * time.Millisecond) // so long a login takes, by the bubble's clock
	a.mu.Lock()
	a.underWay[user]--
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.FormValue("password") {
	case right:
		if r.FormValue("scope") == "s3" && a.noScope {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_scope"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-of-%s-%s","expires_in":36000}`, user, r.FormValue("scope"))
	default:
		if right == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
	}
}

// count is how many logins there were of a user since it was asked last.
func (a *ledger) count(user string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.logins[user]
	a.logins[user] = 0
	return n
}

func (a *ledger) takes(password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.right = password
}

// oneAccount are n credentials of each user, all with one password.
func oneAccount(n int, password string, users ...string) string {
	config := `
tokend {
  guard { settle = "1s" }
}
provider_type "ledger" {
  grant "password" {
    lockout = true
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "http://ledger.localhost/login"
      form   = {
        user     = input.user
        password = input.password
        scope    = join(" ", input.scopes)
      }
    }
    response {
      access_token = body.access_token
      expires_in   = body.expires_in
    }
  }
}
provider "ledger" { allow_insecure_http = true }
secret "mem" "pw" { value = "` + password + `" }
`
	for _, u := range users {
		for i := range n {
			config += fmt.Sprintf("credential \"ledger\" \"%s%d\" {\n  user = %q\n  password = secret.mem.pw.value\n  scopes = [\"s%d\"]\n}\n", u, i, u, i)
		}
	}
	return config
}

// Of credentials that log in with one account one login is under way at a time, and
// what one is told of its password holds for all: also after another wrong password,
// over restarts, and until one that a person had tried succeeds. Another account with
// the same password has logins of its own.
func TestAWrongPasswordIsSentOnceForAnAccount(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		api := &ledger{right: "right"}
		w.serveAlso(api, "ledger.localhost")
		const n = 12
		states := func(when, user string, want reconcile.State) {
			t.Helper()
			spared := 0
			for i := range n {
				l := w.line(fmt.Sprintf("credential.ledger.%s%d", user, i))
				if l.State != want {
					t.Errorf("%s: %s is %s: %s", when, l.Address, l.State, l.Why)
				}
				if strings.Contains(l.Why, "the login of ledger."+user) && strings.Contains(l.Mend, "tokend retry") {
					spared++
				}
			}
			if want == reconcile.Stopped && spared != n-1 {
				t.Errorf("%s: %d of %s name the login that was refused, want %d", when, spared, user, n-1)
			}
		}
		logins := func(when, user string, want int) {
			t.Helper()
			if got := api.count(user); got != want {
				t.Errorf("%s: %d logins of %s, want %d", when, got, user, want)
			}
		}
		w.set(oneAccount(n, "wrong", "a", "b"))
		w.pass(time.Hour, time.Minute, nil)
		logins("a wrong password", "a", 1)
		logins("a wrong password", "b", 1)
		states("a wrong password", "a", reconcile.Stopped)
		w.set(oneAccount(n, "wrong too", "a", "b"))
		w.pass(time.Hour, time.Minute, nil)
		logins("another wrong one", "a", 1)
		states("another wrong one", "a", reconcile.Stopped)
		for range 3 {
			w.halt()
			w.start()
			w.set(oneAccount(n, "wrong too", "a", "b"))
			w.pass(time.Minute, time.Second, nil)
		}
		logins("restarts", "a", 0)
		states("restarts", "a", reconcile.Stopped)
		w.halt()
		w.start()
		w.set(oneAccount(n, "wrong as well", "a", "b"))
		w.pass(time.Minute, time.Second, nil)
		logins("another wrong one at a start", "a", 1)
		if err := w.loop.Do(t.Context(), "credential.ledger.a5", reconcile.Order{Kind: reconcile.OrderRetry}); err == nil {
			t.Error("a retry with a wrong password succeeds")
		}
		w.pass(time.Minute, time.Second, nil)
		logins("a retry", "a", 1)
		api.takes("wrong as well")
		if err := w.loop.Do(t.Context(), "credential.ledger.a7", reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Error(err)
		}
		w.pass(10*time.Second, time.Second, nil)
		states("once it is right", "a", reconcile.Ready)
		logins("once it is right", "a", n)
		api.count("b")
		states("without a retry", "b", reconcile.Stopped)
		if api.most != 1 {
			t.Errorf("%d logins of one account were under way at once", api.most)
		}
	})
}

// Whatever makes logins fail that may have reached the server: after three of an
// account none is sent for 15 minutes, whichever credential's they were.
func TestLoginsThatFailCountForTheirAccount(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		api := &ledger{}
		w.serveAlso(api, "ledger.localhost")
		w.set(oneAccount(12, "right", "a"))
		w.pass(14*time.Minute, time.Second, nil)
		if n := api.count("a"); n != 3 {
			t.Errorf("%d logins, want 3", n)
		}
		w.pass(16*time.Minute, time.Second, nil)
		if n := api.count("a"); n < 1 || n > 2 {
			t.Errorf("%d logins in the quarter of an hour after, want 1, or 2", n)
		}
		api.takes("right")
		w.pass(16*time.Minute, time.Second, nil)
		for i := range 12 {
			if l := w.line(fmt.Sprintf("credential.ledger.a%d", i)); l.State != reconcile.Ready {
				t.Errorf("%s is %s: %s", l.Address, l.State, l.Why)
			}
		}
	})
}

// A login that was refused for its scopes says nothing of those that ask for others.
func TestARefusedScopeStopsNoOther(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		api := &ledger{right: "right", noScope: true}
		w.serveAlso(api, "ledger.localhost")
		w.set(oneAccount(12, "right", "a"))
		w.pass(time.Hour, time.Second, nil)
		for i := range 12 {
			want := reconcile.Ready
			if i == 3 {
				want = reconcile.Stopped
			}
			if l := w.line(fmt.Sprintf("credential.ledger.a%d", i)); l.State != want {
				t.Errorf("%s is %s: %s", l.Address, l.State, l.Why)
			}
		}
		if n := api.count("a"); n != 12 {
			t.Errorf("%d logins, want 12", n)
		}
	})
}
