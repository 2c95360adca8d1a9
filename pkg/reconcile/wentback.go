package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/state"
)

// markPatience is how long after a start a refresh token that may work once
// waits for a first look at the places that hold its token: they may say that the
// state is an older copy, in which it has been spent.
const markPatience = 10 * time.Second

// markLook is how soon it is asked again whether they were looked at.
const markLook = 200 * time.Millisecond

// unseenPlaces says that the process has just begun, and that places which hold
// a credential's token were not looked at yet.
func (l *Loop) unseenPlaces(it *item) bool {
	return !l.begun.IsZero() && l.o.Now().Sub(l.begun) < markPatience &&
		slices.ContainsFunc(it.users, func(u *item) bool { return u.kind == kindSink && u.stored && !u.looked })
}

// waitsForPlaces says that a step would spend a refresh token before the places
// that hold its token were looked at.
func (ob *observed) waitsForPlaces(j job, s Step) bool {
	g := ob.in.Record.Grant
	return j.unseen && s.Action == ActRefresh && g != nil && singleUse(ob.in.Held, g)
}

// mark is what the place of a sink is to say of this delivery: which generation
// of the first of its tokens it is, and of which state.
func (w *worker) mark(ob *observedSink) sinks.Mark {
	first := ""
	for a := range ob.gens {
		if first == "" || a < first {
			first = a
		}
	}
	if first == "" {
		return sinks.Mark{}
	}
	return sinks.Mark{Lineage: w.lineage, Address: first, Generation: ob.gens[first], At: w.now()}
}

// wentBack notices that the state is an older copy that somebody put back: a
// place says that this very state delivered a later generation there than it
// knows of. Then every refresh token from before may have been spent, as after
// `tokend state restore`.
//
// A mark is believed where the sink's own record bears it out: it wrote an
// earlier generation of the same credential there, before. So neither an address
// that is another credential's by now, nor whoever may write a place's metadata,
// nor a clock that was ahead has all tokens doubted.
func (w *worker) wentBack(ctx context.Context, sink *state.Sink, m sinks.Mark) error {
	if m.Lineage == "" || m.Lineage != w.lineage || m.At.After(w.now()) {
		return nil
	}
	if had := sink.Delivered[m.Address]; had == 0 || had >= m.Generation || !sink.WrittenAt.Before(m.At) {
		return nil
	}
	w.doubting.Lock()
	defer w.doubting.Unlock()
	rec, _, err := w.store.Credential(ctx, m.Address)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil || rec.Grant == nil || rec.Head.Generation >= m.Generation || rec.Grant.ObtainedAt.After(m.At) || rec.Restored.After(m.At) {
		return err
	}
	var all []string
	err = w.store.Heads(ctx, func(h state.Head) error {
		if h.Kind == state.KindCredential && h.Address != m.Address {
			all = append(all, h.Address)
		}
		return nil
	})
	if err != nil {
		return err
	}
	n := 0
	for _, addr := range append(all, m.Address) { // the witness last: until then it is noticed again
		doubted, err := w.doubt(ctx, addr, m)
		if err != nil {
			return err
		}
		if doubted {
			n++
			w.relook(addr, state.ErrConflict)
		}
	}
	w.log.Warn("the state is an older copy that was put back: what was obtained since is not known, and refresh tokens that work once may have been spent",
		"address", m.Address, "generation", rec.Head.Generation, "had_come_to", m.Generation, "delivered_at", m.At, "in_doubt", n)
	return nil
}

// doubt writes down of one credential that it may have come further since.
func (w *worker) doubt(ctx context.Context, addr string, m sinks.Mark) (bool, error) {
	for {
		rec, _, err := w.store.Credential(ctx, addr)
		if errors.Is(err, state.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if rec.Restored.After(m.At) {
			return false, nil
		}
		doubted := rec.Doubt(w.now(), m.At)
		if addr == m.Address {
			rec.Restored = w.now().UTC()
		} else if !doubted {
			return false, nil
		}
		if err = w.store.Commit(ctx, state.Change{Credential: &rec}); !errors.Is(err, state.ErrConflict) {
			return doubted, err
		}
	}
}
