package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// rename is a record that goes on under another address.
type rename struct{ from, to string }

// renames finds the records that moved blocks lead elsewhere, and those that
// cannot follow theirs, with the reason. Where the block stays in the directory
// for ever there is nothing to find any more. What is being worked on may have its
// first record by the time that it can be moved. It runs in the loop's goroutine.
func (l *Loop) renames(cfg *spec.Config) (moves []rename, stuck map[string]string) {
	stuck = map[string]string{}
	blocks := map[string]bool{}
	for _, m := range cfg.Moved() {
		blocks[string(m.From)] = true
	}
	if len(blocks) == 0 {
		return nil, stuck
	}
	by := map[string][]string{}
	for a, it := range l.items {
		base, _, _ := strings.Cut(a, "[")
		if !it.stored && it.phase != running || it.kind == kindHook || !blocks[a] && !blocks[base] || declares(cfg, a) {
			continue
		}
		to, exact, ok := cfg.RenamedTo(spec.Address(a))
		switch {
		case !ok:
		case declares(cfg, string(to)):
			by[string(to)] = append(by[string(to)], a)
		case exact && !it.remains:
			stuck[a] = fmt.Sprintf("a moved block says that it is %s now, which is not declared", to.Short())
		}
	}
	for to, froms := range by {
		sort.Strings(froms)
		it, ok := l.items[to]
		if froms = l.tokensFirst(froms, ok && it.stored && !it.bare()); len(froms) == 0 {
			continue
		}
		switch {
		case ok && it.stored && !it.bare():
			for _, a := range froms {
				stuck[a] = bothRecorded(to)
			}
		case len(froms) > 1:
			for _, a := range froms {
				stuck[a] = fmt.Sprintf("moved blocks say that %s are all %s now", list(froms), spec.Address(to).Short())
			}
		default:
			moves = append(moves, rename{froms[0], to})
		}
	}
	sort.Slice(moves, func(i, j int) bool { return moves[i].from < moves[j].from })
	return moves, stuck
}

// tokensFirst leaves those out of several records that are to go to one address which
// have nothing but orphans, where the address is taken or another has more: they are
// counted where they are, and no person has to choose.
func (l *Loop) tokensFirst(froms []string, taken bool) []string {
	more := slices.DeleteFunc(slices.Clone(froms), func(a string) bool { return l.items[a].remains })
	if len(more) > 0 || taken {
		return more
	}
	return froms[:1]
}

// bare says that nothing but a failure, or orphans, can be recorded of an item.
func (it *item) bare() bool {
	if it.kind == kindSink {
		return !slices.ContainsFunc(it.uses, func(e edge) bool { return e.holds > 0 })
	}
	return it.gen == 0 && it.retiring == 0
}

// vacancy is what an address has that a record may take: nothing, a failure, or
// orphans, which are counted with that record then.
type vacancy struct {
	version uint64
	orphans state.Orphans
	kept    []state.Raw
}

// vacant reads whether a record may take an address: there is none, or one that
// holds no token.
func vacant(ctx context.Context, store state.Store, addr string, now time.Time) (v vacancy, ok bool, err error) {
	if spec.Address(addr).Kind() == "sink" {
		rec, err := store.Sink(ctx, addr)
		if errors.Is(err, state.ErrNotFound) {
			return v, true, nil
		}
		v.version = rec.Head.Version
		return v, err == nil && rec.Written == nil && len(rec.Leaving) == 0 && len(rec.Delivered) == 0, err
	}
	rec, intent, err := store.Credential(ctx, addr)
	if errors.Is(err, state.ErrNotFound) {
		return v, true, nil
	}
	v = vacancy{rec.Head.Version, rec.Orphans.Left(now), livingReplies(rec.Kept, now)}
	return v, err == nil && rec.Grant == nil && rec.Raw == nil && intent == nil && len(rec.Retiring) == 0, err
}

func bothRecorded(to string) string {
	return fmt.Sprintf("a moved block says that it is %s now, but that has a record of its own", spec.Address(to).Short())
}

// follow carries moved blocks out: each record goes on under its new address,
// with all that belongs to it, and nothing is revoked, obtained or written
// anew.
func (l *Loop) follow(ctx context.Context, cfg *spec.Config, dry bool) (moves []rename, parked []*item, err error) {
	if !dry {
		if err := l.settleDry(ctx); err != nil {
			return nil, nil, err
		}
	}
	var stuck map[string]string
	if err := l.do(ctx, func() { moves, stuck = l.renames(cfg) }); err != nil {
		return nil, nil, err
	}
	if moves, err = l.onlyToVacant(ctx, moves, stuck); err != nil {
		return nil, nil, err
	}
	if len(moves) > 0 {
		if moves, parked, err = l.move(ctx, moves, dry); err != nil {
			return nil, parked, err
		}
	}
	return moves, parked, l.do(ctx, func() { l.markStuck(stuck) })
}

// onlyToVacant leaves out the moves to addresses that have a record of their
// own.
func (l *Loop) onlyToVacant(ctx context.Context, moves []rename, stuck map[string]string) ([]rename, error) {
	var out []rename
	for _, m := range moves {
		switch _, ok, err := vacant(ctx, l.o.Store, m.to, l.o.Now()); {
		case err != nil:
			return nil, err
		case ok:
			out = append(out, m)
		default:
			stuck[m.from] = bothRecorded(m.to)
		}
	}
	return out, nil
}

// markStuck notes which records cannot follow their moved block: they are kept
// as they are.
func (l *Loop) markStuck(stuck map[string]string) {
	for _, it := range l.oddities() {
		if it.x != nil && it.x.stuck != "" && stuck[it.addr] == "" {
			it.x.stuck = ""
			l.wake(it)
		}
	}
	for a, why := range stuck {
		it, ok := l.items[a]
		if !ok {
			continue // its removal ended meanwhile
		}
		if it.ext().stuck != why {
			l.log.Warn("a record cannot be moved; it stays as it is", "address", a, "reason", why)
		}
		it.x.stuck = why
		l.odd[it] = true
		l.wake(it)
	}
}

// Move takes a record, or those of all instances of a block, over under another
// address: `tokend state mv`.
func (l *Loop) Move(ctx context.Context, from, to string) ([]string, error) {
	l.setting.Lock()
	defer l.setting.Unlock()
	var moves []rename
	var shown bool
	var refused error
	err := l.do(ctx, func() {
		if shown = slices.ContainsFunc(l.moves, func(m rename) bool { return m.from == from && m.to == to }); !shown {
			moves, refused = l.movable(from, to)
		}
	})
	if err != nil || refused != nil {
		return nil, errors.Join(err, refused)
	}
	if shown {
		return []string{to}, l.settleDry(ctx) // a moved block says the same
	}
	moves, parked, err := l.move(ctx, moves, false)
	defer l.unpark(ctx, parked)
	if err != nil {
		return nil, err
	}
	if len(moves) == 0 {
		return nil, l.missing(from)
	}
	moved := make([]string, len(moves))
	err = l.do(ctx, func() {
		for i, m := range moves {
			moved[i] = m.to
			it := l.items[m.to]
			it.cfg, it.x.guarded, it.x.earlier = nil, "", nil // it goes on by what declares it now
			if it.gone = l.cfg == nil || !declares(l.cfg, m.to); !it.gone {
				l.link(l.cfg, it, nil)
			}
			for _, u := range slices.Clone(it.users) {
				l.wake(u)
			}
			l.recount(it)
		}
	})
	return moved, err
}

// movable says what an order to move comes to, or why it cannot be.
func (l *Loop) movable(from, to string) ([]rename, error) {
	if from == to {
		return nil, fmt.Errorf("%s is there already", spec.Address(to).Short())
	}
	if f, t := spec.Address(from), spec.Address(to); f.Kind() != t.Kind() || typeOf(from) != typeOf(to) {
		return nil, fmt.Errorf("%s cannot become %s: what is recorded of one API or place is nothing to another", f.Short(), t.Short())
	}
	var moves []rename
	for a, it := range l.items {
		if it.stored && (a == from || strings.HasPrefix(a, from+"[")) {
			moves = append(moves, rename{a, to + strings.TrimPrefix(a, from)})
		}
	}
	if len(moves) == 0 {
		return nil, l.missing(from)
	}
	sort.Slice(moves, func(i, j int) bool { return moves[i].from < moves[j].from })
	for _, m := range moves {
		if m.from != from && strings.Contains(to, "[") {
			return nil, fmt.Errorf("%s has instances, and %s is one: move each instance by itself", spec.Address(from).Short(), spec.Address(to).Short())
		}
		if it, ok := l.items[m.to]; ok && it.stored && !it.bare() {
			return nil, &MoveError{Address: m.from, To: m.to, Both: true}
		}
		if l.paused || l.cfg == nil {
			continue // nobody acts on either of them meanwhile
		}
		if declares(l.cfg, m.from) {
			return nil, &MoveError{Address: m.from, To: m.to}
		}
		if !declares(l.cfg, m.to) {
			return nil, &MoveError{Address: m.to, To: m.to}
		}
	}
	return moves, nil
}

// MoveError says why a record cannot be moved.
type MoveError struct {
	Address, To string
	Both        bool // both are recorded
}

func (e *MoveError) Error() string {
	switch a, to := spec.Address(e.Address).Short(), spec.Address(e.To).Short(); {
	case e.Both:
		return fmt.Sprintf("%s cannot become %s, which has a record of its own", a, to)
	case e.Address == e.To:
		return fmt.Sprintf("%s is not declared: what is moved there would be given up at once", to)
	default:
		return fmt.Sprintf("%s is still declared: another token would be obtained for it at once", a)
	}
}

// Hint is the next move.
func (e *MoveError) Hint() string {
	if e.Both {
		return "forget the record that is not wanted first: tokend state rm " + ShellAddress(e.To) + " (its token is not revoked)"
	}
	return "a daemon works on this state: write a moved block beside the renamed one, which does both in one step, or stop the daemon first"
}

// move moves records in the state, in one commit, and then in memory. Nobody
// works on any of them meanwhile, nor before [Loop.unpark]. It returns those
// that it moved: a record whose removal ended before nobody worked on it any
// more has nothing left to move.
func (l *Loop) move(ctx context.Context, moves []rename, dry bool) ([]rename, []*item, error) {
	var parked []*item
	if !dry {
		var err error
		if parked, err = l.parkMoved(ctx, moves); err == nil {
			moves, err = l.stillThere(ctx, moves)
		}
		if err == nil && len(moves) > 0 {
			err = l.moveRecords(ctx, l.o.Store, moves)
			l.w.unsaved.moved(moves, err)
		}
		if err != nil {
			l.unpark(ctx, parked)
			return nil, nil, err
		}
	}
	return moves, parked, l.do(ctx, func() {
		if dry {
			l.overlay(moves)
		}
		l.renameIn(moves)
		for _, m := range moves {
			l.readdress(m)
			if !dry {
				l.log.Info("moved", "address", m.to, "type", typeOf(m.to), "from", m.from)
			}
		}
	})
}

// parkMoved keeps workers from what a move concerns.
func (l *Loop) parkMoved(ctx context.Context, moves []rename) ([]*item, error) {
	holders, err := l.holders(ctx, l.o.Store, moves)
	if err != nil {
		return nil, err
	}
	for _, m := range moves {
		holders = append(holders, m.from, m.to)
	}
	err = l.do(ctx, func() {
		for _, m := range moves {
			it, ok := l.items[m.from]
			if !ok {
				continue // see stillThere
			}
			for _, u := range it.users {
				holders = append(holders, u.addr)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return l.park(ctx, holders)
}

// stillThere leaves out the moves of records that went while they were looked
// at. Once parked, none goes.
func (l *Loop) stillThere(ctx context.Context, moves []rename) (left []rename, err error) {
	err = l.do(ctx, func() {
		for _, m := range moves {
			if it, ok := l.items[m.from]; ok && it.stored {
				left = append(left, m)
			}
		}
	})
	return left, err
}

// readdress gives an item its new address, in the place of one that may be
// there without a record.
func (l *Loop) readdress(m rename) {
	it := l.items[m.from]
	if old, ok := l.items[m.to]; ok {
		if l.absorb(it, old); len(old.orphans()) > 0 {
			it.ext().orphans = it.orphans().And(old.orphans())
		}
	}
	delete(l.items, m.from)
	l.drops++
	l.w.steps.readdress(m.from, m.to)
	it.addr = m.to
	l.items[m.to] = it
	it.removing = false
	x := it.ext()
	x.allowed, x.agreed, x.stuck, x.quiet = false, "", "", time.Time{}
	for _, h := range l.hooks {
		if h.x == nil {
			continue
		}
		if named, ok := h.x.pending[m.from]; ok {
			delete(h.x.pending, m.from)
			h.x.pending[m.to] = named
		}
	}
}

// absorb takes over what is known of an address that has no record yet.
func (l *Loop) absorb(it, old *item) {
	l.q.remove(old)
	for _, e := range old.uses {
		e.to.users = without(e.to.users, old)
	}
	for _, u := range old.users {
		u.uses = slices.DeleteFunc(u.uses, func(e edge) bool { return e.to == old && leads(u.uses, it) })
		for i := range u.uses {
			if u.uses[i].to == old {
				u.uses[i].to = it
				it.users = append(it.users, u)
			}
		}
	}
	if old.x != nil {
		it.ext().orders = append(it.x.orders, old.x.orders...)
	}
	if old.first {
		l.firstLeft--
	}
	l.unwatch(old)
	old.counted = l.uncount(old)
	delete(l.odd, old)
}

// afterMoves brings what a change consists of in line with the moves: what
// arrived is to be looked at as the configuration says it, and what left is not
// gone.
func (d *delta) afterMoves(moves []rename) {
	if len(moves) == 0 {
		return
	}
	names := namesOf(moves)
	d.gone = slices.DeleteFunc(d.gone, func(a string) bool { return names[a] != "" })
	for _, to := range slices.Sorted(maps.Values(names)) {
		if !slices.Contains(d.changed, to) {
			d.changed = append(d.changed, to)
		}
	}
}
