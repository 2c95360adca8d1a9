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
// the record. The state keeps the steps: what a step means to a configuration is known
// once that is read.

// renamedSince is what has another address by now than the configurations in the
// state have for it.
type renamedSince struct {
	Accepted *renamedIn  `json:"accepted,omitempty"` // in the one that is in force
	Leaving  []renamedIn `json:"leaving,omitempty"`  // in those by which something leaves or is held
}

// renamedIn is that in one configuration.
type renamedIn struct {
	Blob  string         `json:"blob"`
	Steps []spec.Renames `json:"steps,omitempty"`
	Of    []string       `json:"addresses,omitempty"` // that live on by it
	// Names are all steps in one, by the configuration's own names: all that older
	// programs write and read. A single step is written so, which says the same.
	Names spec.Renames `json:"names,omitempty"`
}

// forAll has a single step as older programs read it.
func (r renamedIn) forAll() renamedIn {
	if len(r.Steps) == 1 && len(r.Names) == 0 {
		r.Names, r.Steps = r.Steps[0], nil
	}
	return r
}

// inSteps reads what an older program wrote.
func (r *renamedIn) inSteps() {
	if r != nil && len(r.Names) > 0 {
		r.Steps, r.Names = append([]spec.Renames{r.Names}, r.Steps...), nil
	}
}

// accepted are the steps since a configuration in force was recorded.
func (r *renamedSince) accepted(blob string) []spec.Renames {
	if r.Accepted == nil || r.Accepted.Blob != blob {
		return nil
	}
	return r.Accepted.Steps
}

// packed is how it is kept; nil: there is nothing to be kept.
func (r *renamedSince) packed() ([]byte, error) {
	if r.Accepted == nil && len(r.Leaving) == 0 {
		return nil, nil
	}
	out := renamedSince{Leaving: slices.Clone(r.Leaving)}
	if r.Accepted != nil {
		a := r.Accepted.forAll()
		out.Accepted = &a
	}
	for i, g := range out.Leaving {
		out.Leaving[i] = g.forAll()
	}
	return json.Marshal(out)
}

func readRenamed(ctx context.Context, s state.Store) (renamedSince, error) {
	b, err := s.Meta(ctx, metaRenamed)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return renamedSince{}, fmt.Errorf("reading what was moved since configurations were recorded: %w", err)
	}
	return parseRenamed(b)
}

func parseRenamed(b []byte) (r renamedSince, err error) {
	if len(b) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("reading what was moved since configurations were recorded: %w", err)
	}
	r.Accepted.inSteps()
	for i := range r.Leaving {
		r.Leaving[i].inSteps()
	}
	return r, nil
}

// stepOf are moves as a configuration reads them.
func stepOf(moves []rename) spec.Renames {
	step := make(spec.Renames, len(moves))
	for _, m := range moves {
		step[spec.Address(m.from)] = spec.Address(m.to)
	}
	return step
}

// movedNames are the named values by which the configurations in the state are read
// as moves leave them. They go with the moves, in one commit.
func movedNames(ctx context.Context, s state.Store, moves []rename) ([]state.Change, error) {
	step := stepOf(moves)
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
		r.Accepted = &renamedIn{Blob: string(accepted), Steps: append(r.accepted(string(accepted)), step)}
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
		groups = append(groups, renamedIn{Blob: g.Blob, Steps: append(g.Steps, step), Of: readdressed(g.Of, names)})
		leaving[g.Blob] = slices.DeleteFunc(leaving[g.Blob], func(a string) bool { return slices.Contains(g.Of, a) })
	}
	for _, blob := range slices.Sorted(maps.Keys(leaving)) {
		if all := leaving[blob]; len(all) > 0 {
			groups = append(groups, renamedIn{Blob: blob, Steps: []spec.Renames{step}, Of: readdressed(all, names)})
		}
		leaving[blob] = nil
	}
	for _, g := range groups {
		leaving[g.Blob] = append(leaving[g.Blob], g.Of...)
	}
	r.Leaving = slices.DeleteFunc(groups, func(g renamedIn) bool { return len(g.Of) == 0 })
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
	step := stepOf(moves)
	known := map[*spec.Config]*spec.Config{nil: nil}
	now := func(c **spec.Config) {
		is, ok := known[*c]
		if !ok {
			is = (*c).Renamed(step)
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
