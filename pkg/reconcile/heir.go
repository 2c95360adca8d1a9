package reconcile

import (
	"context"
	"errors"
	"slices"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A block that gets another name without a moved block is a sink that goes and one that
// comes, at one place. The one that has the place now, its heir, may not be able to
// write it for long: it names what only another grant will have, or a token that is not
// there. Whoever reads there shall not be left with a token that ends meanwhile. So the
// one that goes keeps its place: it goes on there as it was declared last, where the
// world of that configuration is still there ([stillSaid]), until its heir has begun to
// write. The record of that beginning comes before the write, and both take their turn
// at the place ([placeTurns]); so nothing is written there after it.

// keeps looks at a removed sink as one that keeps its place for its heir, by the
// configuration that declared it last; nil where it does not.
func (w *worker) keeps(ctx context.Context, j *job, ob *observedSink) *observedSink {
	in := &ob.in
	place := placeOf(in.Record.Written)
	switch {
	case j.last == nil || w.o.Away || !in.leftToHeir() || named(&in.Record):
		return nil
	case in.Guarded != "" || in.Stuck != "" || in.Forgotten || in.Unsettled != "" || in.Now.Before(in.Quiet):
		return nil // another rule says what is done with it
	case !stillSaid(j.last, j.force, j.addr, ob.kind, place) || w.hasBegun(ctx, in.Heir, place) || w.another(ctx, j, &in.Record):
		return nil
	}
	heir, err := j.force.Sink(spec.Address(in.Heir))
	if err != nil {
		return nil
	}
	look := *j
	look.cfg = j.last
	was, err := w.observeSink(withConfig(ctx, look.cfg), &look)
	if err != nil || !was.in.Declared || len(was.in.Missing) > 0 {
		return nil // what it would hold is not there any more
	}
	was.by, was.want.Notify = look.cfg, heir.Notify // who reads there is told as it is said now
	was.in.Keeps, was.in.Claimed, was.in.Heir = true, true, in.Heir
	return was
}

// leftToHeir says that a removed sink has nothing to do but to leave its place to the
// one that has it now, which has not written it.
func (in *SinkInput) leftToHeir() bool {
	return in.Claimed && !leaves(&in.Record) && !in.Taken
}

// hasBegun says whether a sink may have written a place, or be about to.
func (w *worker) hasBegun(ctx context.Context, sink, place string) bool {
	rec, err := w.store.Sink(ctx, sink)
	if errors.Is(err, state.ErrNotFound) {
		return false
	}
	return err != nil || slices.Contains(written(&rec), place) && !untouched(&rec)
}

// another says whether another removed sink has written the place after this one, whose
// it is to keep then.
func (w *worker) another(ctx context.Context, j *job, rec *state.Sink) bool {
	place := placeOf(rec.Written)
	if j.crowd != nil {
		return j.crowd.others(ctx, w.store, place, j.addr)
	}
	return slices.ContainsFunc(j.leaving, func(a string) bool {
		if a == j.addr {
			return false
		}
		o, err := w.store.Sink(ctx, a)
		return err == nil && slices.Contains(written(&o), place) && o.WrittenAt.After(rec.WrittenAt)
	})
}

// keptBy is the configuration by which a sink keeps its place; nil where it does not.
func (ob *observedSink) keptBy() *spec.Config {
	if !ob.in.Keeps {
		return nil
	}
	return ob.by
}

// keepsPlace is what is said of a sink that keeps its place.
func keepsPlace(in *SinkInput) Step {
	why := "it is no longer declared; it goes on at its place with each new token until " + in.heir() + ", which has it now, has written it"
	return Step{Action: ActWait, State: Removing, Next: in.Now.Add(awaitedLook), Reason: why, Why: why}
}

// keepersGoOn decides about the sinks that keep their places, after everything else:
// those that have the places may have written them by then.
func (f *forecast) keepersGoOn() (changed bool) {
	for _, n := range f.nodes {
		changed = n.sink != nil && n.sink.Keeps && f.sinkGoesOn(n) || changed
	}
	return changed
}

// takeKeeper notes for whom a removed sink keeps its place, and has it looked at once
// that one has begun to write.
func (l *Loop) takeKeeper(it *item, r *result) {
	if r.keeps != "" {
		l.keepers[r.keeps] = it.addr
		return
	}
	if keeper, ok := l.keepers[it.addr]; ok && r.holds != nil {
		delete(l.keepers, it.addr)
		if k := l.items[keeper]; k != nil && k.gone {
			l.wake(k)
		}
	}
}
