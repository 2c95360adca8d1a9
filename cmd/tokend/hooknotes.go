package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// metaHooks is the value of the state, sealed like any, that says of hooks why their
// last run failed.
const metaHooks = "hooks"

// hookNote is why the last run of a hook failed. A sink's record says that the hook
// has not run for it; why is in nobody's memory once the process that tried has ended.
type hookNote struct {
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
}

// hookRuns is how the last run of each hook ended in this process.
type hookRuns struct {
	mu sync.Mutex
	ok map[string]bool
}

// observing is observe that also learns how hooks did. Both may be called by several
// workers at once.
func (r *hookRuns) observing(observe func(reconcile.Event)) func(reconcile.Event) {
	return func(ev reconcile.Event) {
		if ev.Op == "hook" {
			r.mu.Lock()
			if r.ok == nil {
				r.ok = map[string]bool{}
			}
			r.ok[ev.Address] = ev.Class == "ok"
			r.mu.Unlock()
		}
		if observe != nil {
			observe(ev)
		}
	}
}

// noteHooks notes at the end of a process why hooks failed that have not run since.
func (e *engine) noteHooks(ctx context.Context) error {
	e.hooksRan.mu.Lock()
	ran := maps.Clone(e.hooksRan.ok)
	e.hooksRan.mu.Unlock()
	if len(ran) == 0 {
		return nil
	}
	before, err := e.hookNotes(ctx)
	if err != nil {
		return err
	}
	notes := maps.Clone(before)
	for addr := range ran {
		v, err := e.loop.Status(ctx, addr)
		var missing *reconcile.NotFoundError
		if err != nil && !errors.As(err, &missing) {
			return err
		}
		delete(notes, addr)
		for _, h := range v.Hooks {
			if !ran[addr] && h.State == reconcile.Failing {
				notes[addr] = hookNote{Why: h.Why, Since: h.Since}
			}
		}
	}
	if maps.Equal(notes, before) {
		return nil
	}
	change := state.Change{MetaKey: metaHooks}
	if len(notes) > 0 {
		if change.Meta, err = json.Marshal(notes); err != nil {
			return err
		}
	}
	return e.store.Commit(ctx, change)
}

func (e *engine) hookNotes(ctx context.Context) (map[string]hookNote, error) {
	notes := map[string]hookNote{}
	b, err := e.store.Meta(ctx, metaHooks)
	if errors.Is(err, state.ErrNotFound) {
		return notes, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &notes)
	}
	if err != nil {
		return nil, fmt.Errorf("reading why hooks failed: %w", err)
	}
	return notes, nil
}

// recall says of hooks that have not run since sinks changed why that is, where no
// daemon knows it.
func (e *engine) recall(ctx context.Context, v *reconcile.View) error {
	notes, err := e.hookNotes(ctx)
	if err != nil {
		return err
	}
	for i := range v.Hooks {
		h := &v.Hooks[i]
		n, failed := notes[h.Address]
		if h.State != reconcile.Pending || !failed {
			continue
		}
		if v.Counts[reconcile.Pending]--; v.Counts[reconcile.Pending] == 0 {
			delete(v.Counts, reconcile.Pending)
		}
		v.Counts[reconcile.Failing]++
		h.State, h.Why, h.Since, h.Mend = reconcile.Failing, h.Why+": "+n.Why, n.Since, "tokend retry "+reconcile.ShellAddress(h.Address)
	}
	return nil
}

// keepHookNotes is noteHooks where nobody waits for the answer: without these notes
// the hooks run again all the same.
func (e *engine) keepHookNotes() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 5*time.Second)
	defer cancel()
	if err := e.noteHooks(ctx); err != nil && !errors.Is(err, reconcile.ErrClosed) {
		e.log.Warn("why hooks failed is not noted in the state; they run again all the same", "error", err)
	}
}
