package reconcile

import (
	"context"
	"errors"
	"slices"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// A place may hold what is not recorded: a crash, or a full disk, came between
// the write and its record. Once its sink is declared no more, what the last
// configuration would have there tells whether it was written by us.

// observeUnrecorded looks for that at the place of a sink of which no write is
// recorded at all. Only files are asked: they cannot stall.
func (w *worker) observeUnrecorded(ctx context.Context, j job, ob *observedSink) {
	if j.last == nil || ob.in.Forgotten || j.noSecrets || w.o.Away {
		return // a plan that may not look does without
	}
	want, err := j.last.Outline(spec.Address(j.addr))
	if err != nil || !slices.ContainsFunc(want.Uses, func(a spec.Address) bool { return a.Kind() == "credential" }) {
		return // what else stands there may well be somebody else's
	}
	kind, err := w.sinkKind(want.Kind)
	if err != nil {
		return
	}
	d, err := w.lastDesired(ctx, j, kind)
	if err != nil || d.Target != "" || w.claimant(j.force, d.Place) != "" {
		return
	}
	// One that cannot be looked at now is looked at again; what never can be was
	// never written.
	if drift, err := kind.Check(ctx, d, nil); drift != "" || errors.Is(err, sinks.ErrPermanent) {
		return
	}
	ob.kind, ob.kindOf = kind, want.Kind
	ob.in.Record.SinkKind, ob.in.Record.Written = want.Kind, withPlace(nil, d.Place)
}

// lastDesired is what the place of a sink that is gone would hold by the
// configuration that declared it last.
func (w *worker) lastDesired(ctx context.Context, j job, kind sinks.Sink) (sinks.Desired, error) {
	args, err := j.last.SinkArgs(spec.Address(j.addr), w.scope(ctx, j.last))
	if err != nil {
		return sinks.Desired{}, err
	}
	return kind.Render(args)
}

// unrecorded is the account of what a place holds although it is not recorded,
// when that is just what the last configuration would have there: it was
// written by us, and a crash came before the record.
func (p *sinkPerformer) unrecorded(ctx context.Context, account []byte) ([]byte, error) {
	if p.j.last == nil || p.ob.in.Declared {
		return nil, sinks.ErrForeign
	}
	d, err := p.w.lastDesired(ctx, p.j, p.ob.kind)
	if err != nil || d.Place != placeOf(account) {
		return nil, sinks.ErrForeign // or what it would hold is not known any more
	}
	drift, err := p.ob.kind.Check(ctx, d, accountOf(account))
	if err != nil {
		return nil, err
	}
	if drift != "" {
		return nil, sinks.ErrForeign
	}
	return p.ob.kind.Write(ctx, d, accountOf(account))
}
