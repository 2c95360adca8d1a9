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

// mute is an API that never answers about the tokens of some users, and no revocation;
// of the others it says which it honours.
type mute struct {
	mu    sync.Mutex
	n     int
	owner map[string]string // of a token
	dead  map[string]bool   // tokens that are not honoured
	asked map[string]int    // questions, by user
}

func (x *mute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice who goes away
	x.mu.Lock()
	defer x.mu.Unlock()
	switch r.URL.Path {
	case "/me":
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		user := x.owner[token]
		x.asked[user]++
		if strings.HasPrefix(user, "hangs") {
			x.mu.Unlock()
			<-r.Context().Done()
			x.mu.Lock()
			return
		}
		if x.dead[token] {
			w.WriteHeader(http.StatusUnauthorized)
		}
	case "/revoke":
		x.mu.Unlock()
		<-r.Context().Done()
		x.mu.Lock()
	default:
		user := r.FormValue("user")
		if user == "" {
			user = x.owner[strings.Replace(r.FormValue("refresh_token"), "rt", "at", 1)]
		}
		x.n++
		at := fmt.Sprintf("at%d", x.n)
		x.owner[at] = user
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"%s","refresh_token":"rt%d","expires_in":3600}`, at, x.n)
	}
}

// config has so many credentials that are answered about, so many that are not, and so
// many that nothing is asked about.
func (x *mute) config(limit string, sound, hang, rest int) string {
	c := strings.ReplaceAll((&unwilling{}).config(limit, 0), "unwilling", "partly")
	at := strings.Index(c, "credential \"partly\"")
	c = c[:at]
	for kind, n := range map[string]int{"sound": sound, "hangs": hang, "rest": rest} {
		verify := "verify {\n    path  = \"/me\"\n    every = \"5s\"\n  }"
		if kind == "rest" {
			verify = ""
		}
		c += fmt.Sprintf(`
credential "partly" "%[1]s" {
  for_each = toset([for i in range(%[2]d) : "%[1]s${i}"])
  user     = each.key
  %[3]s
}
sink "mem" "%[1]s" {
  for_each = credential.partly.%[1]s
  place    = each.key
  content  = each.value.access_token
}
`, kind, n, verify)
	}
	return c
}

// An API that does not answer about some tokens, and takes no revocations, keeps those of
// others from nothing: that it does not honour one is noticed in time, and half of the
// places at most wait for answers that do not come.
func TestQuestionsAreNotInTheWayOfEachOther(t *testing.T) {
	for name, c := range map[string]struct {
		limit             string
		sound, hang, rest int
		top               int           // questions that are not answered, at once
		within            time.Duration // a token that is not honoured is replaced
	}{
		"default":                               {"", 40, 40, 0, 4, 20 * time.Second},
		"three at a time":                       {"concurrency = 3", 10, 10, 0, 1, 40 * time.Second},
		"two at a time":                         {"concurrency = 2", 10, 10, 0, 1, 40 * time.Second},
		"one at a time":                         {"concurrency = 1", 10, 10, 0, 1, 40 * time.Second},
		"rate limit":                            {"requests = 60\n per = \"1s\"", 40, 40, 0, 4, 20 * time.Second},
		"revocations hang":                      {"", 40, 0, 40, 0, 20 * time.Second},
		"revocations hang, two at a time":       {"concurrency = 2", 10, 0, 25, 0, 40 * time.Second},
		"revocations hang, one at a time":       {"concurrency = 1", 10, 0, 25, 0, time.Minute},
		"revocations hang, and questions do":    {"concurrency = 1", 10, 10, 25, 1, time.Minute},
		"revocations hang, and there is a rate": {"requests = 60\n per = \"1s\"", 40, 0, 100, 0, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				x := &mute{owner: map[string]string{}, dead: map[string]bool{}, asked: map[string]int{}}
				w.serveAlso(x, "partly.localhost")
				w.set(x.config(c.limit, c.sound, c.hang, c.rest))
				time.Sleep(2 * time.Second)
				w.set(x.config(c.limit, c.sound, c.hang, 0))
				time.Sleep(time.Minute)
				x.mu.Lock()
				had := map[string]string{}
				for i := range c.sound {
					place := fmt.Sprintf("sound%d", i)
					had[place] = w.places.get(place)
					x.dead[had[place]] = true
				}
				x.mu.Unlock()
				time.Sleep(c.within)
				for place, was := range had {
					if is := w.places.get(place); is == was {
						t.Fatalf("%s still holds a token that was not honoured %s ago: %+v", place, c.within, w.line(fmt.Sprintf("credential.partly.sound[%q]", place)))
					}
				}
				hung := 0
				w.pass(4*time.Minute, time.Second, func() {
					for _, l := range viewOf(w).Lanes {
						if l.Unanswered {
							hung = max(hung, l.InFlight)
						}
					}
				})
				if hung != c.top {
					t.Errorf("%d questions were not answered at once, want %d", hung, c.top)
				}
				x.mu.Lock()
				defer x.mu.Unlock()
				for i := range c.hang {
					user := fmt.Sprintf("hangs%d", i)
					if l := w.line(fmt.Sprintf("credential.partly.hangs[%q]", user)); x.asked[user] < 2 || l.State != reconcile.Ready || !strings.Contains(l.Why, "times in a row") {
						t.Fatalf("%s was asked about %d times: %+v", user, x.asked[user], l)
					}
				}
			})
		})
	}
}
