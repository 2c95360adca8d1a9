package reconcile_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// counted is a provider that says when it was asked for a device code, and takes
// its time.
type counted struct {
	mu     sync.Mutex
	at     []time.Time
	most   int // at once
	now    int
	takes  time.Duration
	status int
}

func (c *counted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	c.at = append(c.at, time.Now())
	c.now++
	c.most = max(c.most, c.now)
	takes, status := c.takes, c.status
	c.mu.Unlock()
	<-time.After(takes)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	_, _ = w.Write([]byte(`{"device_code":"d","user_code":"u","verification_uri":"http://tv.localhost/"}`))
}

func (c *counted) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.at)
}

func (c *counted) becomes(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// manyScreens is six credentials that a person logs in to by a device code.
func manyScreens(limit string) string {
	return strings.NewReplacer("http://oauth2.localhost", "http://tv.localhost", `provider "tv" { allow_insecure_http = true }`, "provider \"tv\" {\n  allow_insecure_http = true\n"+limit+"\n}",
		`credential "tv" "a" { client_id = "a" }`, "credential \"tv\" \"a\" {\n  count     = 6\n  client_id = \"a${count.index}\"\n}").Replace(byDevice)
}

// asksFor asks for a device code, as a login does that begins.
func (w *world) asksFor(ctx context.Context, addr string) error {
	ep, call, want, err := w.loop.LoginCall(ctx, addr)
	if err != nil {
		return err
	}
	call.Op = providers.OpDevice
	return w.loop.Ask(ctx, want, ep, call, func(r *providers.Reply) error {
		if r.Status == http.StatusOK {
			return nil
		}
		return &providers.Error{Op: call.Op, Class: providers.ClassUnknown, Status: r.Status, Reached: true}
	})
}

func screen(i int) string { return "credential.tv.a[" + string(rune('0'+i)) + "]" }

// The requests with which logins begin keep to their provider's limits, as any.
func TestARequestForACodeKeepsToTheLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limit string
		over  time.Duration // the least time between the first and the last
		most  int
	}{
		"no limit":    {"", 0, 6},
		"rate":        {"rate_limit {\n  requests = 1\n  per = \"10s\"\n}", 50 * time.Second, 6},
		"concurrency": {"rate_limit { concurrency = 2 }", 2 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				tv := &counted{takes: time.Second}
				w.serveAlso(tv, "tv.localhost")
				w.set(manyScreens(c.limit))
				var all sync.WaitGroup
				for i := range 6 {
					all.Go(func() {
						if err := w.asksFor(t.Context(), screen(i)); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if over := tv.at[len(tv.at)-1].Sub(tv.at[0]); len(tv.at) != 6 || over < c.over || tv.most > c.most || c.limit == "" && tv.most != 6 {
					t.Errorf("%d requests over %s, %d at once", len(tv.at), over, tv.most)
				}
				v, err := w.loop.Status(t.Context(), "")
				if lane := laneOf(v, "provider.tv.default"); err != nil || lane.Running != 0 || lane.InFlight != 0 {
					t.Errorf("it leaves behind %+v (%v)", lane, err)
				}
			})
		})
	}
}

// Who gives up while the request waits for its turn has it not sent, and one that is
// cut short says nothing of its provider; nor does either keep others waiting.
func TestARequestForACodeThatIsGivenUp(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		tv := &counted{takes: 10 * time.Second}
		w.serveAlso(tv, "tv.localhost")
		w.set(manyScreens("rate_limit { concurrency = 1 }"))
		ctx, giveUp := context.WithCancel(t.Context())
		said := make(chan error, 4)
		for i := range 4 {
			go func() { said <- w.asksFor(ctx, screen(i)) }()
		}
		synctest.Wait()
		giveUp()
		for range 4 {
			if err := <-said; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if n := tv.asked(); n != 1 {
			t.Errorf("%d requests were sent", n)
		}
		v, err := w.loop.Status(t.Context(), "")
		if lane := laneOf(v, "provider.tv.default"); err != nil || lane.Running != 0 || lane.InFlight != 0 || !lane.OpenSince.IsZero() {
			t.Errorf("it leaves behind %+v (%v)", lane, err)
		}
		if err := w.asksFor(t.Context(), screen(0)); err != nil {
			t.Error(err)
		}
		go func() { said <- w.asksFor(t.Context(), screen(0)) }()
		synctest.Wait()
		w.halt()
		if err := <-said; !errors.Is(err, reconcile.ErrClosed) {
			t.Errorf("when tokend stops: %v", err)
		}
		w.start()
	})
}

// What such a request comes to counts for its provider's breaker, and one is let
// through by an open one, since a person waits.
func TestARequestForACodeAndTheBreaker(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		tv := &counted{status: http.StatusBadGateway}
		w.serveAlso(tv, "tv.localhost")
		w.set(manyScreens(""))
		open := func() bool {
			v, err := w.loop.Status(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			return !laneOf(v, "provider.tv.default").OpenSince.IsZero()
		}
		for i := range 4 {
			if i < 3 && open() {
				t.Fatalf("it opened after %d failures", i)
			}
			if err := w.asksFor(t.Context(), screen(i)); err == nil {
				t.Fatal("it did not fail")
			}
		}
		if !open() || tv.asked() != 4 {
			t.Errorf("open %v after %d requests", open(), tv.asked())
		}
		tv.becomes(0)
		if err := w.asksFor(t.Context(), screen(5)); err != nil || open() {
			t.Errorf("it is answered (%v), and open: %v", err, open())
		}
	})
}
