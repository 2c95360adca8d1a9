package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A configuration names what it declares. Once a record has moved, those before the
// move know it, and what refers to it, by another name; and what is held back or
// leaves goes on by one of those. So each of them is kept as it reads since
// ([spec.Config.Renamed]): in memory, and in the state from the commit on that moves
// the record.

// renamedSince is what has another address by now than the configurations in the
// state have for it.
type renamedSince struct {
	Accepted *renamedIn  `json:"accepted,omitempty"` // in the one that is in force
	Leaving  []renamedIn `json:"leaving,omitempty"`  // in those by which something leaves or is held
}

// renamedIn is that in one configuration.
type renamedIn struct {
	Blob  string                        `json:"blob"`
	Names map[spec.Address]spec.Address `json:"names"`               // by the configuration's own
	Of    []string                      `json:"addresses,omitempty"` // that live on by it
}

// names of a configuration in force.
func (r *renamedSince) accepted(blob string) map[spec.Address]spec.Address {
	if r.Accepted == nil || r.Accepted.Blob != blob {
		return nil
	}
	return r.Accepted.Names
}

// packed is how it is kept; nil: there is nothing to be kept.
func (r *renamedSince) packed() ([]byte, error) {
	if r.Accepted == nil && len(r.Leaving) == 0 {
		return nil, nil
	}
	return json.Marshal(r)
}

func readRenamed(ctx context.Context, s state.Store) (renamedSince, error) {
	var r renamedSince
	b, err := s.Meta(ctx, metaRenamed)
	if errors.Is(err, state.ErrNotFound) || err == nil && len(b) == 0 {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading what was moved since configurations were recorded: %w", err)
	}
	return r, nil
}

// renamedBy are a table of names after moves: what it names has moved on, and
// what kept its own name until now has another one.
func renamedBy(names map[spec.Address]spec.Address, moves []rename) map[spec.Address]spec.Address {
	out := maps.Clone(names)
	if out == nil {
		out = map[spec.Address]spec.Address{}
	}
	own := make(map[spec.Address]spec.Address, len(names))
	for o, now := range names {
		own[now] = o
	}
	for _, m := range moves {
		from, to := spec.Address(m.from), spec.Address(m.to)
		o, moved := own[from]
		if !moved {
			if _, left := names[from]; left {
				continue // another one has that address since
			}
			o = from
		}
		if out[o] = to; o == to {
			delete(out, o)
		}
	}
	return out
}

// movedNames are the named values by which the configurations in the state are read
// as moves leave them. They go with the moves, in one commit.
func movedNames(ctx context.Context, s state.Store, moves []rename) ([]state.Change, error) {
	r, err := readRenamed(ctx, s)
	if err != nil {
		return nil, err
	}
	accepted, err := s.Meta(ctx, metaAccepted)
	switch {
	case errors.Is(err, state.ErrNotFound):
		r.Accepted = nil
	case err != nil:
		return nil, err
	default:
		r.Accepted = &renamedIn{Blob: string(accepted), Names: renamedBy(r.accepted(string(accepted)), moves)}
		if len(r.Accepted.Names) == 0 {
			r.Accepted = nil
		}
	}
	b, err := s.Meta(ctx, metaLeaving)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, err
	}
	leaving := map[string][]string{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &leaving); err != nil {
			return nil, fmt.Errorf("reading which configurations removals need: %w", err)
		}
	}
	names := namesOf(moves)
	var groups []renamedIn
	for _, g := range r.Leaving {
		g.Of = slices.DeleteFunc(g.Of, func(a string) bool { return !slices.Contains(leaving[g.Blob], a) })
		g.Names = renamedBy(g.Names, moves)
		groups = append(groups, renamedIn{Blob: g.Blob, Names: g.Names, Of: readdressed(g.Of, names)})
		leaving[g.Blob] = slices.DeleteFunc(leaving[g.Blob], func(a string) bool { return slices.Contains(g.Of, a) })
	}
	for _, blob := range slices.Sorted(maps.Keys(leaving)) {
		if all := leaving[blob]; len(all) > 0 {
			groups = append(groups, renamedIn{Blob: blob, Names: renamedBy(nil, moves), Of: readdressed(all, names)})
		}
		leaving[blob] = nil
	}
	for _, g := range groups {
		leaving[g.Blob] = append(leaving[g.Blob], g.Of...)
	}
	r.Leaving = slices.DeleteFunc(groups, func(g renamedIn) bool { return len(g.Names) == 0 || len(g.Of) == 0 })
	packed, err := r.packed()
	if err != nil {
		return nil, err
	}
	changes := []state.Change{{MetaKey: metaRenamed, Meta: packed}}
	if len(b) > 0 {
		if b, err = json.Marshal(leaving); err != nil {
			return nil, err
		}
		changes = append(changes, state.Change{MetaKey: metaLeaving, Meta: b})
	}
	return changes, nil
}

func readdressed(addrs []string, names map[string]string) []string {
	out := slices.Clone(addrs)
	for i, a := range out {
		if to, ok := names[a]; ok {
			out[i] = to
		}
	}
	return out
}

// renameIn has every configuration that something goes on by read as moves leave it.
// It runs in the loop's goroutine.
func (l *Loop) renameIn(moves []rename) {
	to := make(map[spec.Address]spec.Address, len(moves))
	for _, m := range moves {
		to[spec.Address(m.from)] = spec.Address(m.to)
	}
	known := map[*spec.Config]*spec.Config{nil: nil}
	now := func(c **spec.Config) {
		is, ok := known[*c]
		if !ok {
			is = (*c).Renamed(to)
			known[*c] = is
		}
		*c = is
	}
	for _, it := range l.items {
		now(&it.cfg)
		if it.x != nil {
			now(&it.x.earlier)
			now(&it.x.before)
		}
	}
	if now(&l.cfg); l.cfg != nil {
		l.config.Store(l.cfg)
	}
}
