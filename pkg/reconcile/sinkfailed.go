package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// maxSinkBackOff bounds how long a place is left alone after it came back: an
// expired token must not stay there for longer.
const maxSinkBackOff = 30 * time.Second

func (p *sinkPerformer) failed(verb string, err error) {
	if rd := pendingOf(err); rd != nil {
		*p.r = *p.j.waitsForSecret(rd)
		return
	}
	if p.w.isStopped() && errors.Is(err, context.Canceled) {
		if p.ob.in.Declared {
			p.remember(p.ob.desired)
		}
		p.answer(errStopping) // cut short by the stop, which is no failure of the place
		return
	}
	if outdated := errors.Is(err, errOutdated); outdated || errors.Is(err, errSuperseded) {
		if p.step.Action == ActRecord {
			p.remember(p.ob.desired) // the place holds it already, by a write that was not recorded
		}
		if p.r.again, p.r.overtaken = true, true; !outdated {
			p.answer(err)
		}
		return
	}
	rec := &p.ob.in.Record
	if rec.SinkKind == "" {
		rec.SinkKind = p.ob.kindOf
	}
	if p.ob.in.Declared {
		p.mayHold(p.ob.desired)
	}
	o := outcome{op: opWrite, class: "transient", message: err.Error(), hint: cure(err)}
	if p.step.Action == ActRemove || p.step.Action == ActClean {
		o.op = opClean
	}
	if errors.Is(err, sinks.ErrPermanent) {
		o.class = string(providers.ClassPermanent)
	}
	if p.untouched && errors.Is(err, sinks.ErrUntouched) {
		o.class = classUntouched
	}
	now := p.w.now()
	retry := spec.RetryPolicy{Initial: time.Second, Max: maxSinkBackOff}
	rec.Failure = nextFailure(rec.Failure, o, now, retry, fraction(p.j.addr, p.w.o.Host, fmt.Sprint(now.Unix())), false)
	p.w.log.Warn(verb+" a sink failed", "address", p.j.addr, "type", p.ob.kindOf, "error", err, "again_at", rec.Failure.NextAt)
	p.record(rec)
	p.r.stored = true
	p.r.next = rec.Failure.NextAt
	why := err.Error()
	st := Failing
	if p.step.Action == ActRemove || p.step.Action == ActClean {
		why = "cannot clean: " + why
	}
	if p.step.Action == ActRemove {
		st = Removing
	}
	p.r.standing = &Standing{State: st, Why: why, Next: "tried again at " + rec.Failure.NextAt.UTC().Format(time.RFC3339), Mend: mendSink(&p.ob.in, rec.Failure)}
	p.answer(fmt.Errorf("%s %s: %w", verb, p.j.addr, err))
}
