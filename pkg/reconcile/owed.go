package reconcile

import (
	"context"
	"errors"
	"slices"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// owed has a hook know the sinks that it has not run for, where only some addresses
// are worked on. A daemon knows from its first look at each sink; here no sink is
// looked at, and without this a retry would find nothing to do, and say so as of
// one that has run.
func (l *Loop) owed(ctx context.Context, hook string) error {
	if spec.Address(hook).Kind() != "hook" {
		return nil
	}
	few := false
	if err := l.do(ctx, func() { few = l.only != nil && l.items[hook] != nil }); err != nil || !few {
		return err
	}
	var heads []string
	err := readHeads(ctx, l.o.Store, func(h *state.Head) {
		if h.Kind == state.KindSink && h.Flags&state.FlagHookPending != 0 {
			heads = append(heads, h.Address)
		}
	})
	if err != nil {
		return err
	}
	var sinks []string
	for _, s := range heads {
		rec, err := l.o.Store.Sink(ctx, s)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if slices.Contains(rec.Notify, hook) {
			sinks = append(sinks, s)
		}
	}
	return l.do(ctx, func() {
		for _, s := range sinks {
			l.notify(hook, s)
		}
	})
}
