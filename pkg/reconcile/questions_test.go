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

// silent is an API whose tokens live for twenty seconds and which says nothing when it
// is asked about them.
type silent struct {
	mu                sync.Mutex
	ends              map[string]time.Time // of the tokens issued
	asked, under, top int                  // questions; under way, and most of them at once
}

func (x *silent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice who goes away
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.URL.Path == "/me" {
		x.asked++
		x.under++
		x.top = max(x.top, x.under)
		x.mu.Unlock()
		<-r.Context().Done()
		x.mu.Lock()
		x.under--
		return
	}
	n := len(x.ends)
	at := fmt.Sprintf("at%d", n)
	x.ends[at] = time.Now().Add(20 * time.Second)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"%s","refresh_token":"rt%d","expires_in":20}`, at, n)
}

// config has sixty credentials of it, each asked about every two seconds.
func (x *silent) config(limit string) string {
	c := strings.ReplaceAll((&unwilling{}).config(limit, 60), "unwilling", "silent")
	return strings.Replace(c, "  user     = each.key\n", "  user     = each.key\n  verify {\n    path  = \"/me\"\n    every = \"2s\"\n  }\n", 1)
}

// An API that never says whether it honours its tokens keeps none of them from being
// refreshed, its own no more than others: every place holds a token that lives.
func TestQuestionsAreNotInTheWayOfRefreshing(t *testing.T) {
	for name, c := range map[string]struct {
		limit string
		most  int // questions at once
	}{
		"default":         {"", 8},
		"three at a time": {"concurrency = 3", 1},
		"two at a time":   {"concurrency = 2", 1},
		"rate limit":      {"requests = 60\n per = \"1s\"", 8},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				x := &silent{ends: map[string]time.Time{}}
				w.serveAlso(x, "silent.localhost")
				w.set(x.config(c.limit))
				time.Sleep(10 * time.Second)
				w.pass(3*time.Minute, time.Second, func() {
					x.mu.Lock()
					defer x.mu.Unlock()
					for i := range 60 {
						if at := w.places.get(fmt.Sprintf("u%d", i)); !time.Now().Before(x.ends[at]) {
							t.Fatalf("u%d holds %q, which expired %s ago: %+v", i, at, time.Since(x.ends[at]), w.line(fmt.Sprintf(`credential.silent.many["u%d"]`, i)))
						}
					}
				})
				x.mu.Lock()
				if x.top > c.most || x.asked < 3 {
					t.Errorf("%d questions at once, of %d", x.top, x.asked)
				}
				x.mu.Unlock()
				v, err := w.loop.Status(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				if l := laneOf(v, "provider.silent.default"); !l.OpenSince.IsZero() {
					t.Errorf("the provider: %+v", l)
				}
				if v.Counts[reconcile.Ready] != 120 {
					t.Errorf("counts %v", v.Counts)
				}
			})
		})
	}
}

// The only credential that an API is asked about stays ready where there is no answer,
// and status says that it is not known whether its token is honoured.
func TestWhoIsNotAnsweredWhetherItsTokenIsHonouredIsToldSo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStall, Path: "/traders/me", Times: -1})
		w.set(asked(every))
		time.Sleep(90 * time.Second)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready || !strings.Contains(l.Why, "it gave no answer when it was asked last") {
			t.Errorf("status %+v", l)
		}
		w.server.ClearFaults()
		time.Sleep(2 * time.Minute)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready || l.Why != "" {
			t.Errorf("after it answers: %+v", l)
		}
	})
}
