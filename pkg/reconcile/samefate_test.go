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

// together is an API whose tokens of one user share their fate: all end when one is
// revoked. They live for an hour. one: it gives one refresh token to a user, which its
// revocations name; spends: a refresh brings another. down: it takes no revocations.
type together struct {
	mu      sync.Mutex
	one     bool
	spends  bool
	down    bool
	n       int
	live    map[string]string // the user, by token
	until   map[string]time.Time
	refresh map[string]string // by user
	revoked []string
}

func (x *together) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	x.mu.Lock()
	defer x.mu.Unlock()
	token, user := r.Form.Get("token"), r.Form.Get("user")
	if r.URL.Path == "/revoke" && x.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == "/revoke" {
		x.revoked = append(x.revoked, token)
		user = x.live[token]
		for t, of := range x.live {
			if of == user {
				delete(x.live, t)
			}
		}
		delete(x.refresh, user)
		return
	}
	if old := r.Form.Get("refresh"); old != "" {
		if user = x.live[old]; user == "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		if x.spends {
			delete(x.refresh, user)
		}
	}
	x.n++
	access := fmt.Sprint(user, "-", x.n)
	x.live[access], x.until[access] = user, time.Now().Add(time.Hour)
	w.Header().Set("Content-Type", "application/json")
	if !x.one {
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600,"token_type":"bearer"}`, access)
		return
	}
	if x.refresh[user] == "" {
		x.refresh[user] = fmt.Sprint("refresh-", user, "-", x.n)
		x.live[x.refresh[user]] = user
	}
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q,"expires_in":3600,"token_type":"bearer"}`, access, x.refresh[user])
}

func (x *together) takesNone(down bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.down = down
}

func (x *together) refreshOf(user string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.refresh[user]
}

func (x *together) works(token string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.live[token] != "" && time.Now().Before(x.until[token])
}

func (x *together) revocations() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Join(x.revoked, " ")
}

// togetherConfig declares credentials, as "name=user" or "name=user/password".
func togetherConfig(one bool, of ...string) string {
	out := cachedConfig()
	out = out[:strings.Index(out, `provider "cached"`)]
	session, refresh, names := `session = "shared_grant"`, "", "access_token"
	if one {
		session, names = "", "refresh_token"
		refresh = `
  refresh {
    rotates = false
    request {
      method = "POST"
      url    = "http://cached.localhost/token"
      form   = { refresh = token.refresh_token }
    }
  }`
	}
	out += fmt.Sprintf(`
provider "cached" { allow_insecure_http = true }
provider_type "cached" {
  %s
  grant "client" {
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
      on_change = "replace"
    }
    request {
      method = "POST"
      url    = "http://cached.localhost/token"
      form   = { user = input.user, password = input.password }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = try(body.refresh_token, null)
    expires_in    = body.expires_in
  }%s
  revoke {
    on = ["remove", "replace"]
    request {
      method = "POST"
      url    = "http://cached.localhost/revoke"
      form   = { token = token.%s }
    }
  }
}
secret "mem" "first" { value = "first" }
secret "mem" "second" { value = "second" }
`, session, refresh, names)
	for _, c := range of {
		n, user, _ := strings.Cut(c, "=")
		user, password, has := strings.Cut(user, "/")
		if !has {
			password = "first"
		}
		out += fmt.Sprintf(`
credential "cached" %[1]q {
  grant    = "client"
  user     = %[2]q
  password = secret.mem.%[3]s.value
}
sink "mem" %[1]q {
  place   = %[1]q
  content = credential.cached.%[1]s.access_token
}
`, n, user, password)
	}
	return out
}

// A revocation never ends a token that another credential has in force: neither where the
// tokens of an account share their fate, nor where two have one refresh token.
func TestARevocationEndsNoTokenInForceElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		first, then []string
		restart     bool
		order       bool
		revoked     int // within three minutes
		waits       string
	}{
		"one of two is removed":           {first: []string{"a=me", "b=me"}, then: []string{"a=me"}, waits: "b"},
		"each has another password":       {first: []string{"a=me/second", "b=me"}, then: []string{"a=me/second"}, waits: "b"},
		"one of two, after a start":       {first: []string{"a=me", "b=me"}, then: []string{"a=me"}, restart: true, waits: "b"},
		"another name, without moved":     {first: []string{"a=me"}, then: []string{"b=me"}},
		"both are removed":                {first: []string{"a=me", "b=me"}, revoked: 2},
		"the other is another user's":     {first: []string{"a=me", "b=you"}, then: []string{"a=me"}, revoked: 1},
		"a person wants that of one dead": {first: []string{"a=me", "b=me"}, then: []string{"a=me", "b=me"}, order: true, revoked: 1},
	} {
		for _, one := range []bool{false, true} {
			kind := map[bool]string{false: "of one account", true: "one refresh token"}[one]
			t.Run(name+", "+kind, func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					x := &together{one: one, live: map[string]string{}, until: map[string]time.Time{}, refresh: map[string]string{}}
					w.serveAlso(x, "cached.localhost")
					w.set(togetherConfig(one, c.first...))
					time.Sleep(time.Second)
					if c.restart {
						w.crash()
					}
					w.set(togetherConfig(one, c.then...) + "\n# as it is now\n")
					if c.order {
						if err := w.loop.Do(context.Background(), "credential.cached.a", reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(3 * time.Minute)
					want := c.revoked
					if c.order && one {
						want++ // what b held before, which the API knows no more
					}
					if got := strings.Fields(x.revocations()); len(got) != want {
						t.Errorf("revoked %q, want %d", got, want)
					}
					for _, of := range c.then {
						n, _, _ := strings.Cut(of, "=")
						if got := w.places.get(n); !x.works(got) {
							t.Errorf("%s holds %q, which does not work: %+v", n, got, w.line("credential.cached."+n))
						}
					}
					if c.waits == "" {
						return
					}
					why := "credential.cached.a has a token of the same account"
					if one {
						why = "credential.cached.a holds the same refresh token"
					}
					if !one {
						why += ", which the revocation would end: it is revoked once that one holds none any more, or by `tokend revoke cached.b`, which ends both; or it is given up by `tokend revoke --forget cached.b`, and lives on"
					}
					if l := w.line("credential.cached." + c.waits); !strings.Contains(l.Why, why) {
						t.Errorf("while it waits: %+v", l)
					}
					// Once nobody has another in force, it is done.
					w.set(togetherConfig(one) + "\n# nothing is left\n")
					time.Sleep(3 * time.Minute)
					if got := strings.Fields(x.revocations()); len(got) != 2 {
						t.Errorf("in the end revoked %q, want both", got)
					}
				})
			})
		}
	}
}

// Where the account itself changes, its old token is revoked, though those of one account
// share their fate; not where its password does, and the token ends by itself then.
func TestTheOldAccountsTokenIsRevoked(t *testing.T) {
	for name, c := range map[string]struct{ then, revoked string }{
		"another user":     {"a=you", "me-1"},
		"another password": {"a=me/second", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &together{live: map[string]string{}, until: map[string]time.Time{}, refresh: map[string]string{}}
				w.serveAlso(x, "cached.localhost")
				w.set(togetherConfig(false, "a=me"))
				time.Sleep(time.Second)
				w.set(togetherConfig(false, c.then))
				time.Sleep(20 * time.Minute)
				if got := x.revocations(); got != c.revoked {
					t.Errorf("revoked %q, want %q", got, c.revoked)
				}
				if got := w.places.get("a"); got == "me-1" || !x.works(got) {
					t.Errorf("a holds %q, which does not work, or is the old one", got)
				}
			})
		})
	}
}

// A revocation that waits for another credential of its account is given up as status
// says it: both go on.
func TestARevocationThatWaitsIsGivenUp(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &together{live: map[string]string{}, until: map[string]time.Time{}, refresh: map[string]string{}}
		w.serveAlso(x, "cached.localhost")
		w.set(togetherConfig(false, "a=me", "b=me"))
		time.Sleep(time.Second)
		w.set(togetherConfig(false, "a=me"))
		time.Sleep(time.Minute)
		if l := w.line("credential.cached.b"); !strings.Contains(l.Why, "tokend revoke --forget cached.b") {
			t.Fatalf("it waits, and says no way out: %+v", l)
		}
		if err := w.loop.Do(t.Context(), "credential.cached.b", reconcile.Order{Kind: reconcile.OrderRevoke, Forget: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, _, _, err := w.loop.Record(t.Context(), "credential.cached.b"); err == nil {
			t.Error("the removed one is not gone")
		}
		if got := w.places.get("a"); x.revocations() != "" || !x.works(got) {
			t.Errorf("revoked %q; a holds %q", x.revocations(), got)
		}
	})
}

// A revocation that a person ordered and that failed is not forgotten where the API gives
// the same refresh token again: it would end the token that came meanwhile, so that it
// waits, also while that one is refreshed, and says so; ordered once more, it ends both.
func TestAnOrderedRevocationThatFailedIsNotForgotten(t *testing.T) {
	for name, c := range map[string]struct{ spends, access bool }{
		"its refresh token stays":    {},
		"its refresh token is spent": {spends: true},
		"its access token is named":  {access: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &together{one: true, spends: c.spends, live: map[string]string{}, until: map[string]time.Time{}, refresh: map[string]string{}}
				w.serveAlso(x, "cached.localhost")
				config := strings.Replace(togetherConfig(true, "a=me"), "rotates = false", "", 1)
				if c.access {
					config = strings.Replace(config, "{ token = token.refresh_token }", "{ token = token.access_token }", 1)
				}
				w.set(config)
				time.Sleep(time.Second)
				x.takesNone(true)
				order := func() error {
					return w.loop.Do(t.Context(), "credential.cached.a", reconcile.Order{Kind: reconcile.OrderRevoke})
				}
				if order() == nil {
					t.Fatal("the revocation has not failed")
				}
				time.Sleep(30 * time.Second)
				x.takesNone(false)
				w.pass(3*time.Hour, time.Minute, func() {
					if got := w.places.get("a"); x.revocations() != "" || !x.works(got) {
						t.Fatalf("revoked %q; a holds %q", x.revocations(), got)
					}
					l := w.line("credential.cached.a")
					if l.State != reconcile.Ready || l.Retiring != 1 || !strings.Contains(l.Why, "its revocation failed") || l.Mend != "tokend revoke cached.a" {
						t.Fatalf("status does not tell of it: %+v", l)
					}
				})
				held, refresh := w.places.get("a"), x.refreshOf("me")
				if err := order(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if x.works(held) || refresh == x.refreshOf("me") {
					t.Errorf("%s or %s lives; revoked %q", held, refresh, x.revocations())
				}
				if l := w.line("credential.cached.a"); l.Retiring != 0 || l.Why != "" {
					t.Errorf("something is left: %+v", l)
				}
			})
		})
	}
}
