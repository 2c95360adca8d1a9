package reconcile

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// exported is the export that a plan away from the host is made against, and how
// the address of a record is found that moved blocks lead elsewhere.
func (w *worker) exported() (x *Export, recorded func(string) string) {
	recorded = func(addr string) string { return addr }
	store := w.o.Store
	if o, ok := store.(*overlay); ok {
		store = o.Store
		recorded = func(addr string) string {
			if at, ok := o.there[addr]; ok {
				return at
			}
			return addr
		}
	}
	if away, ok := store.(awayStore); ok {
		x = away.x
	}
	return x, recorded
}

// sink is what was exported of a sink, which may be nothing.
func (x *Export) sink(addr string) ExportedSink {
	i, ok := slices.BinarySearchFunc(x.Sinks, ExportedSink{Address: addr}, func(s, t ExportedSink) int { return cmp.Compare(s.Address, t.Address) })
	if !ok {
		return ExportedSink{}
	}
	return x.Sinks[i]
}

// observeAway is observePlace where the place is out of sight: what it holds is
// known by its record and by its portrait alone.
func (w *worker) observeAway(ctx context.Context, j *job, ob *observedSink) error {
	in := &ob.in
	x, recorded := w.exported()
	var is ExportedSink
	if x != nil && in.Stored {
		is = x.sink(recorded(j.addr))
	}
	place := placeOf(in.Record.Written)
	ob.desired.Place = placeWanted(j, ob)
	in.Moved = place != "" && ob.desired.Place != "" && place != ob.desired.Place
	uses := ob.want.Uses
	if in.Moved && j.guarded != "" && x != nil {
		uses = asHeld(ob, &is)
	}
	if err := w.tokensAway(ctx, ob, &is, uses); err != nil {
		return err
	}
	in.Deferred = true
	if ob.held != nil {
		return nil
	}
	if !in.Stored && x != nil && len(in.Missing) == 0 {
		_, err := w.wantedAway(ctx, j, ob, x, recorded)
		if errors.Is(err, sinks.ErrUnknown) && len(in.Awaits) > 0 {
			return nil
		}
		in.Awaits = nil
		return err // what is wrong with it is known before it is written
	}
	if in.Stored && in.Record.Head.Digest == ([16]byte{}) { // which was not exported
		in.Changed = is.Portrait != nil // its portrait tells
		ob.unsure = is.Portrait == nil
	}
	if in.Moved {
		in.Changed, in.Told = true, true
	}
	if !in.Changed || in.Told || len(in.Missing) > 0 || x == nil {
		return nil
	}
	return w.compareAway(ctx, j, ob, x, &is, recorded)
}

// tokensAway compares the tokens of what a sink names with those that it holds.
func (w *worker) tokensAway(ctx context.Context, ob *observedSink, is *ExportedSink, uses []spec.Address) error {
	in := &ob.in
	for _, u := range uses {
		if u.Kind() != "credential" {
			continue
		}
		rec, _, err := w.store.Credential(ctx, string(u))
		switch {
		case err != nil && !errors.Is(err, state.ErrNotFound):
			return err
		case rec.Grant == nil && ob.held != nil:
			continue // what is there goes on
		case rec.Grant == nil:
			in.Missing = []string{string(u)}
			continue
		}
		ob.gens[string(u)] = rec.Head.Generation
		// Of one that it was not given before its portrait tells whether it holds it.
		if gen, held := in.Record.Delivered[string(u)]; gen != rec.Head.Generation && (held || is.Portrait == nil) {
			in.Newer = append(in.Newer, string(u))
		}
	}
	return nil
}

// observeHeldAway is asHeld for a sink whose removal the guard holds.
func (w *worker) observeHeldAway(ctx context.Context, j *job, ob *observedSink) error {
	var is ExportedSink
	if x, recorded := w.exported(); x != nil {
		is = x.sink(recorded(j.addr))
	}
	ob.in.Declared, ob.in.Deferred, ob.kindOf = true, true, ob.in.Record.SinkKind
	var err error
	if ob.kind, err = w.sinkKind(ob.kindOf); err != nil {
		return err
	}
	return w.tokensAway(ctx, ob, &is, asHeld(ob, &is))
}

// asHeld looks at a sink whose change the guard holds as its host does: by
// the configuration before, of which here is known what the place holds by it. It
// gives the credentials that it names.
func asHeld(ob *observedSink, is *ExportedSink) []spec.Address {
	in := &ob.in
	in.Moved, in.Changed, ob.desired.Place = false, false, placeOf(in.Record.Written)
	ob.unsure = is.Portrait == nil || slices.ContainsFunc(is.Portrait.Secrets, func(a string) bool { return spec.Address(a).Kind() == "secret" })
	ob.held = slices.AppendSeq([]string{}, maps.Keys(in.Record.Delivered))
	slices.Sort(ob.held)
	uses := make([]spec.Address, len(ob.held))
	for i, a := range ob.held {
		uses[i] = spec.Address(a)
	}
	return uses
}

// compareAway says whether what a block says now, and did not say when its sink
// was written, is a reason to write it.
func (w *worker) compareAway(ctx context.Context, j *job, ob *observedSink, x *Export, is *ExportedSink, recorded func(string) string) error {
	in := &ob.in
	want, err := w.wantedAway(ctx, j, ob, x, recorded)
	if len(in.Awaits) > 0 && errors.Is(err, sinks.ErrUnknown) {
		return nil // what it shall hold comes with another grant
	}
	if err != nil {
		return err
	}
	in.Awaits = nil
	if want != nil {
		want.Secrets = x.hiding(ob.want.Uses, recorded)
	}
	switch is.Portrait.likeness(want) {
	case unlike:
		in.Told = true
	case alike:
		in.Changed = false
	case unclear:
		in.Changed, ob.unsure = false, true
	}
	return nil
}

// wantedAway portrays what a sink shall hold.
func (w *worker) wantedAway(ctx context.Context, j *job, ob *observedSink, x *Export, recorded func(string) string) (*ExportedPortrait, error) {
	want, err := x.portraitOf(ob.kind, j.cfg, j.addr, func(way int, a spec.Address) (spec.Attributes, error) {
		at, err := x.attributesAt(way, recorded(string(a)))
		if err == nil {
			w.awaits(ctx, j, &ob.in, a, &at)
		}
		return at, err
	}, nil)
	slices.Sort(ob.in.Awaits)
	ob.in.Awaits = slices.Compact(ob.in.Awaits)
	return want, err
}
