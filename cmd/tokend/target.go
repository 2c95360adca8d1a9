package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// target is who a command asks: the daemon where one holds the state, else an
// engine of its own that is opened paused and knows the configuration.
type target struct {
	backend
	daemon bool
	held   *reconcile.HeldChange
}

// targetOptions say what a command needs of its target.
type targetOptions struct {
	memory bool     // a plan: no state is made where there is none
	login  bool     // of the one address in only: nor is one for what needs no login
	only   []string // work on these begins at once, and on nothing else
	state  bool     // there has to be a state already
	// The key of the state is about to be rotated, and may be the former one
	// still: that one is opened too.
	rotates bool
	former  string // named by a person
}

// target asks again while the state is held and nobody answers: a daemon that
// starts holds it before it answers, and another command does for a moment. Whom it
// waits for, and how long yet, is said once.
func (g *globals) target(ctx context.Context, o targetOptions) (*target, error) {
	began := time.Now()
	for said := false; ; {
		t, err := g.targetNow(ctx, o)
		waited := time.Since(began)
		if !errors.Is(err, state.ErrLocked) || waited > lockPatience {
			return t, err
		}
		if !said && waited >= lockSaid {
			g.printNotice(g.err, "waiting", fmt.Sprintf("%s; trying for %s more", heldBy(err), (lockPatience-waited).Round(time.Second)), "")
			said = true
		}
		g.stage.while = "it waited for the state"
		if err := pause(ctx, lockLook); err != nil {
			return nil, err
		}
	}
}

// onState runs f on who works on the state, which has to be there already, and
// lets go of it afterwards.
func (g *globals) onState(ctx context.Context, f func(*target) error) error {
	return g.on(ctx, targetOptions{state: true}, f)
}

// onAddress is onState for what is about one address.
func (g *globals) onAddress(ctx context.Context, s string, f func(t *target, addr string) error) error {
	addr, err := parseAddress(s)
	if err != nil {
		return err
	}
	return g.onState(ctx, func(t *target) error { return f(t, addr) })
}

func (g *globals) on(ctx context.Context, o targetOptions, f func(*target) error) error {
	t, err := g.target(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(f(t), t.Close())
}

func (g *globals) targetNow(ctx context.Context, o targetOptions) (*target, error) {
	g.asked = true
	r, s, err := g.dial(ctx)
	if err == nil {
		if g.policyFile != "" {
			return nil, errForeignPolicy()
		}
		g.served = true
		g.stage.who, g.stage.while = theDaemon, "it waited for the daemon at "+g.control
		return &target{backend: r, daemon: true}, g.sameConfig(s)
	}
	if !noDaemon(err) {
		return nil, err
	}
	if g.controlSet && !g.configSet && g.state == "" {
		return nil, withHint(err, "give the socket of a running daemon; or leave --control out and name --config and --state to work without one")
	}
	g.useLastCheckout()
	if o.state {
		return g.stateTarget(ctx, o)
	}
	cfg, err := g.load(nil)
	if err != nil {
		return nil, err
	}
	o.memory = o.memory || o.login && !logsIn(cfg, o.only[0])
	return g.localTarget(ctx, cfg, o)
}

// logsIn reports whether a configuration has a credential at an address to which a
// person logs in.
func logsIn(cfg *spec.Config, addr string) bool {
	c, err := cfg.Credential(spec.Address(addr))
	return err == nil && c.Grant.Interactive()
}

// stateTarget is for commands that ask a state that is there already. Where the
// configuration cannot be used, the one that was last in force serves.
func (g *globals) stateTarget(ctx context.Context, o targetOptions) (*target, error) {
	cfg, diags := g.read(nil)
	var settings spec.StateSettings
	if !diags.HasErrors() {
		settings = cfg.Settings().State
	} else if rescued, more := spec.RescueState(g.config, g.specOptions(), g.allowsState); !more.HasErrors() {
		settings = rescued.Settings().State
	}
	dir := g.stateDir(settings)
	if _, err := os.Stat(filepath.Join(dir, state.FileName)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: no daemon answers at %s, and there is no state in %s", errNobody, g.control, dir)
	}
	if !diags.HasErrors() {
		return g.localTarget(ctx, cfg, o)
	}
	log, err := g.quietLogger()
	if err != nil {
		return nil, err
	}
	e, last, err := g.lastInForce(ctx, log, diags, engineOptions{paused: true, rotates: o.rotates, former: o.former})
	if err != nil {
		return nil, err
	}
	return g.paused(ctx, e, last, o)
}

func (g *globals) localTarget(ctx context.Context, cfg *spec.Config, o targetOptions) (*target, error) {
	log, err := g.quietLogger()
	if err != nil {
		return nil, err
	}
	e, err := g.openEngine(ctx, cfg, log, engineOptions{paused: true, memory: o.memory, rotates: o.rotates, former: o.former})
	if err != nil {
		return nil, err
	}
	e.conf = configurationView{Directory: cfg.Dir(), Valid: true, Commit: cfg.Revision()}
	return g.paused(ctx, e, cfg, o)
}

// paused makes a target of an engine that waits.
func (g *globals) paused(ctx context.Context, e *engine, cfg *spec.Config, o targetOptions) (*target, error) {
	held, err := e.loop.Set(ctx, cfg, reconcile.SetOptions{NoSettle: true, Dry: true})
	if err == nil && o.only != nil {
		err = e.loop.Resume(ctx, o.only...)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	g.stage.who, g.stage.while = thisCommand, "it worked on the state itself"
	return &target{backend: e, held: held}, nil
}

// quietLogger logs only what a person at a command wants to see, unless told
// otherwise.
func (g *globals) quietLogger() (*slog.Logger, error) {
	quiet := *g
	if g.logLevel == "info" {
		quiet.logLevel = "warn"
	}
	if g.logFormat == "auto" {
		quiet.logFormat = "text" // a person, or a script that shows it to one, reads it between the command's own lines
	}
	return quiet.logger()
}

// sameConfig refuses to ask a daemon about another directory than its own.
func (g *globals) sameConfig(s statusReply) error {
	if !g.configSet {
		return nil
	}
	dir, err := filepath.Abs(g.config)
	if err != nil {
		dir = g.config
	}
	if same(dir, s.Configuration.Directory) {
		return nil
	}
	return withHint(fmt.Errorf("the daemon at %s works on %s, not on %s", g.control, s.Configuration.Directory, dir),
		"leave --config out to ask that daemon, or give another --control (and --state) for a state of its own")
}

// same says whether two paths lead to the same place, which need not be there.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return slices.Equal(absolute([]string{a}), absolute([]string{b}))
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
