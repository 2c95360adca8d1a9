package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// observedSink is what one look at a sink found.
type observedSink struct {
	in      SinkInput
	kind    sinks.Sink
	kindOf  string
	desired sinks.Desired
	want    *spec.Sink
	digest  [16]byte
	gens    map[string]uint64 // of the credentials that it names, now
	lane    string            // where its place is looked at and written
	found   sinks.Mark        // what the place says of who delivered there
	by      *spec.Config      // by which it was looked at instead of the one in force
	left    []leftPlace       // the earlier places that it has still to leave
	owed    []string          // the hooks that its record said have not run
	held    []string          // away from the host: the credentials that it holds the tokens of while its change is held
	last    []sinks.Desired   // what the configuration before would have at the place that it leaves; nil: that was not asked
	unsure  bool              // only what is hidden tells whether it has to be written
	// stamp is of its file, as it was just before it was compared; zero where it was not.
	stamp stamp
}

// observeSink gathers what deciding about a sink needs: its record, the tokens
// that it names, what the place holds. It changes nothing.
func (w *worker) observeSink(ctx context.Context, j *job) (*observedSink, error) {
	ob := &observedSink{in: SinkInput{Now: j.now, Address: j.addr, Guarded: j.guarded, Quiet: j.quiet, Unsettled: j.unsettled, Stuck: j.stuck,
		Forgotten: j.cfg == nil && j.force != nil && j.force.Forgets(spec.Address(j.addr))}, gens: map[string]uint64{}, lane: j.lane.name}
	in := &ob.in
	if j.order != nil {
		in.Order = j.order.order
	}
	var rec state.Sink
	var err error
	if j.stored {
		rec, err = w.store.Sink(ctx, j.addr)
	}
	switch {
	case err == nil:
		in.Stored = j.stored
	case !errors.Is(err, state.ErrNotFound):
		return ob, err // which says what could not be read
	}
	rec.Head.Address, rec.Head.Kind = j.addr, state.KindSink
	ob.owed = rec.Notify
	w.unsaved.add(&rec)
	rec.Failure = overAfterSetBack(rec.Failure, j.now)
	in.Record = rec
	if j.cfg == nil && w.o.Away && j.guarded != "" && in.Stored {
		return ob, w.observeHeldAway(ctx, j, ob)
	}
	if j.cfg == nil {
		return ob, w.observeGoneSink(ctx, j, ob)
	}
	in.Declared = true
	if ob.want, err = j.cfg.Outline(spec.Address(j.addr)); err != nil {
		return ob, err
	}
	ob.digest, _ = j.cfg.Digest(spec.Address(j.addr))
	in.Changed = in.Stored && rec.Head.Digest != ob.digest
	ob.left = w.leaving(ctx, j, &rec)
	in.leftTo(ob.left)
	if ob.kind, err = w.sinkKind(ob.want.Kind); err != nil {
		return ob, err
	}
	ob.kindOf = ob.want.Kind
	if w.o.Away {
		return ob, w.observeAway(ctx, j, ob)
	}
	if err = w.observePlace(ctx, j, ob); err == nil && len(ob.in.Awaits) > 0 && len(ob.in.Missing) == 0 {
		return w.meanwhile(ctx, j, ob) // but for a token that is missing besides, for which it waits in any case
	}
	return ob, err
}

func (w *worker) observeGoneSink(ctx context.Context, j *job, ob *observedSink) error {
	if rec := ob.in.Record; rec.Written == nil && len(rec.Leaving) == 0 {
		return nil // there is nothing to clean, and no kind that knows how
	}
	var err error
	place := placeOf(ob.in.Record.Written)
	by, taken := w.claimed(ctx, j.force, place)
	ob.in.Claimed, ob.in.Heir, ob.in.Taken = by != "", by, taken
	ob.kindOf = ob.in.Record.SinkKind
	if ob.kind, err = w.sinkKind(ob.kindOf); err != nil {
		return err
	}
	if ob.lane == localLane && ob.in.Record.Written != nil && len(ob.kind.Paths(accountOf(ob.in.Record.Written))) == 0 {
		ob.lane = laneOfPlace(ob.kindOf) // which of its kind it was written to is not known any more
	}
	if was := w.keeps(ctx, j, ob); was != nil {
		*ob = *was
	}
	return nil
}

func (w *worker) sinkKind(name string) (sinks.Sink, error) {
	k, ok := w.o.Sinks[name]
	if !ok {
		return nil, fmt.Errorf("there is no kind of sink %q", name)
	}
	return k, nil
}

// observePlace renders what the place shall hold and compares.
func (w *worker) observePlace(ctx context.Context, j *job, ob *observedSink) error {
	in := &ob.in
	scope := w.scope(ctx, j.cfg)
	if j.noSecrets {
		scope.Secret = nil
	}
	read := scope.Credential
	scope.Credential = func(a spec.Address) (spec.Attributes, error) {
		at, err := w.tokenOf(j, a, read)
		if err == nil {
			ob.gens[string(a)] = at.Generation
			w.awaits(ctx, j, in, a, &at)
		}
		return at, err
	}
	args, err := j.cfg.SinkArgs(spec.Address(j.addr), scope)
	if err != nil {
		if missing := missingToken(err); missing != "" {
			in.Missing = []string{missing}
			if j.dry {
				return mistaken(j, ob) // which would be said once the token is there
			}
			return nil
		}
		return err
	}
	for a, gen := range ob.gens {
		if in.Record.Delivered[a] != gen {
			in.Newer = append(in.Newer, a)
		}
	}
	sort.Strings(in.Newer)
	if ob.desired, err = ob.kind.Render(args); err != nil {
		if len(in.Awaits) > 0 && errors.Is(err, sinks.ErrUnknown) {
			ob.desired = sinks.Desired{}
			return nil
		}
		if in.Deferred = j.noSecrets && errors.Is(err, sinks.ErrUnknown); in.Deferred {
			return nil
		}
		return err
	}
	in.Awaits = nil // it names nothing of that
	if f := in.Record.Failure; f != nil && in.Now.Before(f.NextAt) && !in.Changed && in.Order.Kind != OrderRetry {
		return nil // backed off: the place is not even asked
	}
	if ob.lane = laneOfPlace(ob.desired.Target); ob.lane != j.lane.name && !j.dry {
		return nil // it is looked at there: a Vault that stalls must not hold up files
	}
	in.Moved = in.Record.Written != nil && placeOf(in.Record.Written) != ob.desired.Place
	if in.Named = !in.Moved && named(&in.Record); (!in.Stored || in.Named) && !j.dry {
		// It is written whatever its place holds: without an account of a write of
		// our own it could not be cleaned one day.
		in.Drift, in.Checked = "it was never written", true
		return nil
	}
	if in.Moved && j.last != nil && !j.dry {
		ob.last = w.lastDesireds(ctx, j, ob.kind, &in.Record) // before a slow place is compared: credentials move on meanwhile
	}
	last := accountOf(in.Record.Written)
	if in.Moved || in.Named {
		last = nil
	}
	ob.desired.Found = func(m sinks.Mark) { ob.found = m }
	if paths := ob.kind.Paths(accountOf(in.Record.Written)); len(paths) > 0 && last != nil {
		ob.stamp = stampOf(paths[0]) // before it is compared: what is done to it after that is news
	}
	in.Drift, err = ob.kind.Check(ctx, ob.desired, last)
	if in.Checked = err == nil; in.Checked {
		in.Another = j.first && in.Drift == "" && last != nil && !ob.kind.Wrote(ob.desired, last)
	} else {
		in.Drift = "it could not be compared: " + err.Error()
	}
	return nil
}

// mistaken says what is wrong with a sink that waits for a token, as far as that
// is known without it: a plan that keeps it to itself would not be true.
func mistaken(j *job, ob *observedSink) error {
	s, err := j.cfg.Sink(spec.Address(j.addr))
	if err != nil {
		return err
	}
	if _, err = ob.kind.Render(s.Static); errors.Is(err, sinks.ErrUnknown) {
		return nil
	}
	return err
}

// tokenOf is the token in force of a credential that a sink names.
func (w *worker) tokenOf(j *job, a spec.Address, read func(spec.Address) (spec.Attributes, error)) (spec.Attributes, error) {
	if i := slices.Index(j.uses, string(a)); i >= 0 {
		if g, ok := w.recent.get(string(a), j.gens[i]); ok {
			return attributesOf(g)
		}
	}
	return read(a)
}

// missingToken is the credential that an evaluation could not do without.
func missingToken(err error) string {
	var un *spec.UnreadableError
	if errors.As(err, &un) && errors.Is(err, errNoToken) {
		return string(un.Addr)
	}
	return ""
}
