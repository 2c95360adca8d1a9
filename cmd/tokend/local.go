package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

var _ backend = (*engine)(nil)

func (e *engine) Status(ctx context.Context, addr string) (statusReply, error) {
	look := e.loop.Status
	if !e.daemon {
		look = e.loop.Survey
	}
	v, err := look(ctx, addr)
	if err == nil && !e.daemon {
		err = e.recall(ctx, &v)
	}
	// Who waits for tokens is served where a change is held back; who looks after
	// them has something to do.
	c := e.configuration()
	v.Ready = v.Ready && v.Held == nil && v.Counts[reconcile.Held] == 0 && c.Valid && c.NotTaken == ""
	return statusReply{View: v, Daemon: e.daemon, Version: version, Configuration: c, Logins: e.underWay(addr)}, err
}

func (e *engine) configuration() configurationView {
	e.mu.Lock()
	c := e.conf
	e.mu.Unlock()
	c.NextStart = e.nextStart() // afterwards: of that configuration, or of a newer one
	c.Policy = e.g.limit.view()
	c.Check = e.g.checkFlags(c.Directory)
	if e.g.git != nil {
		st := e.g.git.Status()
		c.Git = &st
	}
	return c
}

func (e *engine) Plan(ctx context.Context, in planRequest) (planReply, error) {
	if err := e.abreast(ctx); err != nil {
		return planReply{}, err
	}
	e.readAnew()
	conf := e.configuration()
	p, err := e.loop.Plan(ctx, reconcile.PlanOptions{NoSecrets: in.NoSecrets, NoSettle: in.NoSettle, Allow: in.Allow, Unwatched: conf.Watching != ""})
	if err != nil {
		return planReply{}, err
	}
	held, err := e.loop.Held(ctx)
	if err != nil {
		return planReply{}, err
	}
	r := planned(p)
	r.Held, r.Configuration, r.NoState = heldIn(held), configurationIn(conf), e.blank
	if e.blank != "" {
		beginsByApply(r.Steps)
	}
	return r, nil
}

// beginsByApply: where there is no state yet nothing can be tried again, so what has been
// mended is tried by what makes a state.
func beginsByApply(steps []planStep) {
	for i := range steps {
		s := &steps[i]
		if before, found := strings.CutSuffix(s.Mend, "tokend retry "+reconcile.ShellAddress(s.Address)); found {
			s.Mend = before + "tokend apply"
		}
	}
}

// readAnew has secrets be read as they are now: a file that has just changed is noticed a
// moment later. A Vault whose login was refused is left alone for as long as it was to be.
func (e *engine) readAnew() { e.loop.ReadAnew() }

// Apply takes the configuration as it is now and waits until everything has
// converged or failed.
func (e *engine) Apply(ctx context.Context, in applyRequest) (applyReply, error) {
	if e.daemon {
		e.readAnew() // who applies may have changed a secret just now
		if err := e.reload(ctx, reconcile.SetOptions{NoSettle: true, Allow: in.Allow}); err != nil {
			return applyReply{}, err
		}
		if err := e.loop.Touched(ctx, nil, true); err != nil { // by the configuration that is in force from now on
			return applyReply{}, err
		}
	} else {
		if _, err := e.loop.Set(ctx, e.loop.Config(), reconcile.SetOptions{NoSettle: true, Allow: in.Allow}); err != nil {
			return applyReply{}, err
		}
		if err := e.loop.Resume(ctx); err != nil {
			return applyReply{}, err
		}
	}
	if err := e.converge(ctx); err != nil {
		return applyReply{}, err
	}
	v, err := e.loop.Status(ctx, "")
	if err != nil {
		return applyReply{}, err
	}
	p, err := e.loop.Plan(ctx, reconcile.PlanOptions{NoSecrets: true})
	return applyReply{View: v, Later: planSteps(p.Later)}, err
}

const (
	// applyRetries is how long a failing step gets its retries in an apply.
	applyRetries = 30 * time.Second
	applyLook    = 25 * time.Millisecond
)

// converge waits until nothing is left that can be done now.
func (e *engine) converge(ctx context.Context) error {
	deadline := time.Now().Add(applyRetries)
	tick := time.NewTicker(applyLook)
	defer tick.Stop()
	calm := 0
	for {
		busy, err := e.loop.Busy(ctx, time.Until(deadline))
		if err != nil {
			return err
		}
		if calm++; busy {
			calm = 0
		}
		if calm >= 2 || time.Now().After(deadline) && calm >= 1 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *engine) Get(ctx context.Context, in getRequest) (getReply, error) {
	at, err := e.loop.Attributes(ctx, in.Address, in.MinValid, in.Unasked)
	var short *reconcile.ShortLivedError
	if errors.As(err, &short) {
		err = withHint(err, "ask for less; of its own accord tokend refreshes it in time")
	}
	if err == nil {
		err = e.follow(ctx)
	}
	if err != nil {
		return getReply{}, err
	}
	cfg := e.loop.Config()
	v, err := fieldOf(cfg, spec.Address(in.Address), at, in.Field)
	return getReply{Value: v}, err
}

func (e *engine) Order(ctx context.Context, in orderRequest) (orderReply, error) {
	if in.Order.Kind == reconcile.OrderAction {
		if _, err := e.Action(ctx, actionRequest{in.Address, in.Order.Action}); err != nil {
			return orderReply{}, err
		}
	}
	if in.Order.Kind == reconcile.OrderRetry {
		e.pool.Changed() // one try at once, also of a login that its Vault refused
	}
	err := e.loop.Do(ctx, in.Address, in.Order)
	idle := errors.Is(err, reconcile.ErrNothingFailed)
	if err != nil && !idle {
		return orderReply{}, err
	}
	if in.Order.Forget {
		return orderReply{}, e.follow(ctx) // the token in force is the one that it was
	}
	err = e.deliver(ctx, in.Address, in.Order.Kind, in.Order.Kind == reconcile.OrderRevoke || in.Order.Kind == reconcile.OrderRetry && !e.loop.HasToken(ctx, in.Address))
	if err != nil && in.Order.Kind == reconcile.OrderRevoke && ctx.Err() == nil {
		// The token is revoked. Who is told of a failure gives the order again, and
		// revokes the new one.
		return orderReply{Warning: err.Error(), Hint: hintOf(err)}, nil
	}
	r := orderReply{Idle: idle, Removed: !e.loop.Config().Declares(spec.Address(in.Address))}
	if err != nil || e.daemon {
		return r, err
	}
	r.Warning, r.Hint, err = e.untold(ctx)
	return r, err
}

// untold warns of hooks that failed to tell of what an order brought, where no daemon
// runs them again.
func (e *engine) untold(ctx context.Context) (warning, hint string, err error) {
	v, err := e.loop.Status(ctx, "")
	for _, h := range v.Hooks {
		if h.State == reconcile.Failing {
			return fmt.Sprintf("%s failed: %s", h.Address, h.Why), h.Mend + " runs it again, and so does the next apply", err
		}
	}
	return "", "", err
}

// deliver waits until the sinks hold what an order brought: whoever gave it goes
// on to use them. With anew it has given the token up, and the next one is waited for.
// A taint is for the next pass, and an action brings no token.
func (e *engine) deliver(ctx context.Context, addr string, kind reconcile.OrderKind, anew bool) error {
	done := map[reconcile.OrderKind]string{reconcile.OrderRefresh: "refreshed", reconcile.OrderRevoke: "revoked", reconcile.OrderRetry: "tried again", reconcile.OrderLogin: "logged in"}[kind]
	if done != "" {
		err := e.loop.Delivered(ctx, addr, anew, applyRetries)
		if err != nil {
			return fmt.Errorf("%s is %s, but %w", spec.Address(addr).Short(), done, err)
		}
	}
	return e.follow(ctx)
}

// follow waits, in a command without a daemon, until the sinks hold what an
// order brought and their hooks have run: nobody else would see to it for a while.
func (e *engine) follow(ctx context.Context) error {
	if e.daemon {
		return nil
	}
	tick := time.NewTicker(applyLook)
	defer tick.Stop()
	for until := time.Now().Add(applyRetries); ; {
		busy, err := e.loop.Following(ctx)
		if err != nil || !busy || time.Now().After(until) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Action says what an action does that the type of a credential has.
func (e *engine) Action(ctx context.Context, in actionRequest) (actionReply, error) {
	c, err := e.loop.Config().Credential(spec.Address(in.Address))
	var unknown *spec.UnknownAddressError
	if errors.As(err, &unknown) {
		if _, err := e.StateShow(ctx, in.Address); err != nil {
			return actionReply{}, err // which says what may have been meant
		}
	}
	if err != nil {
		return actionReply{}, err
	}
	names := []string{}
	for _, a := range c.Type.Actions {
		if a.Name == in.Name {
			return actionReply{Destructive: a.Destructive, EndsAccount: a.EndsAccount}, nil
		}
		names = append(names, a.Name)
	}
	if len(names) == 0 {
		return actionReply{}, fmt.Errorf("the provider type %s has no actions", c.Type.Name)
	}
	return actionReply{}, withHint(fmt.Errorf("the provider type %s has no action %q", c.Type.Name, in.Name), "it has: %s", strings.Join(names, ", "))
}

func (e *engine) Held(ctx context.Context) (*reconcile.HeldChange, error) {
	if err := e.abreast(ctx); err != nil {
		return nil, err
	}
	return e.loop.Held(ctx)
}

func (e *engine) Approve(ctx context.Context, shown *reconcile.HeldChange) error {
	return e.loop.Approve(ctx, shown)
}

func (e *engine) StateList(ctx context.Context) ([]stateLine, error) {
	var lines []stateLine
	now := time.Now()
	err := e.store.Heads(ctx, func(h state.Head) error {
		lines = append(lines, stateLine{Address: h.Address, Kind: h.Kind.String(), Generation: h.Generation, ExpiresAt: h.ExpiresAt, Intent: h.Intent,
			Orphans: state.Orphans{h.Orphans}.Living(now), Flags: flagWords(h.Flags)})
		return nil
	})
	return lines, err
}

func (e *engine) StateShow(ctx context.Context, addr string) (stateRecord, error) {
	if spec.Address(addr).Kind() == "hook" {
		return stateRecord{}, withHint(fmt.Errorf("%s has no record of its own: each sink's record has the hooks that have not run for it yet", addr), "`tokend status %s` says how it does", addr)
	}
	c, i, s, err := e.loop.Record(ctx, addr)
	if errors.Is(err, state.ErrNotFound) {
		return stateRecord{}, e.loop.Missing(ctx, addr)
	}
	if err != nil {
		return stateRecord{}, err
	}
	if s != nil {
		return stateRecord{Address: addr, Contents: showSink(s)}, nil
	}
	return stateRecord{Address: addr, Contents: showCredential(c, i, time.Now())}, nil
}

func (e *engine) StateRemove(ctx context.Context, addr string) error { return e.loop.Forget(ctx, addr) }

func (e *engine) StateMove(ctx context.Context, in moveRequest) ([]string, error) {
	moved, err := e.loop.Move(ctx, in.From, in.To)
	var refused *reconcile.MoveError
	if errors.As(err, &refused) {
		return nil, withHint(err, "%s", refused.Hint())
	}
	return moved, err
}
