package state

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A request is what one call of Commit or Later asks for.
type request struct {
	ops    []op
	waited bool // somebody waits for it
	opens  bool // it opens an intent: a call follows
	ends   bool // it clears an intent: a call has ended

	taken    atomic.Bool // set once, by the writer or by a caller who gives up
	err      error       // valid once finished is closed
	finished chan struct{}
	done     func(error) // Later's
	queued   time.Time
}

func newRequest(ops []op) *request {
	q := &request{ops: ops, waited: true, finished: make(chan struct{})}
	for i := range ops {
		switch ops[i].kind {
		case opIntent:
			q.opens = true
		case opClear:
			q.ends = true
		}
	}
	return q
}

// finish tells who waits; err is set.
func (q *request) finish() {
	close(q.finished)
	if q.done != nil {
		q.done(q.err)
	}
}

// wait returns when the request is finished. A context that ends takes the
// request back if no batch has it yet; otherwise its outcome is seconds away at
// most and is waited for, because a caller must know it.
func (q *request) wait(ctx context.Context) error {
	if ctx.Done() == nil {
		<-q.finished
		return q.err
	}
	select {
	case <-q.finished:
		return q.err
	case <-ctx.Done():
	}
	if q.taken.CompareAndSwap(false, true) {
		return context.Cause(ctx)
	}
	<-q.finished
	return q.err
}

// A writer owns the order of all writes: requests queue, and one goroutine
// takes them in batches as the window says.
type writer struct {
	write   func([]*request)     // called by run alone
	idle    func()               // called by run when nothing has come for a while
	recheck func() time.Duration // called by run when nothing is to be written now; when to call it next, 0: after the next batch

	wake chan struct{} // holds one token
	quit chan struct{} // closed when run has returned

	mu       sync.Mutex
	queue    []*request
	window   window
	calls    map[string]struct{} // addresses whose intent this process opened
	late     map[string]*request // the last queued Later that touches an address
	lastLate *request
	hurry    bool // write at once: a reader waits, or the store closes
	closed   bool
}

// idleAfter is how long the writer is quiet before it lets go of memory.
const idleAfter = 2 * time.Second

func newWriter(w window) *writer {
	return &writer{window: w, wake: make(chan struct{}, 1), quit: make(chan struct{}),
		calls: make(map[string]struct{}), late: make(map[string]*request)}
}

// submit queues a request.
func (w *writer) submit(q *request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	q.queued = time.Now()
	before := w.window.due(q.queued, len(w.calls))
	w.queue = append(w.queue, q)
	w.window.add(q.queued, q)
	if !q.waited {
		w.lastLate = q
		for i := range q.ops {
			w.late[q.ops[i].address] = q
		}
	}
	// The writer sleeps until the time that it last saw: wake it only for an
	// earlier one, for at 20,000 requests a second waking is what costs.
	if due := w.window.due(q.queued, len(w.calls)); before.IsZero() || due.Before(before) {
		w.signal()
	}
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// settle returns when no queued Later touches the address (none at all, when it
// is empty), so that a reader sees what this process has written.
func (w *writer) settle(ctx context.Context, address string) error {
	w.mu.Lock()
	q := w.late[address]
	if address == "" {
		q = w.lastLate
	}
	if q != nil {
		w.hurry = true
		w.signal()
	}
	w.mu.Unlock()
	if q == nil {
		return nil
	}
	select {
	case <-q.finished:
		return nil // its own error is its caller's
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run writes batches until the writer is closed and its queue empty.
func (w *writer) run() {
	defer close(w.quit)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	active := true // since idle was last called
	for {
		batch, wait, end := w.take()
		switch {
		case end:
			return
		case len(batch) > 0:
			w.write(batch)
			active = true
			continue
		case wait < 0 && active:
			wait = idleAfter
		}
		if again := w.recheck(); again > 0 && (wait < 0 || again < wait) {
			wait = again
		}
		if wait < 0 {
			<-w.wake
			continue
		}
		timer.Reset(wait)
		select {
		case <-w.wake:
		case <-timer.C:
			if active && w.empty() {
				w.idle()
				active = false
			}
		}
	}
}

func (w *writer) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) == 0
}

// take returns the batch that is due now, or how long to wait for the next one
// (negative: nothing is queued), or end.
func (w *writer) take() (batch []*request, wait time.Duration, end bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.hurry = false
		return nil, -1, w.closed
	}
	now := time.Now()
	if due := w.window.due(now, len(w.calls)); due.After(now) && !w.hurry && !w.closed {
		return nil, due.Sub(now), false
	}
	n, changes := 0, 0
	for n < len(w.queue) && (n == 0 || changes+len(w.queue[n].ops) <= mostChanges) {
		changes += len(w.queue[n].ops)
		n++
	}
	for _, q := range w.queue[:n] {
		if q.taken.CompareAndSwap(false, true) {
			batch = append(batch, q)
		}
	}
	w.window.take(now, batch)
	rest := copy(w.queue, w.queue[n:])
	clear(w.queue[rest:])
	w.queue = w.queue[:rest]
	for _, q := range w.queue {
		w.window.add(q.queued, q)
	}
	return batch, 0, false
}

// wrote tells the window which calls a successful batch began and ended, and
// readers that the batch's Laters are no longer in the queue.
func (w *writer) wrote(batch []*request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range batch {
		if w.lastLate == q {
			w.lastLate = nil
		}
		for i := range q.ops {
			switch o := &q.ops[i]; {
			case q.err == nil && o.kind == opIntent:
				w.calls[o.address] = struct{}{}
			case q.err == nil && (o.kind == opClear || o.kind == opDelete):
				delete(w.calls, o.address)
			}
			if !q.waited && w.late[q.ops[i].address] == q {
				delete(w.late, q.ops[i].address)
			}
		}
	}
}

// close lets what is queued be written and returns when that is done. It
// reports whether it was the first to close.
func (w *writer) close() bool {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.signal()
	w.mu.Unlock()
	<-w.quit
	return first
}
