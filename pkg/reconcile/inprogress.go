package reconcile

import (
	"context"
	"sync/atomic"
	"time"

	"tokend/pkg/state"
)

// What is in progress is more than what works: a request has its intent brought to
// the disk before, and its reply after, and a new place of a sink is named there
// before it is written. Who waits for that costs next to nothing, and everybody who
// waits shares one sync; so the slower the disk, the more may be in progress.
// Otherwise a disk that takes its time for a sync, as one does that is used up or
// shared, would let through no more than a handful of tokens with each.

const (
	// localLimit bounds work on local files where the disk is fast: more than the
	// cores can use, since most of it waits for the sync that it shares.
	localLimit = 256
	// localRate is how many sinks a second are not to be held up by the disk, and
	// localMost bounds what is in progress for that. Beyond localLimit it is only those
	// that wait for the disk: who waits for a secret has a stack, and would be no sooner
	// there for being asked for beside a thousand others.
	localRate = 10_000
	localMost = 1024
	// progressPerCall is how many items of a lane are in progress for each request
	// in flight, where the disk is fast, and progressMost where it is slow. With those
	// that only wait for their answer to be recorded it may be twice that.
	progressPerCall = 2
	progressMost    = 8
	// calledMost bounds what is in progress because others have made their calls: more
	// than that share a sync as well, and each has a stack.
	calledMost = 1024
	// freedPart is which part of a lane's calls have to be over before those that wait
	// for room in it are looked at for that: one by one would be a turn for each.
	freedPart = 4
	// usualCall is what a request is thought to take, beside the two commits around
	// it, before any was answered; shortestCall is the least, and usualCall the most.
	usualCall    = 50 * time.Millisecond
	shortestCall = 2 * time.Millisecond
	// paceAhead is how long before it can be sent work is taken up at the least: its
	// inputs have to be read and its intent to reach the disk. More would be work
	// whose intents wait for nothing, and which a more urgent one cannot overtake.
	paceAhead     = 500 * time.Millisecond
	paceAheadMost = 5 * time.Second
	// paceProgress bounds what is in progress because it is sent soon.
	paceProgress = 1024
)

// full says that no more items of a lane may be in progress, where a commit takes so
// long. One whose call was answered, which only has to be recorded, takes no room from
// those that have still to call: what an intent is open for, and is not sent, stays
// bounded by room. Nor does one that is local and waits for the disk.
func (l *lane) full(disk time.Duration) bool {
	room := l.room(disk)
	called := int(l.called.Load())
	if called == 0 || l.running < room {
		return l.running >= room
	}
	return l.running-called >= room || l.running >= max(room, l.most(disk))
}

// most is how many items of a lane may be in progress with those that only wait for
// the disk, where a commit takes so long.
func (l *lane) most(disk time.Duration) int {
	if l.calls == nil {
		return between(localLimit, int(disk.Seconds()*localRate), localMost)
	}
	return min(2*progressMost*cap(l.calls), calledMost)
}

// admits is whether one more of those that wait may be in progress. Where it may not,
// calls that make room for some of them at once tell.
func (l *lane) admits(disk time.Duration) bool {
	if !l.full(disk) {
		return true
	}
	calls := cap(l.calls)
	if l.calls == nil {
		calls = localLimit
	}
	l.enough.Store(l.called.Load() + int64(max(1, calls/freedPart)))
	return !l.full(disk) // a call that was over before that has told nobody
}

// called is whether the job that a worker is at has made its call, or is local and waits
// for the disk: only the worker's own goroutine uses it, but for the lane's count. A job
// may call more than once.
type called struct {
	lane *lane // in whose count it is; nil: in none
}

// over counts the job among those that only have to record something.
func (c *called) over(l *lane) {
	if c != nil && c.lane == nil {
		c.lane = l
		n := l.called.Add(1)
		if enough := l.enough.Load(); enough > 0 && n >= enough && l.enough.CompareAndSwap(enough, 0) {
			select {
			case l.freed <- struct{}{}:
			default:
			}
		}
	}
}

// again takes it out of that count: it calls once more, or has come to its end.
func (c *called) again() {
	if c != nil && c.lane != nil {
		c.lane.called.Add(-1)
		c.lane = nil
	}
}

// room is how many items of a lane may be in progress, where a commit takes so long.
func (l *lane) room(disk time.Duration) int {
	if l.calls == nil {
		return localLimit
	}
	calls := cap(l.calls)
	if l.of != nil {
		return calls // one more would take its turn under the rate limit with it while it waits
	}
	n := between(progressPerCall*calls, calls+int(float64(calls)*2*float64(disk)/float64(l.call())), progressMost*calls)
	if l.pace != nil { // what waits to be sent soon is in progress too
		n += int(min(ahead(disk)/max(l.pace.every, 1), paceProgress))
	}
	return n
}

// call is how long one of its requests takes: while a commit does, so many times that
// many could be answered, and an intent has to be there for each.
func (l *lane) call() time.Duration {
	return between(shortestCall, l.took.each(), usualCall)
}

// ahead is how long before it can be sent work is taken up, where a commit takes so
// long: it may have to wait for the one before its own.
func ahead(disk time.Duration) time.Duration {
	return between(paceAhead, 2*disk, paceAheadMost)
}

func between[T int | time.Duration](least, n, most T) T { return max(least, min(n, most)) }

// average is how long something takes of late: commits, or the calls of a lane. It
// is safe for concurrent use.
type average struct{ nanos atomic.Int64 }

// averageOf is how many of them that is made of.
const averageOf = 16

func (a *average) took(t time.Duration) {
	was := a.nanos.Load()
	a.nanos.CompareAndSwap(was, was+(int64(t)-was)/averageOf) // of two at once, one is enough
}

func (a *average) each() time.Duration { return time.Duration(a.nanos.Load()) }

// useStore has the worker read and write another state.
func (w *worker) useStore(s state.Store) {
	w.tokens.moved()
	w.store = timedStore{s, w.disk, w.tokens}
}

// timedStore notes how long commits take that somebody waits for, and which tokens
// they put in force.
type timedStore struct {
	state.Store
	disk   *average
	tokens *tokens
}

func (s timedStore) Commit(ctx context.Context, changes ...state.Change) error {
	began := time.Now()
	at := s.tokens.commits(changes)
	err := s.Store.Commit(ctx, changes...)
	if s.tokens.committed(changes, at, err == nil); err == nil {
		s.disk.took(time.Since(began))
	}
	return err
}
