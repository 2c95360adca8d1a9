package reconcile

import (
	"errors"
	"fmt"
	"slices"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// remove takes away what was written, at its place and at earlier ones.
func (p *sinkPerformer) remove() {
	rec := &p.ob.in.Record
	all := rec.Leaving
	if rec.Written != nil {
		all = append(slices.Clone(all), rec.Written)
	}
	left, err := p.takeAll(all)
	switch {
	case err != nil:
		p.failed("removing", err)
		return
	case len(left) > 0:
		p.awaits(Removing, left)
		return
	}
	p.w.log.Info("removed", "address", p.j.addr, "type", p.ob.kindOf, "reason", p.step.Reason)
	p.r.began = begun{Sinks: 1}
	hooks := slices.Clone(rec.Notify)
	if cfg := p.j.last; cfg != nil {
		if s, err := cfg.Sink(spec.Address(p.j.addr)); err == nil {
			for _, h := range s.Notify {
				hooks = append(hooks, string(h))
			}
		}
	}
	slices.Sort(hooks)
	hooks = slices.Compact(hooks)
	p.r.hooks = hooks
	if len(hooks) > 0 {
		p.w.runs.wrote(p.j.addr, hooks)
		if !p.owe(hooks) {
			p.r.began, p.r.hooks = begun{}, nil // it is found out again that nothing is there
		}
		return
	}
	p.drop()
}

// dropTold ends a sink whose place stays as it is, but for the hooks that have not run
// yet for its last write: whoever reads there is to be told of that all the same.
func (p *sinkPerformer) dropTold() {
	if owed := p.ob.in.Record.Notify; len(owed) > 0 {
		p.owe(owed)
		return
	}
	p.drop()
}

// owe keeps the record of a sink of which nothing is left but hooks that have
// not run: a start takes them up, and the record goes when they have. False: that
// could not be recorded.
func (p *sinkPerformer) owe(hooks []string) bool {
	rec := &p.ob.in.Record
	rec.Written, rec.Leaving, rec.Delivered, rec.Left, rec.Failure, rec.Notify = nil, nil, nil, nil, nil, hooks
	rec.WrittenAt = p.w.now()
	if p.commit(rec) != nil {
		return false
	}
	p.r.stored, p.r.holds, p.r.standing, p.r.owed = true, nonNil(nil), standingOf(untoldSink(&p.ob.in)), hooks
	p.answer(nil)
	return true
}

func (p *sinkPerformer) clean() {
	rec := &p.ob.in.Record
	own := placeOf(rec.Written)
	others := elsewhere(rec.Leaving, own)
	left, err := p.takeAll(others)
	// What its own place may hold besides stays known until that is written over.
	rec.Leaving = append(slices.DeleteFunc(rec.Leaving, func(a []byte) bool { return placeOf(a) != own }), left...)
	leftSome(rec, func(c string) bool { _, names := p.ob.gens[c]; return names || !p.ob.in.Declared })
	p.r.holds = holdings(rec)
	if err != nil {
		p.failed("cleaning the earlier place of", err)
		return
	}
	if rec.Failure != nil || len(left) < len(others) {
		rec.Failure = nil
		if p.commit(rec) != nil {
			return // what is not recorded is not gone on from
		}
	}
	places := slices.DeleteFunc(cleaned(others, left), func(place string) bool { return slices.Contains(p.spared, place) })
	if len(places) > 0 && p.step.Action == ActClean {
		p.w.log.Info("cleaned", "address", p.j.addr, "type", p.ob.kindOf, "places", list(places), "reason", p.step.Reason)
	}
	if p.r.standing = nil; len(left) > 0 {
		p.awaits(Pending, left)
		return
	}
	p.r.again = true // what the place holds may be newer than its record
	p.answer(nil)
}

// cleaned are the places that are among some and not among those that are left.
func cleaned(all, left [][]byte) []string {
	var places []string
	for _, a := range all {
		if p := placeOf(a); !slices.Contains(places, p) && !slices.ContainsFunc(left, func(b []byte) bool { return placeOf(b) == p }) {
			places = append(places, p)
		}
	}
	return places
}

// takeAll takes away what is at places. One that another sink claims by now is
// that sink's to write over: it is left, until it has been.
func (p *sinkPerformer) takeAll(accounts [][]byte) (left [][]byte, err error) {
	places := byPlace(accounts)
	for i, of := range places {
		switch by, taken := p.w.claimed(p.ctx, p.j.force, placeOf(of[0])); {
		case taken:
		case by != "" && by != p.j.addr: // what it claims itself, but for a change that is held, is no other's
			left = append(left, slices.Concat(of)...)
		default:
			if err := p.take(of); err != nil {
				return append(left, slices.Concat(places[i:]...)...), err
			}
		}
	}
	return left, nil
}

// awaits says that the rest goes on once other sinks have written their places.
func (p *sinkPerformer) awaits(s State, left [][]byte) {
	place := placeOf(left[0])
	p.r.next = p.w.now().Add(lookAgain)
	p.r.standing = &Standing{State: s, Why: fmt.Sprintf("%s, which it leaves, is still to be written by %s", place, p.w.claimant(p.j.force, place)), Next: "looked at again"}
	p.answer(nil)
}

func (p *sinkPerformer) drop() {
	if p.ob.in.Stored {
		err := p.w.store.Commit(p.ctx, state.Change{Delete: p.j.addr})
		switch {
		case errors.Is(err, state.ErrConflict):
			p.r.again = true
			return
		case err != nil: // it is found out again, and holds nobody up meanwhile
			p.r.next, p.r.began = p.w.now().Add(lookAgain), begun{}
			p.r.standing = &Standing{State: Failing, Why: fmt.Sprintf("recording the end of it: %s", err), Next: "tried again", Mend: "make room for the state, or mend its disk"}
			p.answer(err)
			return
		}
	}
	p.w.unsaved.outcome(p.j.addr, nil, nil)
	p.r.drop, p.r.stored, p.r.holds = true, false, nil
	p.answer(nil)
}
