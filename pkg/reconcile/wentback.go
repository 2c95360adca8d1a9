package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/state"
)

// A refresh token that may work once waits after a start for a first look at the places
// that hold its token: they may say that the state is an older copy, in which it has been
// spent. It waits for markPatience in any case, and up to markLimit where the token held
// lives on meanwhile: the Vault that has such a place may be begun, or unsealed, after
// tokend.
const (
	markPatience = 10 * time.Second
	markLimit    = time.Hour
	// markLook is how soon it is asked again whether they were looked at, and
	// markLookLater how soon after markPatience.
	markLook      = 200 * time.Millisecond
	markLookLater = 5 * time.Second
)

// unseenPlaces says since when the process waits for a look at places which hold a
// credential's token; zero: they were all looked at. A look that failed has seen nothing.
func (l *Loop) unseenPlaces(it *item) time.Time {
	if l.begun.IsZero() || l.o.Now().Sub(l.begun) >= markLimit || !slices.ContainsFunc(it.users, (*item).unseen) {
		return time.Time{}
	}
	return l.begun
}

// unseen says of a sink that what its place holds was not seen since the start. Only
// what is no file can say of which state it is.
func (it *item) unseen() bool {
	return it.kind == kindSink && it.stored && (!it.looked || it.remote && !it.sighted)
}

// waitsForPlaces is until when a step that would spend a refresh token waits for a look
// at the places that hold its token; zero: it does not. An order, and a run that ends by
// itself, do not wait for long.
func (ob *observed) waitsForPlaces(j *job, s Step) time.Time {
	g := ob.in.Record.Grant
	if j.unseen.IsZero() || s.Action != ActRefresh || g == nil || !singleUse(ob.in.Held, g) {
		return time.Time{}
	}
	until := j.unseen.Add(markPatience)
	if j.order == nil && !j.once && !g.ExpiresAt.IsZero() && !ob.in.mayHaveEnded() && !ob.in.disowns() {
		need := g.ExpiresAt.Add(-g.ExpiresAt.Sub(g.ObtainedAt) / 10)
		if need = earlier(need, j.unseen.Add(markLimit)); need.After(until) {
			until = need
		}
	}
	if !j.now.Before(until) {
		return time.Time{}
	}
	return until
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
