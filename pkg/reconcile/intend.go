package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// No place is written for the first time before the state names it. The record
// says what is about to be written where, and counts the tokens as held there;
// only then the place is touched. So whatever comes between, a crash, a disk
// that takes nothing more, another configuration: what may have been left there
// is known, is waited for before its tokens are revoked, and is cleaned.

// named says that a record names a place and tells of no write there yet.
func named(rec *state.Sink) bool { return rec.Written != nil && rec.WrittenAt.IsZero() }

// intend records that the sink is about to write its place for the first time;
// false when that could not be recorded, and nothing is to be written.
func (p *sinkPerformer) intend() bool {
	rec := &p.ob.in.Record
	account, err := p.ob.kind.Intend(p.ob.desired)
	if err != nil {
		p.failed("writing", err)
		return false
	}
	intended, next := withPlace(account, p.ob.desired.Place), *rec
	tried := untouched(rec)
	goesTo(&next, p.ob.desired.Place, p.ob.gens)
	if tried || !named(rec) || !bytes.Equal(rec.Written, intended) || !maps.Equal(rec.Delivered, next.Delivered) {
		if rec.Written != nil && !bytes.Equal(rec.Written, intended) {
			next.Leaving = leaveBehind(rec)
			if tried {
				next.Leaving = elsewhere(next.Leaving, placeOf(rec.Written))
			}
		}
		if tried { // what this write does is not known before it has ended
			f := *rec.Failure
			f.Class, next.Failure = "transient", &f
		}
		next.SinkKind, next.Written, next.WrittenAt = p.ob.kindOf, intended, time.Time{}
		if *rec = next; tried {
			keepsLeft(rec)
		}
		if err := p.commit(rec); err != nil {
			return false
		}
	}
	p.r.stored, p.r.holds = true, holdings(rec)
	return true
}

// promise records, before a place is repaired, which hooks have to run for it:
// after a crash the place is as it shall be, and nothing else would tell. A disk
// that takes nothing keeps no place from being repaired. It is false when the
// record was written by somebody else meanwhile: by a run, say, that has ended since
// it was read, which only writing tells, also where the record names all of them.
func (p *sinkPerformer) promise() bool {
	rec := &p.ob.in.Record
	if len(p.ob.want.Notify) == 0 {
		return true
	}
	hooks := make([]string, len(p.ob.want.Notify))
	for i, h := range p.ob.want.Notify {
		if hooks[i] = string(h); !slices.Contains(rec.Notify, hooks[i]) {
			rec.Notify = append(slices.Clip(rec.Notify), hooks[i])
		}
	}
	p.w.runs.wrote(p.j.addr, hooks) // a run under way does not keep the promise
	flagOwed(rec)
	err := p.w.store.Commit(p.ctx, state.Change{Sink: rec})
	if errors.Is(err, state.ErrConflict) {
		p.r.again = true
		return false
	}
	if err != nil {
		p.w.log.Warn("recording which hooks a repair has to run failed; a crash would forget them", "address", p.j.addr, "error", err)
	}
	return true
}

// commit writes the sink's record and waits for it.
func (p *sinkPerformer) commit(rec *state.Sink) error {
	flagOwed(rec)
	if p.j.called != nil && p.j.lane.name == localLane {
		p.j.called.over(p.j.lane)
	}
	err := p.w.store.Commit(p.ctx, state.Change{Sink: rec})
	p.j.called.again()
	switch {
	case err == nil:
		p.w.unsaved.outcome(p.j.addr, nil, nil)
	case errors.Is(err, state.ErrConflict):
		p.r.again = true // a hook has run meanwhile, and its answer was recorded: what is there now is read again at once
	case err != nil:
		p.w.log.Warn("recording where a sink is failed; nothing is written there or cleaned before", "address", p.j.addr, "error", err)
		p.r.next = p.w.now().Add(lookAgain)
		p.r.standing = &Standing{State: Failing, Why: err.Error(), Next: "recorded again", Mend: "make room for the state, or mend its disk"}
		p.answer(fmt.Errorf("recording where %s is: %w", p.j.addr, err))
	}
	return err
}

// mayHold remembers that the place may hold something else than what is
// recorded as written there: what a write would have left that failed without
// telling whether it was made, or one whose record a crash has lost. It reports
// whether that is news.
func (p *sinkPerformer) mayHold(d sinks.Desired) bool {
	rec := &p.ob.in.Record
	if rec.Written == nil || placeOf(rec.Written) != d.Place {
		return false // nothing was begun there
	}
	account, err := p.ob.kind.Intend(d)
	intended := withPlace(account, d.Place)
	if err != nil || bytes.Equal(rec.Written, intended) {
		return false
	}
	known := slices.ContainsFunc(rec.Leaving, func(a []byte) bool { return bytes.Equal(a, intended) })
	rec.Leaving = leave(rec.Leaving, intended)
	return !known
}

// remember records what the place may hold.
func (p *sinkPerformer) remember(d sinks.Desired) {
	if p.mayHold(d) {
		p.record(&p.ob.in.Record)
	}
}

// mostLeft is how many accounts of one place are kept: one that answers nothing
// for long is tried with one token after the other.
const mostLeft = 8

// leave adds an account to those of what a sink's places may hold.
func leave(list [][]byte, account []byte) [][]byte {
	var same []int
	for i, a := range list {
		switch {
		case placeOf(a) != placeOf(account):
		case bytes.Equal(a, account) && len(same) == 0:
			return list // what was there first stays so
		case !bytes.Equal(a, account):
			same = append(same, i)
		}
	}
	list = slices.Clone(list)
	if len(same) >= mostLeft {
		// What was there first, and what came last, are the likeliest to be there still.
		list = slices.Delete(list, same[mostLeft/2], same[mostLeft/2]+1)
	}
	return append(slices.DeleteFunc(list, func(a []byte) bool { return bytes.Equal(a, account) }), account)
}

// leaveBehind adds to what a sink's places may hold what its own does. What was
// written there for certain is what was there first, whatever was tried since: it
// is there still unless one of those tries was a write.
func leaveBehind(rec *state.Sink) [][]byte {
	list := leave(rec.Leaving, rec.Written)
	if named(rec) {
		return list
	}
	return holdsFirst(list, rec.Written)
}

// holdsFirst adds an account of what was written for certain to those of what a sink's
// places may hold, as the first of them: what was tried there since comes after it,
// and does not have it forgotten however often that fails.
func holdsFirst(list [][]byte, account []byte) [][]byte {
	list = leave(list, account)
	others := slices.DeleteFunc(slices.Clone(list), func(a []byte) bool { return bytes.Equal(a, account) })
	return append([][]byte{account}, others...)
}

// leaves says that a sink has other places than its own to clean.
func leaves(rec *state.Sink) bool {
	own := placeOf(rec.Written)
	return slices.ContainsFunc(rec.Leaving, func(a []byte) bool { return placeOf(a) != own })
}

// elsewhere are the accounts of other places than one: what was written there
// earlier is written over.
func elsewhere(list [][]byte, place string) [][]byte {
	return slices.DeleteFunc(slices.Clone(list), func(a []byte) bool { return placeOf(a) == place })
}

// byPlace sorts accounts by place, in the order in which the places come, the
// newest of each first.
func byPlace(list [][]byte) [][][]byte {
	var out [][][]byte
	at := map[string]int{}
	for _, a := range list {
		place := placeOf(a)
		i, ok := at[place]
		if !ok {
			i = len(out)
			at[place], out = i, append(out, nil)
		}
		out[i] = append([][]byte{a}, out[i]...)
	}
	return out
}

// claimed says which sink of a configuration claims a place, "" for none, and
// whether it has written it: until then the place holds what it held.
func (w *worker) claimed(ctx context.Context, cfg *spec.Config, place string) (by string, taken bool) {
	if by = w.claimant(cfg, place); by == "" {
		return "", false
	}
	rec, err := w.store.Sink(ctx, by)
	return by, err == nil && placeOf(rec.Written) == place && !named(&rec)
}
