package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/atomicfile"
	"tokend/pkg/control"
	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
	"tokend/pkg/state"
	"tokend/pkg/watch"
	"tokend/pkg/web"
)

const runHelp = `Runs the daemon: it reads the configuration, obtains what is missing, keeps it
fresh, delivers it, puts right what somebody else changed, and follows the
configuration as it changes. A broken configuration changes nothing: the last
good one stays in force, and "tokend status" says what is wrong with the new.

With --git it follows a repository by itself: it asks the remote again and
again, takes a commit only whole, and only signed by one of the allowed signers
where --verify-signatures names them; whatever goes wrong, the last good commit
stays in force. Relative paths are relative to the checkout.

With --policy (or /etc/tokend-policy.hcl, when it is there) a file that who
changes the configuration cannot reach limits what a configuration may do: which
commands, paths, owners, servers. What it forbids is an error of the
configuration.

SIGHUP reads the configuration anew. SIGTERM and SIGINT end it cleanly: calls
that are under way are brought to their end and recorded.

Under systemd it reports READY after its first pass, says how it does in
STATUS=, and feeds the watchdog by the loop's own progress.

The log goes to standard error: text on a terminal, else an object of JSON a line,
mistakes of the configuration among them, each with its file and line. Only what
it ends by is said as "error:" and "hint:", in the last lines.

Exit status: 0 stopped as asked, 1 could not start.`

func runCommand(g *globals) *cobra.Command {
	var git gitFlags
	c := &cobra.Command{Use: "run", Short: "run the daemon", Long: runHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		log, err := g.logger()
		if err != nil {
			return err
		}
		if g.logged != nil {
			g.records = log
		}
		stop, err := g.followGit(c.Context(), log, git)
		if err != nil {
			return err
		}
		defer stop()
		if err := g.loadPolicy(); err != nil {
			return err
		}
		return g.daemonOrNewer(c.Context(), log)
	}}
	git.register(c)
	g.policyFlag(c)
	return c
}

// daemonOptions are what `dev` does differently.
type daemonOptions struct {
	dev     bool
	started func(*engine) // called once the first configuration is in force
}

// daemon runs until ctx ends.
func (g *globals) daemon(ctx context.Context, log *slog.Logger, o daemonOptions) error {
	hup := make(chan os.Signal, 1) // from the first moment: its default would end the process
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	collector := newMemory(g.process)
	begun := collector.begin()
	defer begun()
	metrics := web.NewRecorder(time.Now)
	g.served = true // by this process
	e, cfg, err := g.start(ctx, log, metrics, collector)
	if errors.Is(err, state.ErrLocked) && ctx.Err() != nil {
		return nil // told to stop while it waited for the state
	}
	if err != nil {
		return err
	}
	e.daemon = true
	if s, ok := e.store.(interface{ Trim() }); ok {
		collector.opened(s.Trim)
	}
	d := &service{engine: e, opening: newOpening(), metrics: metrics, notify: newNotifier(log), memory: collector, begun: begun, options: o, hup: hup}
	err = d.run(ctx, cfg)
	if ctx.Err() != nil {
		err = ignoreCanceled(err) // told to stop before it had begun
	}
	return errors.Join(err, e.Close())
}

// start opens the engine with the configuration to begin with: the directory's,
// or, when that is broken, the one that was last in force, which the state
// keeps.
func (g *globals) start(ctx context.Context, log *slog.Logger, metrics *web.Recorder, m *memory) (*engine, *spec.Config, error) {
	began := time.Now()
	cfg, diags := g.read(nil)
	m.handBack()
	if err := g.alone(ctx); err != nil {
		return nil, nil, err
	}
	if !diags.HasErrors() {
		credentials, sinks := cfg.Counts()
		if err := g.portFree(ctx, cfg.Settings()); err != nil {
			return nil, nil, err
		}
		log.Info("configuration read", append([]any{"directory", cfg.Dir(), "credentials", credentials, "sinks", sinks}, commitAttr(cfg.Revision())...)...)
		e, err := g.openEngine(ctx, cfg, log, engineOptions{observe: metrics.Observe, wait: true, daemon: true})
		if err != nil {
			g.unserved()
			return nil, nil, err
		}
		e.conf = configurationView{Directory: cfg.Dir(), Valid: true, LoadedAt: time.Now(), Commit: cfg.Revision()}
		e.wasRead(began)
		return e, cfg, nil
	}
	e, last, err := g.lastInForce(ctx, log, diags, engineOptions{observe: metrics.Observe, wait: true, daemon: true})
	if err != nil {
		g.unserved()
		return nil, nil, err
	}
	e.wasRead(began)
	log.Error("the configuration is broken; the one that was last in force goes on", "directory", last.Dir(), "error", e.conf.Errors[0])
	e.vouch(ctx)
	return e, last, nil
}

// unserved: no daemon will answer, so that a command which is told works on the state by
// itself.
func (g *globals) unserved() { g.asked, g.served = true, false }

// beginHint is what to do where there is nothing to begin with.
func (g *globals) beginHint() string {
	if g.noPath {
		return "check --path: it is a directory of the repository, named from its root"
	}
	if g.git != nil && g.git.Commit() == "" && g.signers != "" && strings.Contains(g.git.Status().Error, g.signers) {
		return "the file of --verify-signatures has to be there, with the key that the newest commit is signed by (ALLOWED SIGNERS in ssh-keygen(1)): see to it, or push a commit that one of its keys signs, and start again"
	}
	if g.git != nil && g.git.Commit() == "" {
		return "check --git and --ref, and that this host reaches the repository (git ls-remote URL), then start again"
	}
	if g.git != nil {
		return "mend what is marked above in the repository, push that, and start again"
	}
	return "mend what is marked above and start again"
}

// lastInForce opens the engine with the configuration that the state keeps as
// the one that was last in force, since the directory's is broken.
func (g *globals) lastInForce(ctx context.Context, log *slog.Logger, diags spec.Diagnostics, o engineOptions) (*engine, *spec.Config, error) {
	why := countOf(errorCount(diags), "error")
	if g.git != nil && g.git.Commit() == "" {
		why = g.git.Status().Error
	}
	broken := withHint(fmt.Errorf("%s cannot be used, and there is no configuration to go on with: %s", g.config, cmp.Or(why, noCommitSummary)),
		"%s", g.beginHint())
	empty, more := spec.RescueState(g.config, g.specOptions(), g.allowsState)
	if more.HasErrors() {
		g.printDiagnostics(diags)
		return nil, nil, broken
	}
	if _, err := os.Stat(filepath.Join(g.stateDir(empty.Settings().State), state.FileName)); err != nil {
		g.printDiagnostics(diags)
		return nil, nil, broken
	}
	o.untold = true
	e, err := g.openEngine(ctx, empty, log, o)
	if o.paused && errors.Is(err, state.ErrLocked) {
		return nil, nil, err // a daemon that holds it answers by its own configuration, in a moment
	}
	g.printDiagnostics(diags)
	if err != nil {
		return nil, nil, errors.Join(broken, err)
	}
	last, err := e.loop.Accepted(ctx)
	if err != nil && !errors.Is(err, reconcile.ErrNoneAccepted) {
		broken = withHint(fmt.Errorf("%s cannot be used, and what was last in force cannot be gone on with: %w", g.config, err), "%s", g.beginHint())
	}
	if err != nil {
		return nil, nil, errors.Join(broken, e.Close())
	}
	e.mistakes = mistakesOf(diags)
	e.conf = configurationView{Directory: last.Dir(), LoadedAt: time.Now(), Since: time.Now(), Errors: g.diagnosticLines(diags), Commit: last.Revision()}
	return e, last, nil
}

// service is an engine that follows its directory and answers.
type service struct {
	*engine
	metrics  *web.Recorder
	notify   *notifier
	memory   *memory
	begun    func() // ends what watches over the memory while it begins
	watcher  *watch.Watcher
	options  daemonOptions
	swept    bool
	hup      chan os.Signal
	settling settling
	exposed  exposed
	opening  *opening
}

// Names of the groups of paths that are watched.
const (
	groupConfig  = "configuration"
	groupSecrets = "secrets"
	groupServers = "servers" // the certificates by which servers are asked
	groupSinks   = "sinks"
	groupPolicy  = "policy"
)

func (d *service) run(ctx context.Context, cfg *spec.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := control.Listen(d.g.control)
	if err != nil {
		return d.g.ownPlaceHint(err, "--control PATH", "")
	}
	defer ln.Close()
	serving := make(chan error, 2)
	servers := 0
	d.begins(cfg.Settings().Listen)
	if addr := d.g.listens(cfg.Settings().Listen); addr != "" {
		pages, err := web.Listen(ctx, addr) // a port that is taken is noticed before anything is asked or written
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.pages = pages.Addr().String()
		d.mu.Unlock()
		h := web.Handler(web.Options{Source: webSource{d}, Recorder: d.metrics, Version: version, Logger: d.log, State: d.stats, Spell: d.g.spell, Hosts: func() []string { return d.pageHosts(cfg) },
			Callback: d.callback(), CallbackAt: d.callbackAt})
		go func() { serving <- web.ServeListener(ctx, pages, h, d.log) }()
		servers++
	}
	d.watcher = watch.New(watch.Options{Logger: d.log})
	defer d.watcher.Close()
	d.followed = d.watch
	d.watcher.Set(watch.Group{Name: groupSinks, Quiet: 20 * time.Millisecond})
	if d.g.limit != nil {
		d.watcher.Set(watch.Group{Name: groupPolicy, Paths: []string{d.g.policyWatched()}, Quiet: 50 * time.Millisecond, MaxDelay: 500 * time.Millisecond})
	}
	d.watch(cfg, nil)
	go func() { serving <- control.Serve(ctx, ln, d.answers(), d.log) }()
	servers++
	if err := d.takesFirst(ctx, cfg); err != nil {
		cancel()
		for range servers {
			<-serving
		}
		return err
	}
	close(d.declared)
	d.resumeLogins()
	close(d.opening.over)
	// What changed between the reading and the watching was seen by nobody.
	d.repolicy(ctx)
	d.whenWhole(ctx, time.Time{})
	if d.options.started != nil {
		d.options.started(d.engine)
	}
	err = d.follow(ctx, serving)
	cancel()
	d.notify.stopping()
	for range servers {
		err = errors.Join(err, ignoreCanceled(<-serving))
	}
	return err
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// follow takes what happens, one thing at a time, until ctx ends.
func (d *service) follow(ctx context.Context, serving chan error) error {
	d.begun()
	look := time.NewTicker(d.notify.interval())
	defer look.Stop()
	for {
		select {
		case t, ok := <-d.watcher.C():
			if ok {
				d.ticked(ctx, t)
			}
		case <-d.settling.look:
			d.whenWhole(ctx, d.settling.last)
		case <-d.hup:
			if d.options.dev {
				return nil // its terminal is gone
			}
			d.notify.reloading()
			if d.g.git != nil {
				d.g.git.Poke()
			}
			d.repolicy(ctx)
			_ = d.tryReload(ctx, reloadOptions{asked: true}) // which is in the log
			d.pool.Changed()
			d.touched(ctx, nil, true)
			d.notify.reloaded()
		case <-d.paths.changed:
			add, remove := d.paths.take()
			d.watcher.Remove(groupSinks, remove...)
			d.watcher.Add(groupSinks, add...)
			d.touched(ctx, add, false) // what changed between the look at it and this watch, nobody tells of
		case <-look.C:
			d.look(ctx)
		case err := <-serving:
			serving <- nil
			if ctx.Err() == nil {
				return fmt.Errorf("serving: %w", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *service) ticked(ctx context.Context, t watch.Tick) {
	switch t.Group {
	case groupConfig:
		d.whenWhole(ctx, t.At)
	case groupPolicy:
		d.repolicy(ctx)
	case groupSecrets:
		d.pool.Changed()
		d.touched(ctx, nil, true)
	case groupServers:
		d.askAnew(ctx)
	case groupSinks:
		paths := t.Paths
		if paths == nil {
			var err error
			if paths, err = d.loop.SinkPaths(ctx); err != nil {
				return
			}
		}
		d.touched(ctx, paths, false)
	}
}

func (d *service) touched(ctx context.Context, paths []string, secrets bool) {
	if err := d.loop.Touched(ctx, paths, secrets); err != nil && ctx.Err() == nil {
		d.log.Error("looking at what changed", "error", err)
	}
}

// takeAgain is when a configuration is tried again that has no mistakes and could
// not be taken over, as when the disk takes no record of it.
const takeAgain = 5 * time.Second

// tryReload reloads, and says in the log what is wrong.
func (d *service) tryReload(ctx context.Context, o reloadOptions) error {
	d.memory.stir(time.Now())
	err := d.reloadBy(ctx, o)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errHalf) {
		mistaken := (*configError)(nil)
		is := errors.As(err, &mistaken)
		if !is || !mistaken.told {
			d.log.Error("the new configuration is not taken over; the last good one stays in force", "error", err)
		}
		if !is {
			d.settling.last, d.settling.look = o.Changed, time.After(takeAgain)
		}
	}
	return err
}

// look tells systemd how it does and keeps the watch on what sinks wrote.
func (d *service) look(ctx context.Context) {
	d.memory.look(time.Now())
	d.notify.progress(d.loop.Progress())
	v, err := d.loop.Status(ctx, noAddress)
	if err == nil {
		if v.FirstPass && !d.swept {
			d.swept = true
			go d.sweep(ctx)
		}
		d.notify.status(v, d.configuration())
	}
	d.mu.Lock()
	d.conf.Watching = d.watcher.Degraded()
	d.mu.Unlock()
}

// sweep removes what a kill in the middle of a write left beside the files that
// sinks wrote: it holds a token.
func (d *service) sweep(ctx context.Context) {
	paths, err := d.loop.SinkPaths(ctx)
	if err != nil {
		return
	}
	dirs := map[string]bool{}
	for _, p := range paths {
		dirs[filepath.Dir(p)] = true
	}
	for dir := range dirs {
		left, err := atomicfile.Sweep(dir)
		if err != nil {
			d.log.Warn("sweeping left-over files", "directory", dir, "error", err)
		}
		if len(left) > 0 {
			d.log.Info("removed files that a kill had left half written", "directory", dir, "files", len(left))
		}
	}
}

// watch watches what a configuration was read from and what its secrets are
// read from; and where the directory is broken, what else it was to be read from.
// Such a one may also be mended by a mode that lets its files be read.
func (d *service) watch(cfg *spec.Config, broken *brokenDirectory) {
	paths := append([]string{cfg.Dir()}, cfg.Reads()...)
	if broken != nil {
		paths = append(paths, broken.tried...)
	}
	secrets := d.loop.SecretPaths(cfg)
	d.exposed.look(d.log, secrets)
	d.watcher.Set(
		watch.Group{Name: groupConfig, Paths: paths, IgnoreChmod: broken == nil, Quiet: configQuiet, MaxDelay: configMaxDelay},
		watch.Group{Name: groupSecrets, Paths: secrets, Quiet: 50 * time.Millisecond},
		watch.Group{Name: groupServers, Paths: cfg.AskingFiles(), Quiet: 50 * time.Millisecond},
	)
}
