package main

import (
	"context"
	"time"

	"tokend/pkg/reconcile"
)

// reload reads the directory anew. What is wrong with it is told and kept for
// status; the configuration in force stays in force then.
func (e *engine) reload(ctx context.Context, o reconcile.SetOptions) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	prev, now := e.loop.Config(), time.Now()
	cfg, diags := e.g.read(prev)
	defer e.wasRead(now)
	if diags.HasErrors() {
		e.mu.Lock()
		if e.conf.Valid {
			e.conf.Since = now
		}
		lines := e.g.diagnosticLines(diags)
		e.conf.Valid, e.conf.Errors = false, lines
		e.mu.Unlock()
		if o.Changed.IsZero() {
			o.Changed = now
		}
		if err := e.loop.Disturbed(ctx, o.Changed); err != nil {
			return err
		}
		return withHint(&configError{e.g.config, lines}, "`tokend validate` shows where")
	}
	if e.configuration().Valid && !o.NoSettle && prev != nil && prev.SameSources(cfg) {
		e.inForce(cfg.Revision())
		return nil // an event that changed nothing: an editor's backup, a directory made beside, a commit of other files
	}
	if _, err := e.loop.Set(ctx, cfg, o); err != nil {
		return err
	}
	e.mu.Lock()
	e.conf.Valid, e.conf.Errors, e.conf.Since, e.conf.LoadedAt, e.conf.Commit, e.conf.Unvouched = true, nil, time.Time{}, now, cfg.Revision(), ""
	e.mu.Unlock()
	if e.followed != nil {
		e.followed(cfg)
	}
	credentials, sinks := cfg.Counts()
	e.sayNextStart()
	e.log.Info("configuration taken over", append([]any{"directory", cfg.Dir(), "credentials", credentials, "sinks", sinks}, commitAttr(cfg.Revision())...)...)
	return nil
}

// configError is a directory that cannot be used.
type configError struct {
	dir   string
	lines []string
}

func (e *configError) Error() string {
	first := ""
	if len(e.lines) > 0 {
		first = ": " + e.lines[0]
	}
	return e.dir + " cannot be used, " + countOf(len(e.lines), "error") + first
}
