package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"tokend/pkg/state"
)

// answers are what hooks have to record that have run. Many hooks may stand in the
// record of one sink, and end at the same moment; of many that write a record at once
// one gets through, so one of them writes for all that wait. Safe for concurrent use.
type answers struct {
	turn    turn // to write
	mu      sync.Mutex
	waiting []*answer
}

// answer is one hook's.
type answer struct {
	hook  string
	sinks []string // whose change it has answered
	// Once it is done:
	done   bool
	failed map[string]error // the sinks for which that could not be recorded
}

// record writes a's answer down, with those of others. It returns when that is done
// or has failed, or ctx ends.
func (w *worker) record(ctx context.Context, a *answer) error {
	l := &w.answers
	l.mu.Lock()
	l.waiting = append(l.waiting, a)
	l.mu.Unlock()
	select {
	case l.turn <- struct{}{}:
		defer l.turn.Unlock()
	case <-ctx.Done():
		return ctx.Err()
	}
	l.mu.Lock()
	var all []*answer
	if !a.done { // else another has written it meanwhile
		all, l.waiting = l.waiting, nil
	}
	l.mu.Unlock()
	w.recordAll(ctx, all)
	return nil
}

// answerBatch is how many sinks' records are written together.
const answerBatch = 500

// recordAll takes each hook off the lists of what the records of its sinks say has not
// run yet. One sink's failure keeps nothing from the others.
func (w *worker) recordAll(ctx context.Context, all []*answer) {
	of := map[string][]*answer{} // by sink
	for _, a := range all {
		for _, s := range a.sinks {
			of[s] = append(of[s], a)
		}
	}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(of)), answerBatch) {
		var now []state.Change
		for _, s := range some {
			switch rec, soon, err := w.answer(ctx, of[s], s); {
			case err != nil:
				fail(of[s], s, err)
			case rec == nil:
			case soon:
				now = append(now, state.Change{Sink: rec})
			default:
				w.store.Later(nil, state.Change{Sink: rec})
			}
		}
		if len(now) > 0 {
			w.recordSoon(ctx, of, now)
		}
	}
	for _, a := range all {
		a.done = true
	}
}

// recordSoon records several sinks' answers as one, or each by itself where one has
// met another writer.
func (w *worker) recordSoon(ctx context.Context, of map[string][]*answer, changes []state.Change) {
	err := w.store.Commit(ctx, changes...)
	for _, c := range changes {
		s, lost := c.Sink.Head.Address, err
		if errors.Is(err, state.ErrConflict) {
			lost = w.recordFor(ctx, of[s], s)
		}
		if lost != nil {
			fail(of[s], s, lost)
		}
	}
}

func fail(answers []*answer, sink string, err error) {
	for _, a := range answers {
		if a.failed == nil {
			a.failed = map[string]error{}
		}
		a.failed[sink] = err
	}
}

// answerRounds is how often a sink's record that others keep changing is read
// again before the hook counts as failed. Each round, somebody else got through.
const answerRounds = 10

// recordFor takes hooks off one sink's list.
func (w *worker) recordFor(ctx context.Context, answers []*answer, sink string) error {
	var lost error
	for range answerRounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, soon, err := w.answer(ctx, answers, sink)
		if err != nil || rec == nil {
			return err
		}
		if !soon {
			w.store.Later(nil, state.Change{Sink: rec})
			return nil
		}
		if lost = w.store.Commit(ctx, state.Change{Sink: rec}); !errors.Is(lost, state.ErrConflict) {
			return lost
		}
		// It was written meanwhile: what that left is read again.
	}
	return lost
}

// answer is a sink's record without the hooks on its list, and nil where there is
// nothing to take off: a sink that changed again meanwhile keeps them. Where other
// hooks stand there, too, they may be answered for next, and of a removed sink the
// list is all that is left: both are to be recorded soon and waited for, or an answer
// would be lost and the sink never go.
func (w *worker) answer(ctx context.Context, answers []*answer, sink string) (rec *state.Sink, soon bool, err error) {
	r, err := w.store.Sink(ctx, sink)
	if errors.Is(err, state.ErrNotFound) {
		return nil, false, nil // gone, and what it had to tell with it
	}
	if err != nil {
		return nil, false, err
	}
	last, takes := untold(&r), false
	for _, a := range answers {
		if !w.runs.answers(a.hook, sink) {
			continue // another run answers that
		}
		r.Notify, takes = without1(r.Notify, a.hook), true
	}
	if !takes {
		return nil, false, nil
	}
	flagOwed(&r)
	return &r, last || len(r.Notify) > 0, nil
}

// answered writes down which sinks' change a hook has answered.
func (w *worker) answered(ctx context.Context, j *job) error {
	for _, s := range j.pending {
		w.unsaved.answer(s, j.addr, &w.runs) // before the record is read, which may come to be written meanwhile
	}
	a := &answer{hook: j.addr, sinks: j.pending}
	if err := w.record(ctx, a); err != nil {
		return fmt.Errorf("recording that it has run: %w", err)
	}
	var failed []error
	said := map[string]bool{}
	for _, s := range j.pending {
		if err := a.failed[s]; err != nil && !said[err.Error()] {
			failed, said[err.Error()] = append(failed, err), true
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("recording that it has run: %w", errors.Join(failed...))
	}
	return nil
}

// tried takes a hook that failed off the list of what removed sinks still have to
// tell, and returns those sinks: it has run, and what it would tell of is gone.
// As long as tokend runs it is tried again all the same, but no record is kept
// for that.
func (w *worker) tried(ctx context.Context, j *job) []string {
	a := &answer{hook: j.addr}
	for _, s := range j.pending {
		if rec, err := w.store.Sink(ctx, s); err == nil && untold(&rec) {
			a.sinks = append(a.sinks, s)
		}
	}
	if len(a.sinks) == 0 || w.record(ctx, a) != nil {
		return nil
	}
	return slices.DeleteFunc(a.sinks, func(s string) bool { return a.failed[s] != nil })
}

// dropGoneHook has a hook that is declared no longer, and does not run, owe nothing any
// more, and forgets it.
func (l *Loop) dropGoneHook(ctx context.Context, it *item) error {
	l.w.runs.begin(it.addr)
	defer l.w.runs.end(it.addr)
	sinks := slices.Sorted(maps.Keys(it.ext().pending))
	if err := l.w.answered(ctx, &job{addr: it.addr, pending: sinks}); err != nil {
		return err
	}
	l.log.Info("a hook that is no longer declared is not run, because a person said so", "address", it.addr, "sinks", list(sinks))
	l.forget(it)
	l.w.programs.forget(it.addr)
	it.counted = l.uncount(it)
	for _, s := range sinks {
		l.wakeUntold(s)
	}
	return nil
}
