package reconcile

import (
	"errors"
	"sync"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// placeTurns has what is done to one place done one after the other: two sinks
// may have it in turn, when one is renamed.
type placeTurns struct {
	mu    sync.Mutex
	taken map[string]*placeTurn
}

type placeTurn struct {
	turn    turn
	waiting int // with the one that has it
}

// take waits for a place's turn, and returns how to give it back, and whether
// another was done with it meanwhile.
func (t *placeTurns) take(place string) (release func(), waited bool) {
	t.mu.Lock()
	p := t.taken[place]
	if p == nil {
		if t.taken == nil {
			t.taken = map[string]*placeTurn{}
		}
		p = &placeTurn{turn: make(turn, 1)}
		t.taken[place] = p
	}
	waited = p.waiting > 0
	p.waiting++
	t.mu.Unlock()
	p.turn.Lock()
	return func() {
		p.turn.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if p.waiting--; p.waiting == 0 {
			delete(t.taken, place)
		}
	}, waited
}

// errSuperseded: the sink is not declared any more, since it was looked at.
var errSuperseded = errors.New("the configuration does not declare it any more")

// longLook is how long a look at a place may take before it is asked whether
// what it found out still holds.
const longLook = time.Second

// errOutdated: a newer token than it was looked at with is recorded by now.
var errOutdated = errors.New("there is a newer token by now")

// put writes a sink's place, when it is its turn. A sink that went meanwhile is
// not written: its place may be another's, which has written it already, and
// perhaps with newer tokens.
func (p *sinkPerformer) put(last []byte) ([]byte, error) {
	release, waited := p.w.turns.take(p.ob.desired.Place)
	defer release()
	if (waited || p.w.now().Sub(p.j.now) > longLook) && p.outdated() {
		return nil, errOutdated
	}
	if p.superseded() {
		return nil, errSuperseded
	}
	p.ob.desired.Mark, p.wrote = p.w.mark(p.ob), sinks.Seen{}
	p.ob.desired.Left = func(s sinks.Seen) { p.wrote = s }
	return p.ob.kind.Write(p.ctx, p.ob.desired, last)
}

// superseded says that a sink may not write its place any more. One that keeps it for
// its heir may until that begins, as long as the configuration is as it was.
func (p *sinkPerformer) superseded() bool {
	cfg := p.w.config.Load()
	if p.ob.in.Keeps {
		return cfg != p.j.force || p.w.hasBegun(p.ctx, p.ob.in.Heir, p.ob.desired.Place)
	}
	return cfg != nil && p.j.guarded == "" && !cfg.Declares(spec.Address(p.j.addr))
}

// outdated says that a credential has a newer generation than the one that is
// about to be written.
func (p *sinkPerformer) outdated() bool {
	for addr, gen := range p.ob.gens {
		if rec, _, err := p.w.store.Credential(p.ctx, addr); err == nil && rec.Head.Generation > gen {
			return true
		}
	}
	return false
}

// neverWritten says that a first write was tried and refused for good: a place
// that is named, and no more, may have been written before a crash.
func neverWritten(rec *state.Sink) bool {
	f := rec.Failure
	return f != nil && f.Op == opWrite && f.Class == string(providers.ClassPermanent)
}

// classUntouched is the class of a failed first write that sent nothing to its place,
// nor did any try before it.
const classUntouched = "untouched"

// untouched says that nothing was ever sent to the place that a record names: there is
// nothing of ours to clean. It holds from the first try on, and is taken back before
// each that follows, so that a crash in the midst of one leaves it unsaid.
func untouched(rec *state.Sink) bool {
	return named(rec) && rec.Failure != nil && rec.Failure.Op == opWrite && rec.Failure.Class == classUntouched
}

// take removes what is at one place, by the accounts of what was written there
// or was about to be, the newest first. What somebody else has changed since is
// theirs now.
func (p *sinkPerformer) take(accounts [][]byte) error {
	release, _ := p.w.turns.take(placeOf(accounts[0]))
	defer release()
	if rec := &p.ob.in.Record; untouched(rec) && placeOf(rec.Written) == placeOf(accounts[0]) {
		p.w.log.Info("a place that nothing was ever sent to is given up", "address", p.j.addr, "type", p.ob.kindOf)
		return nil
	}
	ctx := withConfig(p.ctx, p.j.last)
	began := p.w.now()
	err := sinks.ErrForeign
	for _, a := range accounts {
		if written := accountOf(a); written != nil {
			err = p.ob.kind.Remove(ctx, written)
		}
		if !errors.Is(err, sinks.ErrForeign) {
			break
		}
	}
	if errors.Is(err, sinks.ErrForeign) {
		var ours []byte
		if ours, err = p.unrecorded(ctx, accounts[0]); ours != nil {
			err = p.ob.kind.Remove(ctx, ours)
		}
	}
	p.observe(err, p.w.now().Sub(began))
	rec := &p.ob.in.Record
	if errors.Is(err, sinks.ErrPermanent) && named(rec) && placeOf(rec.Written) == placeOf(accounts[0]) && neverWritten(rec) {
		p.w.log.Warn("a place that never could be written is given up", "address", p.j.addr, "error", err)
		return nil
	}
	if errors.Is(err, sinks.ErrForeign) {
		p.w.log.Warn("a place was changed by someone else and is left alone", "address", p.j.addr, "error", err)
		p.spared = append(p.spared, placeOf(accounts[0]))
		return nil
	}
	return err
}
