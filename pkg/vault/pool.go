package vault

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"tokend/pkg/spec"
)

// Resolver reads the settings of a `vault` block from the configuration in
// force, secrets included. It is asked when a session is needed that is not
// there, and after [Pool.Changed]; never while a session is merely used. It
// must be safe for concurrent use.
type Resolver func(ctx context.Context, name spec.Address) (Settings, error)

// Options of a [Pool]. The zero value works.
type Options struct {
	Logger *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
	// DialContext replaces net.Dialer's, for tests that have no network.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// AllowServer, when set, says why a server (scheme://host:port) must not be
	// asked, in a namespace and under a name in its certificate, that another one
	// sends a request on to, as a standby does; nil: it may.
	AllowServer func(address, namespace, serverName string) error
}

// Pool keeps one session for each `vault` block. It is safe for concurrent use.
type Pool struct {
	resolve Resolver
	log     *slog.Logger
	now     func() time.Time
	dial    dialFunc
	allow   func(address, namespace, serverName string) error
	wake    chan struct{} // of capacity 1: Run looks at the due times again

	mu      sync.Mutex
	entries map[spec.Address]*entry
	giving  sync.WaitGroup // tokens being given up
}

// allowedFor is AllowServer for requests by some settings.
func (p *Pool) allowedFor(s Settings) func(address string) error {
	if p.allow == nil {
		return nil
	}
	return func(address string) error { return p.allow(address, s.Namespace, s.TLSServerName) }
}

// NewPool makes an empty pool. It contacts nobody.
func NewPool(r Resolver, o Options) *Pool {
	p := &Pool{resolve: r, log: o.Logger, dial: dialFunc(o.DialContext), allow: o.AllowServer, wake: make(chan struct{}, 1), entries: map[spec.Address]*entry{}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	// Without the monotonic reading, which stands still while the machine is
	// suspended: a token's lifetime does not.
	p.now = func() time.Time { return now().Round(0) }
	return p
}

// Client returns a client for the named block, logged in. It may be kept: it
// always uses the session, and the settings, that are in force.
func (p *Pool) Client(ctx context.Context, name spec.Address) (*Client, error) {
	e := p.entry(name)
	if _, err := e.session(ctx); err != nil {
		return nil, err
	}
	return &Client{entry: e}, nil
}

// Changed says that the configuration, or a secret that it names, may have
// changed: settings are read again at the next use (of all blocks, when no name
// is given), and a login that was refused may be tried once more at once. A
// session whose settings turn out to be the same is kept.
func (p *Pool) Changed(names ...spec.Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, e := range p.entries {
		if len(names) == 0 || slices.Contains(names, name) {
			e.changed()
		}
	}
}

// Status is what is known of one block's session.
type Status struct {
	Name    spec.Address
	Address string
	Auth    string    // kind of login
	Since   time.Time // when it logged in; zero: there is no session
	Expires time.Time // of its token; zero: never
	Due     time.Time // when it will be renewed
	Err     error     // why the last login failed; nil when it did not
}

// Status lists the blocks that were used, sorted by name.
func (p *Pool) Status() []Status {
	var out []Status
	for _, e := range p.all() {
		out = append(out, e.status())
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// Close gives up the tokens that the pool obtained itself, as far as Vault can
// be reached before ctx ends, and closes idle connections. Tokens that somebody
// else made are left alone. The pool must not be used afterwards.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	entries := slices.Collect(maps.Values(p.entries))
	p.entries = map[spec.Address]*entry{}
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, e := range entries {
		wg.Go(func() { e.close(ctx) })
	}
	wg.Wait()
	p.giving.Wait()
}

func (p *Pool) entry(name spec.Address) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.entries[name]
	if !ok {
		e = &entry{pool: p, name: name, stale: true}
		p.entries[name] = e
	}
	return e
}

func (p *Pool) all() []*entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.entries))
}

// poke lets Run look at the due times again.
func (p *Pool) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
