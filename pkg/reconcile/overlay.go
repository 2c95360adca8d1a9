package reconcile

import (
	"context"
	"fmt"
	"slices"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// overlay is a store in which records appear under the addresses that moved
// blocks lead to, while the store below keeps them where they are: for a plan,
// and for commands that carry no change of the configuration out. What is
// written goes to where the record is.
type overlay struct {
	state.Store
	moves []rename
	there map[string]string // new address -> where the record is
	here  map[string]string // the other way round
}

func newOverlay(s state.Store, moves []rename) *overlay {
	here := namesOf(moves)
	return &overlay{Store: s, moves: moves, there: reversed(here), here: here}
}

func (o *overlay) below(address string) (string, error) {
	if at, ok := o.there[address]; ok {
		return at, nil
	}
	if to, ok := o.here[address]; ok {
		return "", fmt.Errorf("reading the record of %s, which is %s now: %w", address, to, state.ErrNotFound)
	}
	return address, nil
}

// Heads implements [state.Store].
func (o *overlay) Heads(ctx context.Context, f func(state.Head) error) error {
	return o.Store.Heads(ctx, func(h state.Head) error {
		if _, ok := o.there[h.Address]; ok {
			return nil // nothing but a failure, in whose place the other comes
		}
		if to, ok := o.here[h.Address]; ok {
			h.Address = to
		}
		return f(h)
	})
}

// Credential implements [state.Store].
func (o *overlay) Credential(ctx context.Context, address string) (state.Credential, *state.Intent, error) {
	at, err := o.below(address)
	if err != nil {
		return state.Credential{}, nil, err
	}
	c, i, err := o.Store.Credential(ctx, at)
	c.Head.Address = address
	return c, i, err
}

// Sink implements [state.Store].
func (o *overlay) Sink(ctx context.Context, address string) (state.Sink, error) {
	at, err := o.below(address)
	if err != nil {
		return state.Sink{}, err
	}
	k, err := o.Store.Sink(ctx, at)
	k.Head.Address = address
	renameHoldings(&k, o.here, o.there)
	return k, err
}

// Meta implements [state.Store].
func (o *overlay) Meta(ctx context.Context, key string) ([]byte, error) {
	if key == metaImports {
		c, err := movedImports(ctx, o.Store, o.here)
		if err != nil {
			return nil, err
		}
		if c.Meta != nil {
			return c.Meta, nil
		}
	}
	if key == metaRenamed || key == metaLeaving {
		changes, err := movedNames(ctx, o.Store, o.moves)
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			if c.MetaKey == key && c.Meta != nil {
				return c.Meta, nil
			}
		}
		return nil, fmt.Errorf("reading %s: %w", key, state.ErrNotFound)
	}
	return o.Store.Meta(ctx, key)
}

// Commit implements [state.Store].
func (o *overlay) Commit(ctx context.Context, changes ...state.Change) error {
	down := o.down(changes)
	err := o.Store.Commit(ctx, down...)
	if err == nil {
		up(changes, down)
	}
	return err
}

// Later implements [state.Store].
func (o *overlay) Later(done func(error), changes ...state.Change) {
	down := o.down(changes)
	o.Store.Later(done, down...)
	up(changes, down)
}

// down says changes by the addresses of the store below.
func (o *overlay) down(changes []state.Change) []state.Change {
	out := make([]state.Change, len(changes))
	name := func(a string) string {
		if at, ok := o.there[a]; ok {
			return at
		}
		return a
	}
	for i, c := range changes {
		if c.Credential != nil {
			rec := *c.Credential
			rec.Head.Address = name(rec.Head.Address)
			c.Credential = &rec
		}
		if c.Sink != nil {
			rec := *c.Sink
			rec.Head.Address = name(rec.Head.Address)
			renameHoldings(&rec, o.there, o.here)
			c.Sink = &rec
		}
		c.Delete, c.IntentFor = name(c.Delete), name(c.IntentFor)
		out[i] = c
	}
	return out
}

// up gives the versions that a write made back.
func up(changes, down []state.Change) {
	for i := range changes {
		switch c, d := &changes[i], &down[i]; {
		case c.Credential != nil:
			at := c.Credential.Head.Address
			c.Credential.Head = d.Credential.Head
			c.Credential.Head.Address = at
		case c.Sink != nil:
			at := c.Sink.Head.Address
			c.Sink.Head = d.Sink.Head
			c.Sink.Head.Address = at
		}
	}
}

// overlay shows the store's records under their new addresses, in memory only.
// It runs in the loop's goroutine, of a loop that is paused.
func (l *Loop) overlay(moves []rename) {
	l.moves = moves
	l.useStore(newOverlay(l.o.Store, moves))
}

func (l *Loop) useStore(s state.Store) {
	l.o.Store, l.w.o.Store = s, s
	l.w.useStore(s)
}

// settleDry makes the moves in the state that a dry run showed. Work that was
// ordered in between knows its records by the names that were shown: it comes to
// its end first.
func (l *Loop) settleDry(ctx context.Context) error {
	o, ok := l.o.Store.(*overlay)
	if !ok {
		return nil
	}
	goOn, err := l.still(ctx)
	defer goOn()
	if err != nil {
		return err
	}
	var moves []rename
	if err := l.do(ctx, func() { moves = l.moves }); err != nil {
		return err
	}
	if err := l.moveRecords(ctx, o.Store, moves); err != nil {
		return err
	}
	return l.do(ctx, func() {
		for _, m := range moves {
			l.log.Info("moved", "address", m.to, "type", typeOf(m.to), "from", m.from)
		}
		l.moves = nil
		l.useStore(o.Store)
	})
}

// stillness is somebody's wish that nothing be worked on for a while. It is apart
// from whether the loop is paused: who resumes that meanwhile is not undone.
type stillness struct {
	idle chan struct{} // closed once nothing is
	is   bool
}

func (s *stillness) reached() {
	if !s.is {
		s.is = true
		close(s.idle)
	}
}

// still waits until nothing is being worked on; nothing is taken up before goOn
// is called, which it has to be also after an error.
func (l *Loop) still(ctx context.Context) (goOn func(), err error) {
	s := &stillness{idle: make(chan struct{})}
	goOn = func() {
		_ = l.do(context.WithoutCancel(ctx), func() {
			l.stills = slices.DeleteFunc(l.stills, func(x *stillness) bool { return x == s })
		})
	}
	if err := l.do(ctx, func() { l.stills = append(l.stills, s) }); err != nil {
		return goOn, err
	}
	select {
	case <-s.idle:
		return goOn, nil
	case <-l.ended:
		return goOn, ErrClosed
	case <-ctx.Done():
		return goOn, ctx.Err()
	}
}

// shownMoves are the steps of a plan that moved blocks call for.
func (l *Loop) shownMoves() []Step {
	var steps []Step
	for _, m := range l.moves {
		steps = append(steps, Step{Address: m.to, Action: ActMove, From: m.from, State: Pending,
			Reason: "it was " + spec.Address(m.from).Short() + ", as a moved block says: its record goes on under the new address"})
	}
	return steps
}

// current is the address under which a dry run shows a record.
func (l *Loop) current(addr string) string {
	for _, m := range l.moves {
		if m.from == addr {
			return m.to
		}
	}
	return addr
}

// recorded is the store as it is, without what a dry run shows.
func (l *Loop) recorded() state.Store {
	if o, ok := l.o.Store.(*overlay); ok {
		return o.Store
	}
	return l.o.Store
}
