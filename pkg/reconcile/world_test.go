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
	"slices"
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
	unread     atomic.Pointer[string] // a snapshot that has this in it cannot be read back
	closed     atomic.Int64           // endpoints that the loop closed
	dial       func(ctx context.Context, network, address string) (net.Conn, error)
	down       atomic.Bool   // nobody can be reached
	wrong      atomic.Int64  // by how much the machine's clock is, in nanoseconds
	slept      atomic.Int64  // how long the machine has slept, in nanoseconds
	stepped    bool          // the loop goes by that clock
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
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

type opener struct{ w *world }

func (o opener) options() providers.Options {
	return providers.Options{DialContext: o.w.dial, Logger: o.w.log, Now: o.w.clock()}
}

func (w *world) atEnd(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop = append(w.stop, f)
}

func (o opener) Open(p *spec.Provider) (reconcile.Endpoint, error) {
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
		Store: store, Away: w.away != nil, Providers: opener{w}, Sources: map[string]sources.Source{"mem": secretOf{&w.unreadable, &w.values}}, Sinks: map[string]sinks.Sink{"mem": w.sinkKind()},
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

// uptime is by a clock that is right and does not sleep; nil: the kernel's.
func (w *world) uptime() func() (string, time.Duration) {
	if !w.stepped {
		return nil
	}
	since := time.Now().Add(-time.Hour)
	return func() (string, time.Duration) { return "a boot", time.Since(since) + time.Duration(w.slept.Load()) }
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
}

func (r secretOf) Read(_ context.Context, args spec.Values) (cty.Value, error) {
	if r.fail.Load() {
		return cty.NilVal, errors.New("it cannot be read")
	}
	s, err := args.String("value")
	if v := r.values.Load(); v != nil && s == "from-the-loop" {
		s = *v
	}
	return cty.StringVal(s), err
}
func (secretOf) Paths(spec.Values) []string { return nil }

// places is a kind of sink whose places are in memory, and a log of what
// happened to them.
type places struct {
	mu    sync.Mutex
	held  map[string]string
	log   []string
	block chan struct{} // not nil: writes wait
	stuck string        // the only place, or the sink of the hook, that waits for block; "": all places
	fail  error
	marks map[string]sinks.Mark
	tells atomic.Bool   // it is said whether a place is as it was left
	keeps string        // a place that cannot be cleaned
	slow  time.Duration // how long a hook takes
	deaf  error         // what hooks fail with
	// checking is called before a place is compared; nil: nothing is.
	checking func()
	// broken keeps places from being rendered.
	broken error
}

// failWith has writes, removals and hooks fail, breakWith rendering; nil mends it.
func (p *places) failWith(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

func (p *places) breakWith(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}

// failHooks has hooks fail, and nothing else.
func (p *places) failHooks(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = err
}

func (p *places) deafness() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaf
}

// blockBy has writes wait for a channel from now on.
func (p *places) blockBy(c chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.block = c
}

func (p *places) blocked() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.block
}

// stick keeps a place from being cleaned; "" mends it.
func (p *places) stick(place string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeps = place
}

func (p *places) sticks(place string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return place == p.keeps
}

func (p *places) failing() (fail, broken error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fail, p.broken
}

func (p *places) get(place string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[place]
}

func (p *places) events() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, " ")
}

func (p *places) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

func (p *places) Render(args spec.Values) (sinks.Desired, error) {
	place, err := args.String("place")
	if err != nil {
		return sinks.Desired{}, err
	}
	if _, broken := p.failing(); broken != nil {
		return sinks.Desired{Place: "mem:" + place}, broken
	}
	content, err := args.Secret("content")
	if err != nil || !args.Cty("content").IsKnown() {
		return sinks.Desired{Place: "mem:" + place}, sinks.ErrUnknown
	}
	return sinks.Desired{Place: "mem:" + place, Content: content.Reveal()}, nil
}

func (p *places) Check(_ context.Context, d sinks.Desired, _ []byte) (string, error) {
	p.mu.Lock()
	mark, marked := p.marks[d.Place]
	checking := p.checking
	p.mu.Unlock()
	if checking != nil {
		checking()
	}
	if marked && d.Found != nil {
		d.Found(mark)
	}
	if got := p.get(d.Place[len("mem:"):]); got != d.Content.(string) {
		return "content differs", nil
	}
	return "", nil
}

func (p *places) Write(ctx context.Context, d sinks.Desired, _ []byte) ([]byte, error) {
	if block := p.blocked(); block != nil && (p.stuck == "" || "mem:"+p.stuck == d.Place) {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail, _ := p.failing(); fail != nil {
		return nil, fail
	}
	place := d.Place[len("mem:"):]
	p.note("write:%s", place)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[place] = d.Content.(string)
	if p.marks == nil {
		p.marks = map[string]sinks.Mark{}
	}
	p.marks[d.Place] = d.Mark
	return p.Intend(d)
}

func (p *places) Wrote(d sinks.Desired, written []byte) bool {
	if d.Content == nil {
		return false
	}
	account, err := p.Intend(d)
	return err == nil && string(account) == string(written)
}

func (p *places) Portray(d sinks.Desired, _ []byte, hash func([]byte) string) (sinks.Portrait, error) {
	content, known := d.Content.(string)
	if !known {
		return sinks.Portrait{}, sinks.ErrUnknown
	}
	return sinks.Portrait{Content: hash([]byte(content))}, nil
}

// Intend is the account of a write too: the place and its content.
func (p *places) Intend(d sinks.Desired) ([]byte, error) {
	return []byte(d.Place[len("mem:"):] + " " + d.Content.(string)), nil
}

func (p *places) Remove(_ context.Context, written []byte) error {
	if fail, _ := p.failing(); fail != nil {
		return fail
	}
	place, intended, only := strings.Cut(string(written), " ")
	if p.sticks(place) {
		return errors.New("it cannot be cleaned")
	}
	if held := p.get(place); only && held != intended {
		if held == "" {
			return nil
		}
		return sinks.ErrForeign
	}
	p.note("remove:%s", place)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, place)
	return nil
}

func (p *places) Paths([]byte) []string { return nil }

// Intact says nothing but in a test that has it tell.
func (p *places) Intact(_ context.Context, written []byte) (sinks.Seen, bool) {
	place, content, _ := strings.Cut(string(written), " ")
	return sinks.Seen{}, p.tells.Load() && p.get(place) == content
}

// hookInto is a kind of hook that writes into the log of the places.
type hookInto struct{ p *places }

func (h hookInto) Run(ctx context.Context, _ spec.Values, changed []spec.Address) error {
	if block := h.p.blocked(); block != nil && slices.Contains(changed, spec.Address(h.p.stuck)) {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail, _ := h.p.failing(); fail != nil {
		return fail
	}
	if err := h.p.deafness(); err != nil {
		return err
	}
	if h.p.slow > 0 {
		<-time.After(h.p.slow)
	}
	h.p.note("hook:%d", len(changed))
	return nil
}

// forge puts something into a place, as somebody else would.
func (p *places) forge(place, content string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[place] = content
}

// overwrite has somebody else write to places, where there is something.
func (p *places) overwrite(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		if _, ok := p.held[n]; ok {
			p.held[n] = "somebody else's"
		}
	}
}
