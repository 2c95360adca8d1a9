package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tokend/pkg/atomicfile"
	"tokend/pkg/hooks"
	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/filesink"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
	"tokend/pkg/state"
	"tokend/pkg/vault"
	"tokend/pkg/watch"
)

// engine is everything that works on a state in this process: the store, the
// loop, the Vault sessions. The daemon and the one-off commands share it.
type engine struct {
	g     *globals
	log   *slog.Logger
	loop  *reconcile.Loop
	store state.Store
	pool  *vault.Pool
	files *atomicfile.Writer
	paths *pathChanges

	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
	runErr error

	logins   logins
	hooksRan hookRuns
	mu       sync.Mutex
	pages    string          // where the daemon's pages are served, host:port; "" for nowhere
	asked    context.Context // its process's: what ends a command
	declared chan struct{}   // closed when a daemon's first configuration is in force: its pages are there before
	conf     configurationView
	mistakes string    // of the directory, when it was read last and could not be used
	readAt   time.Time // when the last reading of the directory began
	daemon   bool
	blank    string // the directory that has no state, where a plan begins with nothing
	began    started
	saidNext []string // what was said of the next start
	loading  sync.Mutex
	// followed is told of every configuration that was taken over, and of one that
	// goes on because the directory is broken, with the files in which that may be
	// mended.
	followed func(in *spec.Config, broken *brokenDirectory)
	broken   *brokenDirectory // as followed was told last
}

// engineOptions say what an engine is for.
type engineOptions struct {
	paused  bool // nothing is done before Resume
	wait    bool // for a command that holds the state at the moment
	memory  bool // there is no state yet and none shall be made: a plan
	rotates bool // a former key may seal the state still
	former  string
	untold  bool // the directory is broken: what it does not say of the state's key is as it was
	daemon  bool // its end revokes what shall not outlive it
	observe func(reconcile.Event)
}

// stateDir is where the state is.
func (g *globals) stateDir(s spec.StateSettings) string {
	return firstOf(g.state, s.Path, firstPath(g.getenv("STATE_DIRECTORY")), "/var/lib/tokend")
}

// newEngine makes an engine that has no state yet.
func (g *globals) newEngine(ctx context.Context, cfg *spec.Config, log *slog.Logger) *engine {
	e := &engine{g: g, log: log, asked: ctx, files: &atomicfile.Writer{Refuse: g.refuseOwn(cfg)}, declared: make(chan struct{}), paths: newPathChanges()}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.pool = vault.NewPool(e.vaultSettings(cfg), vaultOptions(log, g.guard, g.limit))
	return e
}

// openEngine opens the state that cfg names and a loop over it. The loop runs,
// but knows no configuration yet.
func (g *globals) openEngine(ctx context.Context, cfg *spec.Config, log *slog.Logger, o engineOptions) (*engine, error) {
	if err := g.loadPolicy(); err != nil {
		return nil, err // nothing acts without the limits that its owner set
	}
	e := g.newEngine(ctx, cfg, log)
	written := lastWritten(g.stateDir(cfg.Settings().State)) // before opening it may write
	store, err := e.openStore(ctx, cfg, o)
	if err != nil {
		e.cancel()
		return nil, err
	}
	e.store = store
	dir := cfg.Dir()
	var clockSet <-chan struct{}
	if o.daemon {
		if clockSet, err = watch.Clock(e.ctx); err != nil {
			log.Warn("that the clock is set is noticed within half a minute only", "error", err)
		}
	}
	e.loop, err = reconcile.New(ctx, reconcile.Options{
		Store: store, Providers: endpointOpener{log, g.guard, g.limit}, Sources: g.sources(e.pool, dir, log), Sinks: g.sinks(e.files, e.pool, dir),
		Hooks: g.hooks(dir, e.scrub, log), HookDebounce: hooks.Debounce, Stands: filesink.Stands, Snapshot: g.packSnapshot, SnapshotParts: g.snapshotParts, LoadSnapshot: g.unpackSnapshot,
		Host: hostName(), Logger: log, Observe: e.hooksRan.observing(o.observe), Paused: o.paused, RevokeAtEnd: o.daemon, PathsChanged: e.paths.add,
		Taken: func(*spec.Config) { e.pool.Changed() }, Revision: e.revision, Unsettled: e.unsettled, Written: cmp.Or(store.Info().Written, written),
		ClockSet: clockSet,
	})
	if err != nil {
		e.cancel()
		return nil, errors.Join(err, store.Close())
	}
	e.ended.Add(2)
	go func() {
		defer e.ended.Done()
		e.runErr = e.loop.Run(e.ctx)
	}()
	go func() {
		defer e.ended.Done()
		_ = e.pool.Run(e.ctx)
	}()
	return e, nil
}

// lastWritten is when the state in a directory was written last, as far as its file
// tells, of one that does not say so itself; zero: there is none, or that cannot be told.
func lastWritten(dir string) time.Time {
	info, err := os.Stat(filepath.Join(dir, state.FileName))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (e *engine) openStore(ctx context.Context, cfg *spec.Config, o engineOptions) (state.Store, error) {
	s := cfg.Settings().State
	dir := e.g.stateDir(s)
	if err := e.g.leftBehind(s); err != nil {
		return nil, err
	}
	if o.untold {
		s = e.g.notedKey(dir, s)
	}
	e.began.state = s
	if o.memory {
		if _, err := os.Stat(filepath.Join(dir, state.FileName)); errors.Is(err, os.ErrNotExist) {
			e.blank = dir
			return state.NewMemory(state.MemoryOptions{}), nil
		}
	}
	key, err := e.keySource(ctx, s, dir)
	if err == nil && o.rotates {
		key, err = e.withFormer(ctx, key, o.former, dir)
	}
	if err != nil {
		return nil, err
	}
	open := func() (state.Store, error) {
		return state.Open(ctx, state.Options{Dir: dir, Key: key, Logger: e.log, Holder: holderOf(e.g.command)})
	}
	store, err := open()
	if o.wait && errors.Is(err, state.ErrLocked) {
		store, err = e.waiting().open(ctx, open, err)
	}
	if err != nil {
		return nil, e.g.ownPlaceHint(fmt.Errorf("opening the state in %s: %w", dir, err), "--state DIR", e.g.state)
	}
	if e.g.guard == nil {
		e.noteKey(dir, s)
	}
	return store, nil
}

func (e *engine) keySource(ctx context.Context, s spec.StateSettings, dir string) (state.KeySource, error) {
	if e.g.guard != nil { // a state that is thrown away needs nobody's key
		s = spec.StateSettings{}
	}
	return e.namedKey(ctx, s, dir)
}

// namedKey is the source of the key that settings name, without any the generated one.
func (e *engine) namedKey(ctx context.Context, s spec.StateSettings, dir string) (state.KeySource, error) {
	switch {
	case s.KeyFile != "":
		return state.KeyFile(s.KeyFile), nil
	case s.SystemdCredential != "":
		return state.SystemdCredential(e.g.getenv("CREDENTIALS_DIRECTORY"), s.SystemdCredential), nil
	case s.Transit != nil:
		c, err := e.pool.Client(ctx, s.Transit.Vault)
		if err != nil {
			return nil, withHint(fmt.Errorf("opening the state in %s: its key is wrapped by %s/%s of %s: %w", dir, s.Transit.Mount, s.Transit.Key, s.Transit.Vault, err),
				"the state opens once that Vault answers; until then it stays as it is")
		}
		return state.TransitKey(s.Transit.Mount+"/"+s.Transit.Key, transit{vault.NewTransit(c, s.Transit.Mount, s.Transit.Key)}), nil
	}
	return state.GeneratedKeyFile(filepath.Join(dir, state.GeneratedName)), nil
}

// vaultSettings reads the settings of a vault block: from the configuration in
// force, else from the one in which what is being cleaned up was last declared.
func (e *engine) vaultSettings(first *spec.Config) vault.Resolver {
	return func(ctx context.Context, name spec.Address) (vault.Settings, error) {
		cfg := first
		if e.loop != nil && e.loop.Config() != nil {
			cfg = e.loop.Config()
		}
		if _, ok := cfg.Digest(name); !ok {
			if last := reconcile.LastConfig(ctx); last != nil {
				cfg = last
			}
		}
		b, err := cfg.Vault(name, e.secretScope(ctx, cfg))
		if err != nil {
			return vault.Settings{}, err
		}
		s, err := vault.SettingsFrom(b)
		if p := e.g.limit.current(); p != nil && err == nil {
			err = p.VaultUse(b)
		}
		return s, err
	}
}

func (e *engine) secretScope(ctx context.Context, cfg *spec.Config) spec.Scope {
	if e.loop != nil {
		return e.loop.Scope(ctx, cfg)
	}
	return reconcile.SecretScope(ctx, cfg, e.g.sources(e.pool, cfg.Dir(), e.log))
}

// scrub takes the tokens that are held, and the secrets that were read lately,
// out of a text that somebody else wrote.
func (e *engine) scrub(s string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return e.loop.Scrub(ctx, s)
}

func vaultOptions(log *slog.Logger, guard *devGuard, limit *policyGate) vault.Options {
	o := vault.Options{Logger: log, AllowServer: limit.allowVault}
	if guard != nil {
		o.DialContext = guard.dial
	}
	return o
}

// sources, sinks and hooks are the kinds, tamed in dev.
func (g *globals) sources(pool *vault.Pool, dir string, log *slog.Logger) map[string]sources.Source {
	kinds := sourceKinds(g.process, pool, dir)
	if g.guard != nil {
		kinds = g.guard.sources(kinds, log)
	}
	return g.limit.sources(kinds)
}

func (g *globals) sinks(w *atomicfile.Writer, pool *vault.Pool, dir string) map[string]sinks.Sink {
	kinds := sinkKinds(w, pool, dir)
	if g.guard != nil {
		kinds = g.guard.kinds(kinds)
	}
	return g.limit.sinks(kinds)
}

func (g *globals) hooks(dir string, scrub func(string) string, log *slog.Logger) map[string]hooks.Hook {
	kinds := hookKinds(g.process, dir, scrub)
	if g.guard != nil {
		kinds = g.guard.hooks(kinds, log)
	}
	return g.limit.hooks(kinds)
}

// endpointOpener opens providers for the loop.
type endpointOpener struct {
	log   *slog.Logger
	guard *devGuard
	limit *policyGate
}

func (o endpointOpener) options(client *spec.HTTPSettings) providers.Options {
	options := providers.Options{Logger: o.log, UserAgent: "tokend/" + version, AllowOrigin: o.limit.allowRequest(client)}
	if o.guard != nil {
		options.DialContext = o.guard.dial
	}
	return options
}

func (o endpointOpener) Open(p *spec.Provider) (reconcile.Endpoint, error) {
	return providers.NewEndpoint(p, o.options(&p.HTTP))
}

func (o endpointOpener) Restore(b []byte) (reconcile.Endpoint, error) {
	var client spec.HTTPSettings
	e, err := providers.DecodeEndpoint(b, o.options(&client))
	if err == nil {
		client = e.Provider().HTTP
	}
	return e, err
}

// Close lets work under way come to its end and closes the state.
func (e *engine) Close() error {
	e.keepHookNotes()
	e.cancel()
	ended := e.ends()
	e.ended.Wait()
	ended()
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	e.pool.Close(closing)
	e.files.Close()
	return errors.Join(e.runErr, e.store.Close())
}
