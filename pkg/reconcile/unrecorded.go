package reconcile

import (
	"context"
	"slices"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A place that the state names may hold a newer token than the one recorded
// there: a crash, or a full disk, came between the write and its record. Once
// its sink is declared no more, what the last configuration would have there
// tells whether it was written by us.

// lastDesired is what the place of a sink that is gone would hold by the
// configuration that declared it last.
func (w *worker) lastDesired(ctx context.Context, j *job, kind sinks.Sink) (sinks.Desired, error) {
	return desiredBy(j, kind, w.scope(ctx, j.last))
}

func desiredBy(j *job, kind sinks.Sink, scope spec.Scope) (sinks.Desired, error) {
	args, err := j.last.SinkArgs(spec.Address(j.addr), scope)
	if err != nil {
		return sinks.Desired{}, err
	}
	return kind.Render(args)
}

// lastDesireds are lastDesired now and at each moment since the record of the sink was
// written, as far as the tokens of then are known still: those that a newer one took
// the place of, and that are still to be revoked. The oldest is first.
func (w *worker) lastDesireds(ctx context.Context, j *job, kind sinks.Sink, rec *state.Sink) []sinks.Desired {
	uses, err := j.last.Uses(spec.Address(j.addr))
	if err != nil {
		return nil
	}
	retired := map[spec.Address][]state.Grant{}
	var moments []time.Time
	for _, a := range uses {
		if a.Kind() != "credential" {
			continue
		}
		c, _, err := w.store.Credential(ctx, string(a))
		if err != nil {
			continue // without it the place is rendered neither
		}
		for _, g := range c.Retiring {
			if g.Retired != nil && !unspent(&g) && g.Generation > rec.Delivered[string(a)] {
				retired[a], moments = append(retired[a], g), append(moments, g.Retired.Since)
			}
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	var out []sinks.Desired
	scope := w.scope(ctx, j.last)
	now := scope.Credential
	for _, before := range slices.CompactFunc(moments, time.Time.Equal) {
		scope.Credential = func(a spec.Address) (spec.Attributes, error) {
			if i := slices.IndexFunc(retired[a], func(g state.Grant) bool { return !g.Retired.Since.Before(before) }); i >= 0 {
				return attributesOf(&retired[a][i])
			}
			return now(a)
		}
		if d, err := desiredBy(j, kind, scope); err == nil {
			out = append(out, d)
		}
	}
	if d, err := w.lastDesired(ctx, j, kind); err == nil {
		out = append(out, d)
	}
	return out
}

// mayHoldLast remembers, at the first look since the start, what the last
// configuration would have at the place of a sink that is gone, or that has
// another one now, and what it would have had there with the tokens before: its
// credentials move on while it waits for that look, and for its removal.
func (p *sinkPerformer) mayHoldLast() {
	if p.j.last == nil || p.ob.kind == nil || p.ob.in.Forgotten {
		return
	}
	last := p.ob.last
	if last == nil {
		last = p.w.lastDesireds(p.ctx, p.j, p.ob.kind, &p.ob.in.Record)
	}
	news := false
	for _, d := range last {
		news = p.mayHold(d) || news
	}
	if news && !p.step.moves(p.ob) { // else recorded with the place that it is about to get
		p.record(&p.ob.in.Record)
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
	if pendingOf(err) != nil {
		return nil, err
	}
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
