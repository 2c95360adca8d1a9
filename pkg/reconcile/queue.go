package reconcile

import (
	"container/heap"
	"slices"
	"sync/atomic"
	"time"

	"tokend/pkg/spec"
)

// queue says what is to be worked on next. Items wait in one heap for their
// time; when it has come they go to the lane of what they ask (a provider, a
// Vault, the local files), where the most urgent goes first and a bounded
// number is worked on at once. So a provider that stalls holds up its own lane
// and nothing else, and there is one timer for everything.
//
// Rate limits, the bound on requests in flight and the breaker belong to the
// lane too: providers and sinks try once and know nothing of any.
//
// Only the loop's goroutine touches a queue.
type queue struct {
	timed itemHeap
	lanes map[string]*lane
	order []*lane // for a deterministic round
	clock time.Time
	disk  time.Duration // how long a commit takes
	freed chan struct{} // holds a value when calls have made room in a lane that was full
	// others are when something else is due of what waits for a revocation.
	others  unlessHeap
	leaving bool // only revocations are left to be made
	// recall has the limit of a lane of that name take over what was sent before it
	// began; nil: nothing is known of that.
	recall func(lane string, p *pace)
}

// lane is one thing that many items ask.
type lane struct {
	name    string
	items   int // that belong here
	running int
	called  atomic.Int64  // of those that are running, how many have made their call; workers count them
	enough  atomic.Int64  // as many calls make room for those that wait, of which freed is to tell; 0: nobody waits
	freed   chan struct{} // the queue's
	waiting itemHeap
	calls   chan struct{} // requests in flight: one slot each
	took    average       // how long an answer takes; workers say it
	pace    *pace         // keeps its rate limit; nil: there is none
	turns   turns         // under that limit
	asked   *spec.Config  // that the limit was read from before anything was looked at
	setting spec.RateLimit
	said    bool                       // by the configuration: it is not that of a record, nor a default
	recall  func(lane string, p *pace) // the queue's
	breaker breaker
	origins origins

	side    side
	of      *lane     // of revocations or questions: the provider's
	whole   bool      // they are not to share with anything
	beside  []*lane   // the other way round
	wanted  wanted    // its requests in flight, when there are as many as may be
	heard   time.Time // of a provider: when a question of it was answered last
	crowd   func()    // of questions: ends that wanted tells of others that wait for their place; nil: none do
	answers average   // of a provider: how long an answer to a question takes; workers say it
	place   placed    // of a lane beside another, and the place that it has with its likes
}

const (
	localLane = ""
	// defaultCalls is the number of requests in flight where nothing is said.
	defaultCalls = 32
)

func newQueue() *queue { return &queue{lanes: map[string]*lane{}, freed: make(chan struct{}, 1)} }

// lane returns the lane of a name, made at its first use.
func (q *queue) lane(name string) *lane {
	l, ok := q.lanes[name]
	if !ok {
		for _, kept := range slices.Clone(q.order) {
			q.drop(kept) // what was kept for what may still count there
		}
		l = &lane{name: name, freed: q.freed, recall: q.recall}
		if name != localLane {
			l.took.nanos.Store(int64(usualCall))
			l.setLimit(spec.RateLimit{})
			q.beside(l)
		}
		q.lanes[name] = l
		q.order = append(q.order, l)
	}
	return l
}

// enter makes an item that is new, or in no heap, belong to a lane.
func (q *queue) enter(it *item, l *lane) {
	l.items++
	q.leave(it)
	it.lane = l
}

// leave ends that, and forgets a lane that nothing belongs to any more.
func (q *queue) leave(it *item) {
	if l := it.lane; l != nil {
		it.lane = nil
		l.items--
		q.drop(l)
	}
}

func (q *queue) drop(l *lane) {
	if l.items > 0 || l.running > 0 || l.name == localLane || q.lanes[l.name] != l {
		return
	}
	if l.of == nil && l.pace != nil && !l.pace.idle(q.clock) {
		return // whoever asks that provider next must not begin to count anew
	}
	if l.breaker.open() && q.clock.Before(l.breaker.next.Add(breakerKept)) {
		return // nor burn requests to find out once more that it does not answer
	}
	if len(l.breaker.failed) > 0 && q.clock.Before(l.breaker.heard.Add(breakerKept)) {
		return // nor count those anew that found it so
	}
	delete(q.lanes, l.name)
	q.order = slices.DeleteFunc(q.order, func(x *lane) bool { return x == l })
	if n := l.of; n != nil {
		n.beside = slices.DeleteFunc(n.beside, func(x *lane) bool { return x == l })
		n.items--
		q.drop(n)
	}
}

// setLimit changes what a lane lets through. Calls under way keep their slots
// in the old bound.
func (l *lane) setLimit(r spec.RateLimit) {
	r = withDefault(r)
	if l.calls != nil && l.setting == r {
		return
	}
	before := l.pace
	l.setting = r
	l.calls = make(chan struct{}, r.Concurrency)
	l.pace = nil
	if r.Requests > 0 && r.Per > 0 {
		l.pace = newPace(r)
		if l.pace.carry(before); before == nil && l.recall != nil {
			l.recall(l.name, l.pace)
		}
	}
	for _, s := range l.beside {
		s.share()
	}
}

func withDefault(r spec.RateLimit) spec.RateLimit {
	if r.Concurrency <= 0 {
		r.Concurrency = defaultCalls
	}
	return r
}

// at schedules an item that is not running; a zero time takes it out.
func (q *queue) at(it *item, t time.Time) {
	q.remove(it)
	if t.IsZero() {
		it.due = 0
		return
	}
	it.due = t.UnixNano()
	it.phase = timed
	heap.Push(&q.timed, it)
}

// now makes an item that is not running ready.
func (q *queue) now(it *item) {
	if it.phase == ready {
		q.fix(it)
		return
	}
	q.remove(it)
	if it.phase = ready; it.due == 0 && !q.clock.IsZero() {
		it.due = q.clock.UnixNano() // that it waits since now is what its urgency is made of
	}
	heap.Push(&it.lane.waiting, it)
}

// fix puts a waiting item in its place anew, since its urgency may have changed.
func (q *queue) fix(it *item) {
	if it.phase == ready {
		heap.Fix(&it.lane.waiting, int(it.pos))
	}
}

// move puts an item into another lane.
func (q *queue) move(it *item, l *lane) {
	if it.lane == l {
		return
	}
	if it.phase == ready {
		heap.Remove(&it.lane.waiting, int(it.pos))
		q.enter(it, l)
		heap.Push(&l.waiting, it)
		return
	}
	q.enter(it, l)
}

func (q *queue) remove(it *item) {
	switch it.phase {
	case timed:
		heap.Remove(&q.timed, int(it.pos))
	case ready:
		heap.Remove(&it.lane.waiting, int(it.pos))
	}
	if it.phase != running {
		it.phase = idle
	}
}

// advance makes everything ready that is due, and returns how long nothing
// more will be; never longer than maxSleep.
func (q *queue) advance(now time.Time) time.Duration {
	q.clock = now
	for len(q.timed.items) > 0 && q.timed.items[0].due <= now.UnixNano() {
		it := q.timed.items[0]
		if it.glances {
			q.around(it)
		}
		q.now(it)
	}
	sleep := min(maxSleep, q.overdue(now))
	if len(q.timed.items) == 0 {
		return sleep
	}
	return min(sleep, time.Duration(q.timed.items[0].due-now.UnixNano()))
}

// next takes the most urgent item of some lane that has room, or nil.
func (q *queue) next() *item {
	for _, l := range q.order {
		if len(l.waiting.items) > 0 && !l.yields(q.clock) && l.admits(q.disk) && l.pace.until(q.clock, q.disk) == 0 {
			it := l.pick(q.clock)
			if it == nil {
				continue
			}
			it.phase = running
			l.running++
			l.place.begins(q.clock)
			return it
		}
	}
	for _, l := range q.order {
		q.tellCrowd(l)
	}
	return nil
}

// take takes one item, if it is ready and its lane has room.
func (q *queue) take(it *item) bool {
	if it.phase != ready || it.lane.full(q.disk) {
		return false
	}
	heap.Remove(&it.lane.waiting, int(it.pos))
	it.phase = running
	it.lane.running++
	it.lane.place.begins(q.clock)
	return true
}

// finished says that a worker is done with the item, which was taken from l.
func (q *queue) finished(it *item, l *lane) {
	l.running--
	it.phase = idle
	q.drop(l)
}

// depth is the number of items ready or running.
func (q *queue) depth() int {
	n := 0
	for _, l := range q.order {
		n += l.running + len(l.waiting.items)
	}
	return n
}

// itemHeap is a heap by due time, or by urgency within a lane (an item's due is
// then past).
type itemHeap struct{ items []*item }

// order puts all items in their places anew.
func (h *itemHeap) order() { heap.Init(h) }

func (h *itemHeap) Len() int { return len(h.items) }

func (h *itemHeap) Less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	first, second := a.due, b.due
	if a.phase == ready {
		first, second = a.urgency(), b.urgency()
	}
	if first == second {
		return a.addr < b.addr // not as a map was walked, which is another order each time
	}
	return first < second
}

func (h *itemHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].pos, h.items[j].pos = int32(i), int32(j)
}

func (h *itemHeap) Push(x any) {
	it := x.(*item)
	it.pos = int32(len(h.items))
	h.items = append(h.items, it)
}

func (h *itemHeap) Pop() any {
	last := len(h.items) - 1
	it := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	if last == 0 {
		h.items = nil // what a start has filled is not needed again
	}
	return it
}
