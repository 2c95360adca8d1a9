package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tokend/pkg/reconcile"
)

// Source is what the pages and metrics are made of: the loop and what is known
// of its configuration. It is asked by many goroutines at once.
type Source interface {
	// Status is how everything does, or one address when addr is set. An
	// address that is not known is a *reconcile.NotFoundError. The view is not
	// changed after it was returned.
	Status(ctx context.Context, addr string) (reconcile.View, error)
	// Progress is when the loop last turned. It must not wait for the loop.
	Progress() time.Time
	// Configuration must not wait for the loop either.
	Configuration() Configuration
}

// Configuration says how loading the configuration went.
type Configuration struct {
	Valid    bool      // the last load had no error
	LoadedAt time.Time // when the one in force was taken over; zero: none is in force
	Errors   int       // of the last load
	NotTaken bool      // the last load had none, and is not in force all the same
	Source   string    // the directory that it was read from
	Commit   string    // the one that is in force; "" where it is no checkout
	Git      *Git      // nil where no repository is followed
	Policy   string    // "" where there is no policy of the host; else [PolicyInForce] or [PolicyBroken]
}

// How the host's policy does.
const (
	PolicyInForce = "in force"
	PolicyBroken  = "broken" // its file, as it is now, cannot be used; the last one that could is in force
)

// Git is how following a repository does.
type Git struct {
	URL, Ref  string
	CheckedAt time.Time // when the remote last answered
	Failing   bool      // the newest commit is not known, or not taken
}

// StateStats is what the view does not say about the state.
type StateStats struct {
	Bytes int64  // size of its file
	Syncs uint64 // disk syncs since it was opened
}

// Options of [Handler]. Source is required.
type Options struct {
	Source   Source
	Recorder *Recorder         // nil: no call metrics
	State    func() StateStats // nil: no metrics of the state's size and syncs
	// MaxSeries is how many series of single credentials are exported at most;
	// 0: DefaultMaxSeries, negative: none.
	MaxSeries int
	// StallAfter is how long the loop may make no progress before /livez
	// fails; 0: DefaultStallAfter.
	StallAfter time.Duration
	// Hosts are the names by which the page and /readyz are asked for, besides
	// IP addresses and localhost; nil: there is no other. It is asked at every
	// request and must not wait.
	Hosts func() []string
	// Spell completes the commands in a text with the flags that lead to this
	// daemon; nil: they are shown as they are.
	Spell func(string) string
	// Callback serves the paths of which CallbackAt is true, where logins come back
	// to; nil: there are none. The paths above go before it.
	Callback   http.Handler
	CallbackAt func(path string) bool
	Version    string // of tokend
	Revision   string // the commit it was built from
	Logger     *slog.Logger
	Now        func() time.Time
}

const (
	// DefaultMaxSeries is what one scrape may bring without anybody having
	// asked for more.
	DefaultMaxSeries = 20_000
	// DefaultStallAfter is three of the loop's longest sleeps.
	DefaultStallAfter = 90 * time.Second
)

// Handler serves the pages in the package's documentation. It is safe for
// concurrent use and holds no goroutine between requests.
func Handler(o Options) http.Handler {
	if o.MaxSeries == 0 {
		o.MaxSeries = DefaultMaxSeries
	}
	if o.StallAfter <= 0 {
		o.StallAfter = DefaultStallAfter
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Spell == nil {
		o.Spell = func(text string) string { return text }
	}
	snaps := &snapshots{source: o.Source}
	h := &health{o: o, snaps: snaps, began: o.Now()}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", h.known(newPage(h)))
	mux.HandleFunc("GET /livez", h.live)
	mux.Handle("GET /readyz", h.known(http.HandlerFunc(h.ready)))
	mux.Handle("GET /readyz/{address...}", h.known(http.HandlerFunc(h.readyOne)))
	mux.Handle("GET /metrics", metricsHandler(o, snaps))
	return guarded(h.withCallback(mux))
}

// withCallback hands what no page has to where logins come back to, if that is
// there. A name that is not this host's is refused there, too.
func (h *health) withCallback(pages *http.ServeMux) http.Handler {
	if h.o.Callback == nil {
		return pages
	}
	callback := h.known(h.o.Callback)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Reserved(r.URL.Path) && h.o.CallbackAt(r.URL.Path) {
			callback.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// Reserved reports whether a path is one of the pages', so that no login may come back
// to it. No path at all is the root's.
func Reserved(path string) bool {
	switch path {
	case "", "/", "/livez", "/readyz", "/metrics":
		return true
	}
	return strings.HasPrefix(path, "/readyz/")
}

// guarded sets on every answer, errors and redirects too, what keeps browsers
// from guessing at it, storing it or showing it inside another page.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}
