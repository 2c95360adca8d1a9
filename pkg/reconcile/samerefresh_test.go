package reconcile_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// oneLogin is an API that gives everybody one login: the same refresh token, and the
// newest access token, which a refresh ends.
type oneLogin struct {
	mu     sync.Mutex
	n      int
	until  time.Time
	logins int
}

func (x *oneLogin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	<-time.After(50 * time.Millisecond)
	x.mu.Lock()
	defer x.mu.Unlock()
	refresh := r.URL.Path == "/refresh"
	if !refresh {
		x.logins++
	}
	if now := time.Now(); refresh || !now.Before(x.until) {
		x.n++
		x.until = now.Add(40 * time.Minute)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"at%d","refresh_token":"the-one","expires_in":%d}`, x.n, int(time.Until(x.until).Seconds()))
}

func (x *oneLogin) works(token string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return token == fmt.Sprint("at", x.n)
}

func oneLoginConfig(names ...string) string {
	out := `
secret "mem" "key" { value = "a-key" }
credential "apirone" "other" {
  grant        = "transfer_key"
  transfer_key = secret.mem.key.value
}
provider "same" { allow_insecure_http = true }
provider_type "same" {
  grant "client" {
    input "id" { type = string }
    request {
      method = "POST"
      url    = "http://same.localhost/token"
      form   = { id = input.id }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    rotates                  = false
    invalidates_access_token = true
    request {
      method = "POST"
      url    = "http://same.localhost/refresh"
      form   = { refresh_token = token.refresh_token }
    }
  }
}
`
	for _, n := range names {
		out += fmt.Sprintf(`
credential "same" %[1]q {
  grant = "client"
  id    = "one"
}
sink "mem" %[1]q {
  place   = %[1]q
  content = credential.same.%[1]s.access_token
}
`, n)
	}
	return out
}

// Two credentials that have the same refresh token end each other's access token with
// each refresh. The other one is obtained anew at once, and says why where it is not.
func TestARefreshThatEndsAnothersToken(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &oneLogin{}
		w.serveAlso(x, "same.localhost")
		w.set(oneLoginConfig("a", "b"))
		ill := 0
		for range 2 * 60 * 6 { // two hours
			time.Sleep(10 * time.Second)
			for _, n := range []string{"a", "b"} {
				if x.works(w.places.get(n)) {
					continue
				}
				if ill++; !strings.Contains(w.line("credential.same."+n).Why, "which has the same refresh token") {
					t.Errorf("%s holds a dead token, and says %+v", n, w.line("credential.same."+n))
				}
			}
		}
		if x.logins > 20 || ill > 20 || x.n < 4 {
			t.Errorf("%d logins and %d refreshes; of 1440 looks at a place %d found a token that is dead", x.logins, x.n, ill)
		}
	})
}

// Those whose access token a refresh has ended are told of it also where its reply could
// not be read, or never came.
func TestARefreshWithoutAnAnswerThatEndsAnothersToken(t *testing.T) {
	for name, spoil := range map[string]func(rw http.ResponseWriter, answer *httptest.ResponseRecorder){
		"it cannot be read": func(rw http.ResponseWriter, answer *httptest.ResponseRecorder) {
			_, _ = rw.Write([]byte(strings.Replace(answer.Body.String(), "access_token", "token", 1)))
		},
		"it never comes": func(rw http.ResponseWriter, answer *httptest.ResponseRecorder) {
			rw.WriteHeader(http.StatusGatewayTimeout)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &oneLogin{}
				var refreshed atomic.Int64
				w.serveAlso(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					answer := httptest.NewRecorder()
					x.ServeHTTP(answer, r)
					rw.Header().Set("Content-Type", "application/json")
					if r.URL.Path == "/refresh" {
						refreshed.Add(1)
						spoil(rw, answer)
						return
					}
					_, _ = rw.Write(answer.Body.Bytes())
				}), "same.localhost")
				w.set(oneLoginConfig("a", "b"))
				time.Sleep(10 * time.Second)
				_ = w.loop.Do(t.Context(), "credential.same.a", reconcile.Order{Kind: reconcile.OrderRefresh})
				time.Sleep(300 * time.Millisecond)
				if got := w.places.get("b"); refreshed.Load() != 1 || !x.works(got) {
					t.Errorf("%d refreshes; b holds %q, which does not work: %+v", refreshed.Load(), got, w.line("credential.same.b"))
				}
			})
		})
	}
}
