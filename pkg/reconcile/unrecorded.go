package reconcile

import (
	"context"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// A place that the state names may hold a newer token than the one recorded
// there: a crash, or a full disk, came between the write and its record. Once
// its sink is declared no more, what the last configuration would have there
// tells whether it was written by us.

// lastDesired is what the place of a sink that is gone would hold by the
// configuration that declared it last.
func (w *worker) lastDesired(ctx context.Context, j job, kind sinks.Sink) (sinks.Desired, error) {
	args, err := j.last.SinkArgs(spec.Address(j.addr), w.scope(ctx, j.last))
	if err != nil {
		return sinks.Desired{}, err
	}
	return kind.Render(args)
}

// mayHoldLast remembers, at the first look since the start, what the last
// configuration would have at the place of a sink that is gone, or that has
// another one now: its credentials move on while it waits for its removal.
func (p *sinkPerformer) mayHoldLast() {
	if p.j.last == nil || p.ob.kind == nil || p.ob.in.Forgotten {
		return
	}
	d, err := p.w.lastDesired(p.ctx, p.j, p.ob.kind)
	switch {
	case err != nil:
	case p.step.moves(p.ob):
		p.mayHold(d) // recorded with the place that it is about to get
	default:
		p.remember(d)
	}
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
