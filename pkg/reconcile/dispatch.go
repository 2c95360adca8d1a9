package reconcile

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// dispatch starts workers for what is ready.
func (l *Loop) dispatch(ctx context.Context) {
	for it := l.next(); it != nil; it = l.next() {
		if c := l.removalUnderWay(it); c != nil {
			l.ending[c] = append(l.ending[c], it)
			l.q.finished(it, it.lane)
			continue
		}
		if it.kind == kindCredential && it.gone {
			l.ending[it] = nil
		}
		l.starved(it)
		j := l.job(it)
		j.seat, j.keepSent, it.may = j.pace.take(), l.w.keepSent, j.mayBegin()
		l.running++
		select {
		case l.idle <- j:
		default:
			l.wg.Add(1)
			go l.serve(ctx, j, !l.staying)
			l.staying = true
		}
	}
}

// removalUnderWay is the credential that a sink has to wait for: one that it names, and
// whose removal is being looked at, since both were declared again meanwhile. The sink
// could else read the token just before this is given up, and write it just before it
// is revoked. It is nil for all else, but that a removed sink may keep its place for
// another, with the token of what is declared again.
func (l *Loop) removalUnderWay(it *item) *item {
	if it.kind != kindSink || len(l.ending) == 0 {
		return nil
	}
	removed := l.configOf(it) == nil
	for _, e := range it.uses {
		if _, ok := l.ending[e.to]; ok && !(removed && e.to.gone) {
			return e.to
		}
	}
	return nil
}

// putOff says that a sink waits for a look at a removal.
func (l *Loop) putOff(it *item) bool {
	for _, waiting := range l.ending {
		if slices.Contains(waiting, it) {
			return true
		}
	}
	return false
}

// removalLooked wakes the sinks that wait for a look at a credential's removal.
func (l *Loop) removalLooked(c *item) {
	waiting := l.ending[c]
	delete(l.ending, c)
	for _, s := range waiting {
		l.wake(s)
	}
}

// workerRests is how long a goroutine waits for more work: its stack has grown
// to what the work needs, and growing a new one for each costs as much as
// sealing a token. The first stays for good, for what comes one by one.
const workerRests = time.Second

// serve works on a job, and on those that come soon after, or ever after.
func (l *Loop) serve(ctx context.Context, j *job, stays bool) {
	defer l.wg.Done()
	rest := time.NewTimer(workerRests)
	defer rest.Stop()
	var made called
	for {
		j.called = &made
		r := l.guarded(ctx, j)
		r.sent = j.sent
		made.again()
		j.seat.leave()
		l.results <- r
		if rest.Stop(); !stays {
			rest.Reset(workerRests)
		}
		select {
		case j = <-l.idle:
		case <-rest.C:
			return
		case <-l.ended:
			return
		}
	}
}

// next takes what is to be worked on next, or nil. Nothing is before there is a
// configuration: whatever wakes something then, its first look would not know yet
// what is declared, and what declared the rest last.
func (l *Loop) next() *item {
	if l.farewell != nil {
		return l.farewell.next(l.q)
	}
	if l.cfg == nil {
		return nil
	}
	if l.only == nil {
		return l.q.next()
	}
	for _, it := range l.eligible() {
		if l.q.take(it) {
			return it
		}
	}
	return nil
}

// guarded works on one job and turns a panic into a failure of that job alone.
func (l *Loop) guarded(ctx context.Context, j *job) (r *result) {
	defer func() {
		if p := recover(); p != nil {
			// The panic's value may hold anything, so only its type is told.
			l.log.Error("working on an address panicked; it is put aside for a while", "address", j.addr, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			r = &result{item: j.item, lane: j.lane, order: j.order, next: j.now.Add(5 * time.Minute),
				standing: &Standing{State: Failing, Why: "a defect in tokend: see the log", Mend: "tokend retry " + ShellAddress(j.addr)}}
			j.order.finish(errors.New("a defect in tokend stopped this: see the log"))
		}
	}()
	return l.w.work(ctx, j)
}
