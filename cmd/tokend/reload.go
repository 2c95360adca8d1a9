package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// errHalf: a git began to change the directory while it was read.
var errHalf = errors.New("git is at work in the directory")

// reloadOptions say how a directory is read anew.
type reloadOptions struct {
	reconcile.SetOptions
	// whole, when set, is asked after the reading whether what was read is to be
	// looked at: [errHalf] where it is not.
	whole func() bool
	// asked: a person has, and is told what is wrong also where it was before.
	asked bool
}

// reload reads the directory anew. What is wrong with it is told and kept for
// status; the configuration in force stays in force then.
func (e *engine) reload(ctx context.Context, o reconcile.SetOptions) error {
	return e.reloadBy(ctx, reloadOptions{SetOptions: o})
}

func (e *engine) reloadBy(ctx context.Context, o reloadOptions) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	prev, now := e.loop.Config(), time.Now()
	cfg, diags := e.readDirectory(prev)
	if o.whole != nil && !o.whole() {
		return errHalf
	}
	defer e.wasRead(now)
	if diags.HasErrors() {
		e.mu.Lock()
		if e.conf.Valid {
			e.conf.Since = now
		}
		lines, said := e.g.diagnosticLines(diags), mistakesOf(diags)
		told := !e.conf.Valid && e.mistakes == said && e.g.git == nil && !o.asked
		e.conf.Valid, e.conf.Errors, e.conf.NotTaken, e.mistakes = false, lines, "", said
		e.mu.Unlock()
		if !told {
			e.g.logDiagnostics(e.log, diags)
		}
		if o.Changed.IsZero() {
			o.Changed = now
		}
		if err := e.loop.Disturbed(ctx, o.Changed); err != nil {
			return err
		}
		return withHint(&configError{e.g.config, lines, told}, "`tokend validate` shows where")
	}
	if c := e.configuration(); c.Valid && c.NotTaken == "" && !o.NoSettle && prev != nil && prev.SameSources(cfg) {
		e.inForce(cfg.Revision())
		e.rewatch(prev)
		// An event that changed nothing: an editor's backup, a directory made beside,
		// a commit of other files. A file that was written as it was is not quiet.
		if e.g.git != nil { // a commit's files are all new
			return nil
		}
		return e.loop.Disturbed(ctx, filesTouchedAt(cfg, now))
	}
	if _, err := e.loop.Set(ctx, cfg, o.SetOptions); err != nil {
		if ctx.Err() == nil {
			e.notTaken(err.Error())
		}
		return err
	}
	e.mu.Lock()
	e.conf.Valid, e.conf.Errors, e.conf.Since, e.conf.LoadedAt, e.conf.Commit, e.conf.Unvouched, e.conf.NotTaken = true, nil, time.Time{}, now, cfg.Revision(), "", ""
	e.mu.Unlock()
	e.broken = &brokenDirectory{} // what is watched is another configuration's
	e.rewatch(cfg)
	credentials, sinks := cfg.Counts()
	e.sayNextStart()
	e.log.Info("configuration taken over", append([]any{"directory", cfg.Dir(), "credentials", credentials, "sinks", sinks}, commitAttr(cfg.Revision())...)...)
	return nil
}

// rewatch has what a configuration was read from watched, unless it is already.
func (e *engine) rewatch(cfg *spec.Config) {
	if e.broken != nil && e.followed != nil {
		e.followed(cfg, nil)
	}
	e.broken = nil
}

// brokenDirectory is a directory with mistakes.
type brokenDirectory struct {
	tried []string // the files beside its own that were read or looked for
}

// mostWatchings bounds how often a broken directory is read because it wants
// other files each time.
const mostWatchings = 3

// readDirectory reads the directory. Of one with mistakes it has the files watched
// in which they may be mended, such as a template that is not there yet, and reads
// it again then: what came between was seen by nobody.
func (e *engine) readDirectory(prev *spec.Config) (cfg *spec.Config, diags spec.Diagnostics) {
	for watchings := 0; ; watchings++ {
		var tried []string
		cfg, diags = e.g.readTelling(prev, func(paths []string) { tried = paths })
		if watchings == mostWatchings || !diags.HasErrors() || e.followed == nil || prev == nil || e.broken != nil && slices.Equal(e.broken.tried, tried) {
			return cfg, diags
		}
		e.broken = &brokenDirectory{tried}
		e.followed(prev, e.broken)
	}
}

// configError is a directory that cannot be used.
type configError struct {
	dir   string
	lines []string
	told  bool // it was like this when it was read before, and the log says so
}

func (e *configError) Error() string {
	first := ""
	if len(e.lines) > 0 {
		first = ": " + e.lines[0]
	}
	return e.dir + " cannot be used, " + countOf(len(e.lines), "error") + first
}

// mistakesOf is all that is wrong with a directory, to be compared.
func mistakesOf(diags spec.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		b.WriteString(d.Error())
		b.WriteByte('\n')
	}
	return b.String()
}
