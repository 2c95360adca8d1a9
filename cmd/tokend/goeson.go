package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// takesFirst takes over the configuration to begin with. Where that cannot be done, as
// when the disk of the state takes no record of it, the one that was last in force
// goes on, and the new one is tried again as by any daemon; where that one cannot
// begin either, nothing does until one of them can. It is an error only where none
// was ever in force, or where that one cannot be read back.
func (d *service) takesFirst(ctx context.Context, cfg *spec.Config) error {
	for {
		_, err := d.loop.Set(ctx, cfg, reconcile.SetOptions{})
		if err == nil || ctx.Err() != nil {
			return err
		}
		last, none := d.loop.Accepted(ctx)
		switch {
		case errors.Is(none, reconcile.ErrNoneAccepted):
			return err
		case none != nil:
			return fmt.Errorf("%w; and what was last in force cannot be gone on with: %w", err, none)
		}
		_, again := d.loop.Set(ctx, last, reconcile.SetOptions{})
		if again == nil {
			d.goesOnBy(ctx, last, cfg, err)
			return nil
		}
		d.log.Error("neither the configuration nor the one that was last in force can be taken over; nothing is done until one can", "error", err, "last in force", again, "again in", takeAgain)
		d.opening.is(fmt.Errorf("neither the configuration in %s nor the one that was last in force can be taken over: %w", cfg.Dir(), again))
		d.notify.waits("waiting until a configuration can be taken over: " + again.Error())
		select {
		case <-time.After(takeAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
		if now, diags := d.g.read(nil); !diags.HasErrors() {
			cfg = now // somebody may have seen to it
		}
	}
}

// goesOnBy notes that the configuration that was last in force goes on, and has the
// files watched of the one that was to begin.
func (d *service) goesOnBy(ctx context.Context, last, next *spec.Config, why error) {
	d.log.Error("the configuration cannot be taken over; the one that was last in force goes on", "directory", next.Dir(), "error", why)
	d.mu.Lock()
	if d.conf.Valid {
		d.conf.NotTaken = why.Error()
	}
	d.conf.Commit = last.Revision()
	d.mu.Unlock()
	d.vouch(ctx)
	d.broken = &brokenDirectory{append([]string{next.Dir()}, next.Reads()...)}
	d.watch(last, d.broken)
}

// notTaken notes why a directory without mistakes is not what is in force; "": it is.
func (e *engine) notTaken(why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conf.NotTaken = why
	if why != "" {
		e.conf.Valid, e.conf.Errors, e.conf.Since = true, nil, time.Time{}
	}
}
