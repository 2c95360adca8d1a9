package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/control"
	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
	"tokend/pkg/watch"
	"tokend/pkg/web"
)

const runHelp = `Runs the daemon: it reads the configuration, obtains what is missing, keeps it
fresh, delivers it, puts right what somebody else changed, and follows the
configuration as it changes. A broken configuration changes nothing: the last
good one stays in force, and "tokend status" says what is wrong with the new.

SIGHUP reads the configuration anew. SIGTERM and SIGINT end it cleanly: calls
that are under way are brought to their end and recorded.

Under systemd it reports READY after its first pass, says how it does in
STATUS=, and feeds the watchdog by the loop's own progress.

Exit status: 0 stopped as asked, 1 could not start.`

func runCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "run", Short: "run the daemon", Long: runHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		log, err := g.logger()
		if err != nil {
			return err
		}
		return g.daemon(c.Context(), log, daemonOptions{})
	}}
}

// daemonOptions are what `dev` does differently.
type daemonOptions struct {
	started func(*engine) // called once the first configuration is in force
}

// daemon runs until ctx ends.
func (g *globals) daemon(ctx context.Context, log *slog.Logger, o daemonOptions) error {
	cfg, conf, err := g.firstConfig(log)
	if err != nil {
		return err
	}
	metrics := web.NewRecorder(time.Now)
	e, err := g.openEngine(ctx, cfg, log, engineOptions{observe: metrics.Observe})
	if err != nil {
		return err
	}
	e.daemon, e.conf = true, conf
	d := &service{engine: e, metrics: metrics, notify: newNotifier(g.process, log), options: o}
	err = d.run(ctx, cfg)
	return errors.Join(err, e.Close())
}

// firstConfig is the configuration to begin with.
func (g *globals) firstConfig(log *slog.Logger) (*spec.Config, configurationView, error) {
	cfg, err := g.load(nil)
	if err != nil {
		return nil, configurationView{}, err
	}
	log.Info("configuration read", "directory", cfg.Dir(), "credentials", len(cfg.Credentials()), "sinks", len(cfg.Sinks()))
	return cfg, configurationView{Directory: cfg.Dir(), Valid: true, LoadedAt: time.Now()}, nil
}

// service is an engine that follows its directory and answers.
type service struct {
	*engine
	metrics *web.Recorder
	notify  *notifier
	watcher *watch.Watcher
	options daemonOptions
}

// Names of the groups of paths that are watched.
const (
	groupConfig  = "configuration"
	groupSecrets = "secrets"
	groupSinks   = "sinks"
)

func (d *service) run(ctx context.Context, cfg *spec.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := control.Listen(d.g.control)
	if err != nil {
		return err
	}
	serving := make(chan error, 2)
	go func() { serving <- control.Serve(ctx, ln, routes(d), d.log) }()
	servers := 1
	if addr := cfg.Settings().Listen; addr != "" {
		h := web.Handler(web.Options{Source: webSource{d}, Recorder: d.metrics, Version: version, Logger: d.log})
		go func() { serving <- web.Serve(ctx, addr, h, d.log) }()
		servers++
	}
	d.watcher = watch.New(watch.Options{Logger: d.log})
	defer d.watcher.Close()
	d.followed = d.watch
	d.watcher.Set(watch.Group{Name: groupSinks, Quiet: 20 * time.Millisecond})
	d.watch(cfg)
	if _, err := d.loop.Set(ctx, cfg, reconcile.SetOptions{}); err != nil {
		return err
	}
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
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	look := time.NewTicker(d.notify.interval())
	defer look.Stop()
	for {
		select {
		case t, ok := <-d.watcher.C():
			if ok {
				d.ticked(ctx, t)
			}
		case <-hup:
			d.notify.reloading()
			d.tryReload(ctx, time.Time{})
			d.notify.reloaded()
		case <-d.paths.changed:
			add, remove := d.paths.take()
			d.watcher.Remove(groupSinks, remove...)
			d.watcher.Add(groupSinks, add...)
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
		d.tryReload(ctx, t.At)
	case groupSecrets:
		d.pool.Changed()
		d.touched(ctx, nil, true)
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

func (d *service) tryReload(ctx context.Context, changed time.Time) {
	if err := d.reload(ctx, reconcile.SetOptions{Changed: changed}); err != nil && ctx.Err() == nil {
		d.log.Error("the new configuration is not taken over; the last good one stays in force", "error", err)
	}
}

// look tells systemd how it does and keeps the watch on what sinks wrote.
func (d *service) look(ctx context.Context) {
	d.notify.progress(d.loop.Progress())
	v, err := d.loop.Status(ctx, noAddress)
	if err == nil {
		d.notify.status(v, d.configuration())
	}
	d.mu.Lock()
	d.conf.Watching = d.watcher.Degraded()
	d.mu.Unlock()
}

// watch watches what a configuration was read from and what its secrets are
// read from.
func (d *service) watch(cfg *spec.Config) {
	d.watcher.Set(
		watch.Group{Name: groupConfig, Paths: append([]string{cfg.Dir()}, cfg.Reads()...), IgnoreChmod: true, Quiet: 50 * time.Millisecond, MaxDelay: 500 * time.Millisecond},
		watch.Group{Name: groupSecrets, Paths: d.loop.SecretPaths(cfg), Quiet: 50 * time.Millisecond},
	)
}

// webSource is what the web pages read.
type webSource struct{ d *service }

func (s webSource) Status(ctx context.Context, addr string) (reconcile.View, error) {
	return s.d.loop.Status(ctx, addr)
}

func (s webSource) Progress() time.Time { return s.d.loop.Progress() }

func (s webSource) Configuration() web.Configuration {
	c := s.d.configuration()
	return web.Configuration{Valid: c.Valid, LoadedAt: c.LoadedAt, Errors: len(c.Errors), Source: c.Directory}
}
