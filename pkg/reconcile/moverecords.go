package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// moveTries is how often a move is tried that met another write.
const moveTries = 5

// moveRecords is one commit: each record leaves its old address and arrives at
// its new one, and what sinks hold of it is said of the new one.
func (l *Loop) moveRecords(ctx context.Context, store state.Store, moves []rename) error {
	for n := 1; ; n++ {
		changes, err := l.movingChanges(ctx, store, moves)
		if err == nil {
			err = store.Commit(ctx, changes...)
		}
		if err == nil {
			l.w.tokens.moved()
			return nil
		}
		if !errors.Is(err, state.ErrConflict) || n == moveTries {
			return fmt.Errorf("moving what is recorded of %s to %s: %w", moves[0].from, moves[0].to, err)
		}
	}
}

func (l *Loop) movingChanges(ctx context.Context, store state.Store, moves []rename) ([]state.Change, error) {
	var changes []state.Change
	names := namesOf(moves)
	back := reversed(names)
	sinks := map[string]string{} // that move themselves
	free := map[string]vacancy{}
	for _, m := range moves {
		there, ok, err := vacant(ctx, store, m.to, l.o.Now())
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &MoveError{Address: m.from, To: m.to, Both: true}
		}
		free[m.to] = there
		if spec.Address(m.from).Kind() == "sink" {
			sinks[m.from] = m.to
			continue
		}
		rec, intent, err := store.Credential(ctx, m.from)
		if err != nil {
			return nil, err
		}
		changes = append(changes, state.Change{Delete: m.from, DeleteVersion: rec.Head.Version})
		rec.Head.Address, rec.Head.Version, rec.Orphans = m.to, there.version, rec.Orphans.And(there.orphans)
		rec.Kept, _ = keptTogether(append(slices.Clone(there.kept), rec.Kept...))
		c := state.Change{Credential: &rec}
		if intent != nil {
			c.Intent, c.IntentFor = intent, m.to
		}
		spent, err := movedExchanged(ctx, store, m.from, m.to)
		if err != nil {
			return nil, err
		}
		changes = append(append(changes, c), spent...)
	}
	holders, err := l.holders(ctx, store, moves)
	if err != nil {
		return nil, err
	}
	for a := range sinks {
		if !slices.Contains(holders, a) {
			holders = append(holders, a)
		}
	}
	sort.Strings(holders)
	for _, a := range holders {
		rec, err := store.Sink(ctx, a)
		if err != nil {
			return nil, err
		}
		renameHoldings(&rec, names, back)
		if to, ok := sinks[a]; ok {
			l.w.unsaved.add(&rec)
			flagOwed(&rec)
			changes = append(changes, state.Change{Delete: a, DeleteVersion: rec.Head.Version})
			rec.Head.Address, rec.Head.Version = to, free[to].version
		}
		changes = append(changes, state.Change{Sink: &rec})
	}
	switch c, err := movedImports(ctx, store, names); {
	case err != nil:
		return nil, err
	case c.Meta != nil:
		changes = append(changes, c)
	}
	since, err := movedNames(ctx, store, moves)
	return append(changes, since...), err
}

func namesOf(moves []rename) map[string]string {
	names := make(map[string]string, len(moves))
	for _, m := range moves {
		names[m.from] = m.to
	}
	return names
}

func reversed(names map[string]string) map[string]string {
	back := make(map[string]string, len(names))
	for from, to := range names {
		back[to] = from
	}
	return back
}

// renamed is what a place holds, by the new names, which back reverses. What it holds of
// an earlier record under one of those, which went, is struck out: it would pass for
// what arrives there.
func renamed(holds map[string]uint64, names, back map[string]string) map[string]uint64 {
	out := make(map[string]uint64, len(holds))
	for a, gen := range holds {
		if to, ok := names[a]; ok {
			out[to] = gen
		} else if _, arrives := back[a]; !arrives {
			out[a] = gen
		}
	}
	return out
}

// holders are the sinks whose record says that their place holds a token of
// what is moved, or of an earlier record where that arrives.
func (l *Loop) holders(ctx context.Context, store state.Store, moves []rename) ([]string, error) {
	names := namesOf(moves)
	back := reversed(names)
	if !slices.ContainsFunc(moves, func(m rename) bool { return spec.Address(m.from).Kind() == "credential" }) {
		return nil, nil
	}
	var sinks, out []string
	err := store.Heads(ctx, func(h state.Head) error {
		if h.Kind == state.KindSink {
			sinks = append(sinks, h.Address)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	for _, a := range sinks {
		rec, err := store.Sink(ctx, a)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for c := range holdings(&rec) {
			if names[c] != "" || back[c] != "" {
				out = append(out, a)
				break
			}
		}
	}
	return out, nil
}

// How often is looked whether a worker is done with what is to be parked, at first
// and at last, and for how long.
const (
	parkLook   = 5 * time.Millisecond
	parkSeldom = 200 * time.Millisecond
	parkFor    = time.Minute
)

// park keeps workers from addresses, once those that are at one are done. What
// cannot be recorded is held in memory for as long as it takes: that holds up no
// change of the configuration.
func (l *Loop) park(ctx context.Context, addrs []string) ([]*item, error) {
	var parked []*item
	began := time.Now()
	for look := parkLook; ; look = min(2*look, parkSeldom) {
		busy := ""
		err := l.do(ctx, func() {
			for _, a := range addrs {
				it, ok := l.items[a]
				switch {
				case !ok || it.x != nil && it.x.parked:
				case it.phase == running:
					busy = a
				default:
					l.q.remove(it)
					it.phase, it.ext().parked = running, true
					parked = append(parked, it)
				}
			}
		})
		if err != nil || busy == "" {
			return parked, err
		}
		if time.Since(began) > parkFor {
			return parked, fmt.Errorf("moving what is recorded: %s has been worked on for more than %s, as when what its provider answered cannot be recorded; see tokend status", spec.Address(busy).Short(), parkFor)
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return parked, ctx.Err()
		}
	}
}

// unpark lets workers at what was parked again.
func (l *Loop) unpark(ctx context.Context, parked []*item) {
	if len(parked) == 0 {
		return
	}
	// The loop may have ended: then nobody works at all.
	_ = l.do(context.WithoutCancel(ctx), func() {
		for _, it := range parked {
			it.x.parked, it.phase, it.again = false, idle, false
			if l.items[it.addr] == it && l.cfg != nil {
				l.q.now(it)
			}
		}
	})
}
