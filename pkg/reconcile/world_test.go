package reconcile_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/hooks"
	"tokend/pkg/providers"
	"tokend/pkg/providers/catalog"
	"tokend/pkg/reconcile"
	"tokend/pkg/sinks"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// world is a loop with real configurations, the real provider interpreter and
// strict stand-ins, over a network, a clock, a store and sinks that live in
// memory: days of it pass in milliseconds.
type world struct {
	opened     atomic.Int64 // how often a provider was opened
	t          *testing.T
	server     *standin.Server
	store      *state.Memory
	wrap       func(state.Store) state.Store       // what the loop sees of it instead
	parts      func(*spec.Config) []reconcile.Part // of a configuration; nil: it has none
	away       state.Store                         // of an export, against which is planned
	awayClock  func() time.Time                    // of that export
	dir        string                              // of the configuration; "": /config
	pin        string                              // the variable of that name; "": 1234
	inForce    bool                                // configurations were accepted before
	relative   bool                                // places are paths, relative to it
	loop       *reconcile.Loop
	places     *places
	kind       sinks.Sink             // of all sinks, instead of places; nil: places
	unreadable atomic.Bool            // secrets cannot be read
	values     atomic.Pointer[string] // what a secret whose block says "from-the-loop" says instead
	hung       hungSecrets            // secrets that do not answer
	unread     atomic.Pointer[string] // a snapshot that has this in it cannot be read back
	closed     atomic.Int64           // endpoints that the loop closed
	dial       func(ctx context.Context, network, address string) (net.Conn, error)
	down       atomic.Bool   // nobody can be reached
	wrong      atomic.Int64  // by how much the machine's clock is, in nanoseconds
	slept      atomic.Int64  // how long the machine has slept, in nanoseconds
	stepped    bool          // the loop goes by that clock
	booted     time.Time     // the machine; zero: an hour before the first start
	clockSet   chan struct{} // tells that the clock was set
	written    time.Time     // when the state was written last before a start
	cancel     context.CancelFunc
	ended      chan error
	log        *slog.Logger
	stands     func(place string) string // what stands at a place, whoever put it there
	mu         sync.Mutex                // of stop: endpoints are opened by workers
	stop       []func()
}

// inWorld runs a test in a bubble of its own time.
func inWorld(t *testing.T, o standin.Options, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		o.AnyAccount = true
		w := &world{t: t, server: standin.New(o), store: state.NewMemory(state.MemoryOptions{}), places: &places{held: map[string]string{}}, log: slog.New(slog.DiscardHandler)}
		if os.Getenv("TOKEND_TEST_LOG") != "" {
			w.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		w.listen()
		w.start()
		defer func() {
			w.halt()
			w.server.Close()
			for _, f := range w.stop {
				f()
			}
		}()
		test(t, w)
	})
}

// listen serves every API under a host name of its own.
func (w *world) listen() {
	conns := map[string]chan net.Conn{}
	for _, api := range standin.APIs() {
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		conns[string(api)] = l.conns
		srv := &http.Server{Handler: w.server.Handler(api)}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		w.stop = append(w.stop, func() { _ = srv.Close(); <-served })
	}
	w.dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		if w.down.Load() {
			return nil, errors.New("the network is down")
		}
		host, _, _ := net.SplitHostPort(address)
		to, ok := conns[strings.TrimSuffix(host, ".localhost")]
		if !ok {
			return nil, fmt.Errorf("no such host %s", host)
		}
		here, there := net.Pipe()
		select {
		case to <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pipes is a listener whose connections are net.Pipes, which a bubble can see
// waiting.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// opener opens endpoints by the clock of one loop: a plan against an export has another.
type opener struct {
	w   *world
	now func() time.Time
}

func (o opener) options() providers.Options {
	return providers.Options{DialContext: o.w.dial, Logger: o.w.log, Now: o.now}
}

func (w *world) atEnd(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop = append(w.stop, f)
}

func (o opener) Open(p *spec.Provider) (reconcile.Endpoint, error) {
	o.w.opened.Add(1)
	e, err := providers.NewEndpoint(p, o.options())
	if err == nil {
		o.w.atEnd(e.Close)
	}
	return closable{e, o.w}, err
}

// closable counts who is closed.
type closable struct {
	*providers.Endpoint
	w *world
}

func (c closable) Close() {
	c.w.closed.Add(1)
	c.Endpoint.Close()
}

func (o opener) Restore(b []byte) (reconcile.Endpoint, error) {
	e, err := providers.DecodeEndpoint(b, o.options())
	if err == nil {
		o.w.atEnd(e.Close)
	}
	return e, err
}

func (w *world) sinkKind() sinks.Sink {
	if w.kind != nil {
		return w.kind
	}
	return w.places
}

// start begins a loop over the store, as a process does.
func (w *world) start() { w.begin(false) }

// begin is start; a paused loop does nothing before it is told to.
func (w *world) begin(paused bool) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.ended, w.clockSet = cancel, make(chan error, 1), make(chan struct{})
	store := state.Store(w.store)
	if w.away != nil {
		store = w.away
	}
	if w.wrap != nil {
		store = w.wrap(store)
	}
	loop, err := reconcile.New(ctx, reconcile.Options{
		Store: store, Away: w.away != nil, Providers: opener{w, w.clock()}, Sources: map[string]sources.Source{"mem": secretOf{&w.unreadable, &w.values, &w.hung}}, Sinks: map[string]sinks.Sink{"mem": w.sinkKind()},
		Hooks: map[string]hooks.Hook{"mem": hookInto{w.places}}, HookDebounce: func(spec.Values) time.Duration { return time.Second },
		Snapshot: func(c *spec.Config) ([]byte, error) { return c.Sources()["main.hcl"], nil },
		LoadSnapshot: func(b []byte) (*spec.Config, error) {
			if part := w.unread.Load(); part != nil && strings.Contains(string(b), *part) {
				return nil, errors.New("it is damaged")
			}
			c, diags := spec.LoadFiles("/config", map[string][]byte{"main.hcl": b}, w.options())
			if diags.HasErrors() {
				return nil, diags
			}
			return c, nil
		},
		Stands: w.stands, Host: "host", RevokeAtEnd: true, Logger: w.log, Paused: paused, SnapshotParts: w.parts, Now: w.clock(), Uptime: w.uptime(), Written: w.written, ClockSet: w.clockSet,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.loop = loop
	go func() { w.ended <- loop.Run(ctx) }()
}

// clock is the machine's, which may be wrong; nil: it is right.
func (w *world) clock() func() time.Time {
	if w.awayClock != nil {
		return w.awayClock
	}
	if !w.stepped {
		return nil
	}
	return func() time.Time { return time.Now().Round(0).Add(time.Duration(w.wrong.Load())) }
}

// uptime is by a clock that is right and does not sleep.
func (w *world) uptime() func() (string, time.Duration) {
	if w.booted.IsZero() {
		w.booted = time.Now().Add(-time.Hour)
	}
	since, boot := w.booted, fmt.Sprintf("boot at %s", w.booted)
	return func() (string, time.Duration) { return boot, time.Since(since) + time.Duration(w.slept.Load()) }
}

// halt ends the loop as a stop does.
func (w *world) halt() {
	w.cancel()
	if err := <-w.ended; err != nil {
		w.t.Error(err)
	}
}

// crash ends the loop as a SIGKILL does: what was not on disk is lost.
func (w *world) crash() {
	w.store = w.store.Crash()
	w.halt()
	w.start()
}

func (w *world) options() spec.Options {
	text := func(name string, deferred bool) spec.Attr {
		return spec.Attr{Name: name, Type: cty.String, Required: true, Deferred: deferred}
	}
	return spec.Options{
		WasInForce: w.inForce,
		Catalog:    catalog.FS, HostName: "host", Environ: []string{"TOKEND_VAR_pin=" + cmp.Or(w.pin, "1234")},
		Sinks:   map[string]spec.Schema{"mem": {Attrs: []spec.Attr{{Name: "place", Type: cty.String, Required: true, Path: w.relative}, text("content", true)}}},
		Secrets: map[string]spec.Schema{"mem": {Attrs: []spec.Attr{text("value", false)}}},
		Hooks:   map[string]spec.Schema{"mem": {}},
	}
}

// config reads a configuration.
func (w *world) config(hcl string) *spec.Config {
	w.t.Helper()
	cfg, diags := spec.LoadFiles(cmp.Or(w.dir, "/config"), map[string][]byte{"main.hcl": []byte(hcl)}, w.options())
	if diags.HasErrors() {
		w.t.Fatal(diags)
	}
	return cfg
}

// set takes a configuration over.
func (w *world) set(hcl string) *reconcile.HeldChange {
	w.t.Helper()
	held, err := w.loop.Set(context.Background(), w.config(hcl), reconcile.SetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return held
}

// pass lets time go by, calling check every step of it.
func (w *world) pass(d, step time.Duration, check func()) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		<-time.After(step)
		if check != nil {
			check()
		}
	}
}

func (w *world) line(addr string) reconcile.Line {
	w.t.Helper()
	v, err := w.loop.Status(context.Background(), addr)
	if err != nil {
		w.t.Fatal(err)
	}
	return append(v.Credentials, append(v.Sinks, v.Hooks...)...)[0]
}

// works says whether what a place holds is a token that the API honours.
func (w *world) works(api standin.API, place string) bool {
	t, ok := w.server.Lookup(api, w.places.get(place))
	return ok && t.Alive
}

// secretOf is a kind of secret whose value stands in its block. fail lets
// reading fail.
type secretOf struct {
	fail   *atomic.Bool
	values *atomic.Pointer[string]
	hung   *hungSecrets
}

func (r secretOf) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	s, err := args.String("value")
	v := r.values.Load() // as it is when the read begins
	if err := r.hung.wait(ctx, s); err != nil {
		return cty.NilVal, err
	}
	if r.fail.Load() {
		return cty.NilVal, errors.New("it cannot be read")
	}
	if v != nil && s == "from-the-loop" {
		s = *v
	}
	return cty.StringVal(s), err
}

func (secretOf) Paths(spec.Values) []string { return nil }
