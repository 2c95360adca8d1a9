package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// noon is when the tests happen.
func noon() time.Time { return time.Date(2026, 10, 12, 12, 0, 0, 0, time.UTC) }

// fakeSource is a loop that is in whatever state a test says.
type fakeSource struct {
	mu     sync.Mutex
	view   reconcile.View
	err    error
	config Configuration
	turned time.Time
	asked  atomic.Int64
	// status, when set, answers instead of view and err.
	status func(context.Context, string) (reconcile.View, error)
}

// healthy is a source with two credentials, a sink and a hook that are ready.
func healthy() *fakeSource {
	return &fakeSource{
		turned: noon().Add(-time.Second),
		config: Configuration{Valid: true, LoadedAt: noon().Add(-time.Hour), Source: "/etc/tokend"},
		view: reconcile.View{
			Now: noon(), Ready: true, FirstPass: true,
			Credentials: []reconcile.Line{
				{
					Address: `credential.coinify.trader["alice"]`, Type: "coinify", State: reconcile.Ready, Generation: 7,
					ExpiresAt: noon().Add(time.Hour), Next: "refresh", NextAt: noon().Add(40 * time.Minute),
				},
				{Address: "credential.apirone.key", Type: "apirone", State: reconcile.Ready, Generation: 1},
			},
			Sinks: []reconcile.Line{{Address: `sink.file.trader["alice"]`, Type: "file", State: reconcile.Ready, Place: "/run/tokend/alice.token"}},
			Hooks: []reconcile.Line{{Address: "hook.exec.nginx", Type: "exec", State: reconcile.Ready}},
			Store: reconcile.StoreView{Path: "/var/lib/tokend/state.db", Serial: 42, Records: 3, CommitSeconds: 0.25},
		},
	}
}

func (f *fakeSource) Status(ctx context.Context, addr string) (reconcile.View, error) {
	f.asked.Add(1)
	if f.status != nil {
		return f.status(ctx, addr)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || addr == "" {
		return f.view, f.err
	}
	v, found := f.view, false
	keep := func(lines []reconcile.Line) (kept []reconcile.Line) {
		for _, l := range lines {
			if l.Address == addr {
				kept, found = append(kept, l), true
			}
		}
		return kept
	}
	v.Credentials, v.Sinks, v.Hooks = keep(v.Credentials), keep(v.Sinks), keep(v.Hooks)
	if !found {
		return v, &reconcile.NotFoundError{Address: addr}
	}
	return v, nil
}

func (f *fakeSource) Progress() time.Time { return f.turned }

func (f *fakeSource) Configuration() Configuration { return f.config }

// failing makes the first credential fail.
func (f *fakeSource) failing() *fakeSource {
	l := &f.view.Credentials[0]
	l.State, l.Since, l.Why = reconcile.Failing, noon().Add(-5*time.Minute), "the API answered 503"
	l.Next, l.Mend = "tried again at 2026-10-12T12:01:00Z", `tokend retry 'coinify.trader["alice"]'`
	f.view.Ready = false
	return f
}

func handlerOf(src Source) http.Handler {
	return Handler(Options{Source: src, Version: "0.1.0", Revision: "abc123", Now: noon})
}

// get asks h for a path; headers are names and values by turns.
func get(t *testing.T, h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Host = "127.0.0.1:8250"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }
