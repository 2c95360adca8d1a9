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
// is asked about them, until it does.
type silent struct {
	answers chan struct{} // closed when it does

	mu                sync.Mutex
	ends              map[string]time.Time // of the tokens issued
	asked, under, top int                  // questions; under way, and most of them at once
}

func newSilent() *silent {
	return &silent{answers: make(chan struct{}), ends: map[string]time.Time{}}
}

func (x *silent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice who goes away
	if r.URL.Path == "/me" {
		<-time.After(time.Microsecond) // in the bubble's time: who went away before this one came is noticed by then
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.URL.Path == "/me" {
		x.asked++
		x.under++
		x.top = max(x.top, x.under)
		x.mu.Unlock()
		select {
		case <-r.Context().Done():
		case <-x.answers:
		}
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

// config has sixty credentials of it, each asked about every so often.
func (x *silent) config(limit, every string) string {
	c := strings.ReplaceAll((&unwilling{}).config(limit, 60), "unwilling", "silent")
	return strings.Replace(c, "  user     = each.key\n", fmt.Sprintf("  user     = each.key\n  verify {\n    path  = \"/me\"\n    every = %q\n  }\n", every), 1)
}

// viewOf is all that status shows.
func viewOf(w *world) reconcile.View {
	w.t.Helper()
	v, err := w.loop.Status(w.t.Context(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// notShort fails where something is said of a question that was dropped so soon that this
// says nothing.
func notShort(t *testing.T, why string) {
	t.Helper()
	_, rest, ok := strings.Cut(why, "no complete reply within ")
	if !ok {
		return
	}
	waited, err := time.ParseDuration(strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ')' })[0])
	if err != nil || waited < 2*time.Second {
		t.Fatalf("%q is told (%v)", why, err)
	}
}

// An API that never says whether it honours its tokens keeps none of them from being
// refreshed, its own no more than others: every place holds a token that lives. Status
// says of the API that it does not answer, and of nothing that it is not ready.
func TestQuestionsAreNotInTheWayOfRefreshing(t *testing.T) {
	const lane, own = "questions to provider.silent.default", "provider.silent.default"
	for name, c := range map[string]struct {
		limit, every string
		most         int // questions at once
	}{
		"default":         {"", "5s", 8},
		"more often":      {"", "2s", 8},
		"three at a time": {"concurrency = 3", "5s", 1},
		"two at a time":   {"concurrency = 2", "5s", 1},
		"one at a time":   {"concurrency = 1", "5s", 1},
		"rate limit":      {"requests = 60\n per = \"1s\"", "5s", 8},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				x := newSilent()
				w.serveAlso(x, "silent.localhost")
				w.set(x.config(c.limit, c.every))
				time.Sleep(10 * time.Second)
				silent := 0
				w.pass(3*time.Minute, time.Second, func() {
					x.mu.Lock()
					defer x.mu.Unlock()
					for i := range 60 {
						if at := w.places.get(fmt.Sprintf("u%d", i)); !time.Now().Before(x.ends[at]) {
							t.Fatalf("u%d holds %q, which expired %s ago: %+v", i, at, time.Since(x.ends[at]), w.line(fmt.Sprintf(`credential.silent.many["u%d"]`, i)))
						}
					}
					v := viewOf(w)
					if l := laneOf(v, lane); !l.OpenSince.IsZero() {
						silent++
						notShort(t, l.Why)
					}
					for _, l := range v.Credentials {
						notShort(t, l.Why)
					}
				})
				x.mu.Lock()
				if x.top > c.most || x.asked < 3 || x.asked > 100 {
					t.Errorf("%d questions at once, of %d", x.top, x.asked)
				}
				x.mu.Unlock()
				v := viewOf(w)
				if l := laneOf(v, own); !l.OpenSince.IsZero() {
					t.Errorf("the provider: %+v", l)
				}
				if l := laneOf(v, lane); silent < 120 || l.Of != own || !l.Asks || l.Concurrency != c.most || !strings.Contains(l.Why, "no complete reply within") {
					t.Errorf("said in %d of 180 seconds; the questions: %+v", silent, l)
				}
				if v.Counts[reconcile.Ready] != 120 {
					t.Errorf("counts %v", v.Counts)
				}
				close(x.answers)
				time.Sleep(30 * time.Second)
				v = viewOf(w)
				if l := laneOf(v, lane); !l.OpenSince.IsZero() {
					t.Errorf("after it answers: %+v", l)
				}
				for _, l := range v.Credentials {
					if l.Why != "" {
						t.Errorf("after it answers: %+v", l)
					}
				}
			})
		})
	}
}

// The only credential that an API is asked about stays ready where there is no answer,
// and status says since when it is not known whether its token is honoured: also of
// the tokens that come after that one.
func TestWhoIsNotAnsweredWhetherItsTokenIsHonouredIsToldSo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStall, Path: "/traders/me", Times: -1})
		w.set(asked(every))
		began := time.Now()
		var since string
		w.pass(40*time.Minute, time.Minute, func() {
			l := w.line("credential.coinify.trader")
			if time.Since(began) < 2*time.Minute {
				return
			}
			const not = "whether its API still honours its tokens is not known since "
			rest, ok := strings.CutPrefix(l.Why, not)
			if l.State != reconcile.Ready || !ok || !strings.Contains(rest, "no complete reply within ") {
				t.Fatalf("after %s: %+v", time.Since(began), l)
			}
			if at, _, _ := strings.Cut(rest, ": "); since == "" {
				since = at
			} else if at != since {
				t.Fatalf("silent since %s, and since %s after %s", since, at, time.Since(began))
			}
		})
		if n := w.server.Counts(standin.Coinify).Refreshes; n < 2 {
			t.Errorf("%d refreshes", n)
		}
		w.server.ClearFaults()
		time.Sleep(2 * time.Minute)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready || l.Why != "" {
			t.Errorf("after it answers: %+v", l)
		}
	})
}

// Who orders something of a credential does not wait for the answer to a question about
// its token.
func TestAnOrderWaitsForNoQuestion(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStall, Path: "/traders/me", Times: -1})
		w.set(asked(every))
		for w.calls(standin.Coinify, "/traders/me", 0) == 0 {
			time.Sleep(time.Second)
		}
		began := time.Now()
		if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("it waited for %s", waited)
		}
	})
}
