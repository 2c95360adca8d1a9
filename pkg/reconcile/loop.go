package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tokend/pkg/hooks"
	"tokend/pkg/sinks"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Options of a Loop. All fields but Logger, Now and Uptime are required.
type Options struct {
	Store     state.Store
	Providers Providers
	Sources   map[string]sources.Source
	Sinks     map[string]sinks.Sink
	Hooks     map[string]hooks.Hook
	// HookDebounce is how long a hook waits for more sinks to change.
	HookDebounce func(args spec.Values) time.Duration
	// LoadSnapshot reads a configuration back from what Snapshot wrote.
	LoadSnapshot func([]byte) (*spec.Config, error)
	// Snapshot packs what a configuration was read from.
	Snapshot func(*spec.Config) ([]byte, error)
	Host     string // spreads schedules over hosts
	Logger   *slog.Logger
	Now      func() time.Time
	// Uptime names this boot and the time since it began, suspends included, by
	// a clock that nobody can step; nil: the kernel's.
	Uptime func() (boot string, up time.Duration)
	// Observe, when set, is told of every finished call; for metrics.
	Observe func(Event)
	// PathsChanged, when set, is told of files that are to be watched from now
	// on, and of those that are not any more. It must not block.
	PathsChanged func(add, remove []string)
	// Taken, when set, is told of every configuration that is taken over, before
	// anything is done by it. It must not block.
	Taken func(*spec.Config)
	// Revision, when set, names what a configuration was read from, such as a
	// commit: it is recorded with every grant. It must not block.
	Revision func(*spec.Config) string
	// Unsettled, when set, says why the configuration's files are not to be
	// trusted to be whole at this moment, "" when they are: no removal begins
	// then. It must not block.
	Unsettled func() string
	// RevokeAtEnd: Run's end revokes what revoke_on_shutdown asks for. A command
	// that ends is no shutdown.
	RevokeAtEnd bool
	// Away plans against an export, where neither the host's files nor its
	// secrets can be seen; Store is the export's. Nothing is ever carried out.
	Away bool
	// Paused keeps the loop from doing anything until Resume, so that a plan
	// can be shown first.
	Paused bool
}

// Event is one finished piece of work, for metrics.
type Event struct {
	Address string
	Type    string
	Op      string
	Class   string // "ok" or a class of failure
	Took    time.Duration
}

// ErrClosed is returned to whoever asks a loop that has ended.
var ErrClosed = errors.New("the reconcile loop has ended")

// Loop reconciles. One goroutine (Run's) owns the queue and the items; workers
// do the work of one address at a time and hand their results back.
type Loop struct {
	o   Options
	w   *worker
	log *slog.Logger

	calls   chan func()
	idle    chan job // to a worker that has nothing to do
	results chan result
	ended   chan struct{}
	setting turn // one Set, Approve or judgement at a time
	swept   sync.Once

	// Owned by Run's goroutine.
	items                    map[string]*item
	q                        *queue
	cfg                      *spec.Config
	held                     *HeldChange
	guard                    guardLog
	changed                  time.Time // when the configuration in force was set
	settle                   time.Duration
	moves                    []rename // that are shown and not made yet
	dry                      bool     // the configuration was taken over in memory only
	guardWriting, guardStale bool
	rejudging                bool
	stopping                 bool
	farewell                 *farewell // not nil: it stops, and revokes before
	paused                   bool
	only                     []string // the addresses that are worked on; nil: all
	byPath                   map[string]watched
	hooks                    map[string]*item
	odd                      map[*item]bool // gone, held back or let go; perhaps not any more
	tally                    [len(states)]int
	remotes                  int // sinks whose place is no file
	firstLeft                int // items of the first pass that were not worked on yet
	running                  int

	config   atomic.Pointer[spec.Config] // cfg, for readers outside
	progress atomic.Int64                // unix nanoseconds of the last turn, for the watchdog
	wg       sync.WaitGroup
}

// New makes a loop over a store and takes over what the store knows. Run has
// to be called for anything to happen.
func New(ctx context.Context, o Options) (*Loop, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Uptime == nil {
		o.Uptime = uptime
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Away {
		o.Providers, o.Paused = awayProviders{o.Providers}, true
	}
	l := &Loop{
		o: o, log: o.Logger, items: map[string]*item{}, odd: map[*item]bool{}, q: newQueue(),
		byPath: map[string]watched{}, hooks: map[string]*item{},
		setting: make(turn, 1), calls: make(chan func()), idle: make(chan job), results: make(chan result, 1024), ended: make(chan struct{}),
	}
	l.w, l.paused = newWorker(o, &l.config), o.Paused
	l.w.relook = l.relook
	if err := l.restore(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// turn is a lock that is held while the disk writes. It is a channel, so that
// who waits for it is seen to wait (testing/synctest).
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// restore reads the heads of all records. Until a configuration is set nothing
// is declared and nothing happens.
func (l *Loop) restore(ctx context.Context) error {
	b, err := l.o.Store.Meta(ctx, metaGuardLog)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("reading the guard's log: %w", err)
	}
	if l.guard, err = readGuardLog(b); err != nil {
		return err
	}
	return l.o.Store.Heads(ctx, func(h state.Head) error {
		kind := kindCredential
		if h.Kind == state.KindSink {
			kind = kindSink
		}
		it := l.item(h.Address, kind)
		it.stored, it.gone = true, true
		it.takeHead(h)
		return nil
	})
}

func (it *item) takeHead(h state.Head) {
	it.gen = h.Generation
	it.expires = nanos(h.ExpiresAt)
	it.due = nanos(h.Due)
	if h.Intent {
		it.due = 0 // what became of it is found out at once
	}
	it.retires = h.Flags&state.FlagRetiring != 0
	it.removing = h.Flags&state.FlagRemoving != 0
	if h.Flags&state.FlagVerify != 0 {
		it.ext().measured = &measured{}
	}
	if h.Orphans > 0 {
		it.ext().orphans = int(h.Orphans)
	}
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

func (l *Loop) item(addr string, kind itemKind) *item {
	it, ok := l.items[addr]
	if !ok {
		it = &item{addr: addr, kind: kind}
		l.q.enter(it, l.q.lane(localLane))
		l.items[addr] = it
	}
	return it
}

// Run works until ctx ends, then lets what is under way come to its end, and
// returns once nothing runs any more. It is called once.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.ended)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	timer := time.NewTimer(maxSleep)
	defer timer.Stop()
	done := ctx.Done()
	for {
		l.progress.Store(l.o.Now().UnixNano())
		if l.farewell != nil && l.left() {
			l.halt()
		}
		if l.stopping && l.running == 0 {
			return nil
		}
		sleep := maxSleep
		if !l.stopping && !l.paused {
			sleep = l.q.advance(l.o.Now())
			l.dispatch(work)
			if sleep = min(sleep, l.q.untilProbe()); l.farewell != nil {
				sleep = min(sleep, l.farewell.until.Sub(l.o.Now()))
			}
		}
		if l.running == 0 {
			l.w.recent.empty()
		}
		timer.Reset(max(sleep, 0))
		select {
		case f := <-l.calls:
			f()
		case r := <-l.results:
			l.finish(r)
			l.drain()
		case <-timer.C:
		case <-done:
			if done = nil; !l.leave() {
				l.halt()
			}
		}
	}
}

// Resume lets a loop that was made paused begin: with everything, or with what
// is ordered of the addresses given and with the sinks that name them, and
// nothing else.
func (l *Loop) Resume(ctx context.Context, only ...string) error {
	return l.do(ctx, func() { l.paused, l.only = false, only })
}

// drain takes the results that are there without waiting for more.
func (l *Loop) drain() {
	for {
		select {
		case r := <-l.results:
			l.finish(r)
		default:
			return
		}
	}
}

// dispatch starts workers for what is ready.
func (l *Loop) dispatch(ctx context.Context) {
	for it := l.next(); it != nil; it = l.next() {
		j := l.job(it)
		l.running++
		select {
		case l.idle <- j:
		default:
			l.wg.Add(1)
			go l.serve(ctx, j)
		}
	}
}

// workerRests is how long a goroutine waits for more work: its stack has grown
// to what the work needs, and growing a new one for each costs as much as
// sealing a token.
const workerRests = time.Second

// serve works on a job, and on those that come soon after.
func (l *Loop) serve(ctx context.Context, j job) {
	defer l.wg.Done()
	rest := time.NewTimer(workerRests)
	defer rest.Stop()
	for {
		l.results <- l.guarded(ctx, j)
		rest.Reset(workerRests)
		select {
		case j = <-l.idle:
		case <-rest.C:
			return
		case <-l.ended:
			return
		}
	}
}

// next takes what is to be worked on next, or nil.
func (l *Loop) next() *item {
	if l.farewell != nil {
		return l.farewell.next(l.q)
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

// eligible is what may be worked on when only some addresses may: those, while
// something is ordered of them, and the sinks that name them. So a command about
// one address carries no change of the configuration out.
func (l *Loop) eligible() []*item {
	var out []*item
	for _, a := range l.only {
		it, ok := l.items[a]
		if !ok {
			continue
		}
		if it.x != nil && (len(it.x.orders) > 0 || it.x.follow) {
			out = append(out, it)
		}
		for _, u := range it.users {
			if u.kind == kindSink && !u.gone {
				out = append(out, u)
			}
		}
	}
	return out
}

// guarded works on one job and turns a panic into a failure of that job alone.
func (l *Loop) guarded(ctx context.Context, j job) (r result) {
	defer func() {
		if p := recover(); p != nil {
			// The panic's value may hold anything, so only its type is told.
			l.log.Error("working on an address panicked; it is put aside for a while", "address", j.addr, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			r = result{item: j.item, lane: j.lane, order: j.order, next: j.now.Add(5 * time.Minute),
				standing: &Standing{State: Failing, Why: "a defect in tokend: see the log", Mend: "tokend retry " + ShellAddress(j.addr)}}
			j.order.finish(errors.New("a defect in tokend stopped this: see the log"))
		}
	}()
	return l.w.work(ctx, j)
}

// do runs f in Run's goroutine and waits for it.
func (l *Loop) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case l.calls <- func() { f(); close(done) }:
		<-done
		return nil
	case <-l.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// job is what a worker is told of one address: a copy, since the item belongs
// to the loop.
type job struct {
	item *item
	lane *lane
	addr string
	kind itemKind
	now  time.Time

	cfg       *spec.Config // that declares it; nil when none does
	last      *spec.Config // that declared it last, when it is gone
	force     *spec.Config // in force
	stored    bool
	guarded   string
	allowed   bool
	quiet     time.Time
	unsettled string // why the configuration's files are not whole, of a removal that waits for them
	stuck     string
	needed    bool // of a credential: something names its token
	order     *waiter
	holding   []string // sinks that hold an older token (of a gone one: any)
	waiting   bool     // sinks exist whose holdings are not known yet
	telling   []string // hooks that are about to run because of its sinks
	holds     map[string]uint64
	uses      []string
	gens      []uint64       // of the tokens in force of those in uses
	pending   []string       // of a hook
	failures  int            // of a hook, in a row
	first     bool           // first look since the start
	calls     chan struct{}  // the lane's requests in flight
	bucket    *rate.Limiter  // the lane's rate limit; nil: none
	pace      *pace          // likewise, of what is sent
	limits    spec.RateLimit // what both were made of
	measured  measured       // of the token in force, by asking the API
	noSecrets bool           // a plan that reads no secret
	dry       bool           // only a decision: nothing is performed
}

func (l *Loop) job(it *item) job {
	j := job{item: it, lane: it.lane, addr: it.addr, kind: it.kind, now: l.o.Now(), stored: it.stored, first: !it.looked, calls: it.lane.calls, bucket: it.lane.bucket, pace: it.lane.pace, limits: it.lane.setting}
	j.cfg, j.force = l.configOf(it), l.cfg
	if it.gone {
		j.last = it.cfg
	}
	if it.x != nil {
		j.guarded, j.allowed, j.quiet, j.stuck = it.x.guarded, it.x.allowed, it.x.quiet, it.x.stuck
		if it.gone && !j.quiet.IsZero() && l.o.Unsettled != nil {
			j.unsettled = l.o.Unsettled()
		}
		if len(it.x.orders) > 0 {
			j.order = it.x.orders[0]
		}
		for s := range it.x.pending {
			j.pending = append(j.pending, s)
		}
		j.failures = it.x.failures
		if it.x.measured != nil {
			j.measured = *it.x.measured
		}
	}
	switch it.kind {
	case kindCredential:
		j.needed = slices.ContainsFunc(it.users, func(u *item) bool { return !u.gone })
		if it.retires || it.gone {
			j.holding, j.waiting = holding(it)
			j.telling = l.telling(it)
		}
	case kindSink:
		j.holds = map[string]uint64{}
		for _, e := range it.uses {
			j.uses = append(j.uses, e.to.addr)
			j.gens = append(j.gens, e.to.gen)
			j.holds[e.to.addr] = e.holds
		}
	}
	return j
}

// configOf is the configuration that declares an item, or nil. What the guard
// holds lives on as the configuration before declared it.
func (l *Loop) configOf(it *item) *spec.Config {
	switch {
	case it.x != nil && it.x.guarded != "" && it.cfg != nil:
		return it.cfg
	case it.gone:
		return nil
	}
	return l.cfg
}

// holding lists the sinks that hold an older token of a credential than the
// one in force (any token of it, when it is gone), and says whether there are
// sinks of which that is not known yet.
func holding(c *item) (names []string, unknown bool) {
	// While its removal is held back it lives on, and the sinks may hold its
	// newest token.
	leaves := c.gone && (c.x == nil || c.x.guarded == "")
	for _, s := range c.users {
		if s.kind != kindSink {
			continue
		}
		h := s.holdsOf(c)
		switch {
		case !s.looked && s.stored:
			unknown = true
		case h > 0 && (leaves || h < c.gen):
			names = append(names, s.addr)
		}
	}
	return names, unknown
}

// result is what a worker found and did.
type result struct {
	item *item
	lane *lane // that it was taken from

	next     time.Time
	standing *Standing
	record   bool // credential or sink: gen, expires, retires, stored below are set
	stored   bool
	gen      uint64
	expires  time.Time
	retires  bool
	orphans  int
	drop     bool // nothing is left of it
	blind    bool // it could not even be looked at: standing says why
	relane   bool // it belongs into the lane of this name
	laneName string
	remote   bool              // of a sink: its place is no file, so no event tells of what others do to it
	holds    map[string]uint64 // of a sink: what its place holds now; nil: unchanged
	place    string
	path     string   // the file to watch
	stamp    stamp    // of that file, as it was left
	hooks    []string // to be run, since the sink changed
	ran      []string // of a hook: the sinks whose change it has answered
	failed   bool     // of a hook
	failures int      // of a hook, in a row
	again    bool     // look at once: one step of several is done
	lost     bool     // another write of the record won: look at once
	order    *waiter  // that was carried out (or refused)
	unjudged bool     // a destructive step that the guard has not seen
	began    begun    // destructive steps that were begun
	limits   *spec.RateLimit
	measured *measured
	health   *health // what a call said of the provider; nil: none was made
}

// finish takes a worker's result over.
func (l *Loop) finish(r result) {
	it := r.item
	l.running--
	l.takeHealth(r)
	l.q.finished(it, r.lane)
	if !r.relane && (it.kind != kindSink || r.record) {
		it.looked = true // what the place of a sink holds is known only after a look that came to an end
	}
	if !r.relane {
		l.passed(it)
	}
	defer func() {
		if _, ok := l.items[it.addr]; ok {
			l.recount(it)
		}
	}()
	if r.relane {
		l.relane(it, r.laneName)
	}
	if r.limits != nil {
		it.lane.setLimit(*r.limits)
	}
	newer := r.record && r.gen > it.gen
	if r.record {
		it.gen, it.expires, it.retires, it.stored = r.gen, nanos(r.expires), r.retires, r.stored
		if r.orphans > 0 || it.x != nil {
			it.ext().orphans = r.orphans
		}
	}
	if r.measured != nil {
		m := *r.measured // the worker's has all that it observed behind it
		it.ext().measured = &m
	} else if it.x != nil && r.record {
		it.x.measured = nil
	}
	if !r.relane || r.standing != nil {
		if s := r.standing; r.blind && (it.x == nil || it.x.standing == nil || it.x.standing.Why != s.Why) {
			l.log.Warn("an address cannot be worked on; it is looked at again", "address", it.addr, "type", typeOf(it.addr), "error", s.Why)
		}
		l.stand(it, r.standing)
	}
	l.takeOrder(it, r.order)
	l.takeSink(it, r)
	if it.kind == kindHook {
		l.takeHook(it, r)
	}
	if newer {
		l.wakeUsers(it)
	}
	if r.began != (begun{}) {
		l.began(it.addr, r.began)
		it.removing = it.gone && r.began.Revocations > 0
		if it.x != nil {
			it.x.allowed = false // the next one is judged anew
		}
	}
	switch {
	case r.drop && it.gone:
		l.forget(it)
		it.counted = l.uncount(it)
		return
	case r.unjudged:
		it.again = false
		l.rejudge()
		// If the judgement fails, or finds nothing to judge, nobody else wakes it.
		l.q.at(it, l.o.Now().Add(lookAgain))
		return
	case r.again || r.lost || it.again || (r.order != nil && it.x != nil && len(it.x.orders) > 0):
		// An order that was not answered waits until r.next, for a rate limit.
		it.again = false
		l.q.now(it)
		return
	}
	l.q.at(it, l.lookAt(it, r))
}

// stand takes over how an address does.
func (l *Loop) stand(it *item, s *Standing) {
	if s == nil || s.State == Ready {
		if it.x != nil {
			it.x.standing = nil
		}
		return
	}
	x := it.ext()
	s.Since = l.o.Now()
	if old := x.standing; old != nil && old.State == s.State {
		s.Since = old.Since
	}
	x.standing = s
}

func (l *Loop) takeOrder(it *item, done *waiter) {
	if done == nil || it.x == nil {
		return
	}
	for i, w := range it.x.orders {
		if w == done {
			it.x.orders = append(it.x.orders[:i:i], it.x.orders[i+1:]...)
			return
		}
	}
}

// takeSink takes over what a sink's place holds now and whom that concerns.
func (l *Loop) takeSink(it *item, r result) {
	if it.kind != kindSink {
		return
	}
	l.place(it, r)
	if r.remote && !it.remote {
		it.remote = true
		l.remotes++
	}
	for _, h := range r.hooks {
		l.notify(h, it.addr)
	}
	if r.holds != nil || r.drop {
		l.hold(it, r.holds)
	}
}

// hold records what a sink's place holds, drops what it neither names nor
// holds any more, and wakes the credentials that wait for it.
func (l *Loop) hold(it *item, holds map[string]uint64) {
	left := false
	for _, e := range it.uses {
		u := e.to
		left = left || holds[u.addr] == 0
		if u.retires || u.gone {
			l.wake(u)
		}
	}
	var named []spec.Address
	if cfg := l.configOf(it); cfg != nil && left {
		named, _ = cfg.Uses(spec.Address(it.addr)) // what is not declared names nothing
	}
	uses := make([]edge, 0, len(it.uses))
	for _, e := range it.uses {
		if gen := holds[e.to.addr]; gen > 0 || slices.Contains(named, spec.Address(e.to.addr)) {
			uses = append(uses, edge{e.to, gen})
		} else {
			e.to.users = without(e.to.users, it)
		}
	}
	for a, gen := range holds {
		// It may have been written by a configuration that is no longer in force.
		if u, ok := l.items[a]; ok && gen > 0 && !leads(uses, u) {
			uses = append(uses, edge{u, gen})
			u.users = append(u.users, it)
		}
	}
	it.uses = uses
}

func without(list []*item, it *item) []*item {
	for i, x := range list {
		if x == it {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// wakeUsers has everything looked at that names a credential whose token
// changed: that, and nothing else.
func (l *Loop) wakeUsers(c *item) {
	for _, u := range c.users {
		l.wake(u)
	}
}

// relook has an address looked at whose record could not be written: at once
// where another write of it won, else when the disk may take it. It does not
// wait.
func (l *Loop) relook(addr string, why error) {
	after := lookAgain
	if errors.Is(why, state.ErrConflict) {
		after = 0
	}
	time.AfterFunc(after, func() { _ = l.Wake(context.Background(), []string{addr}) })
}

// wake has an item looked at now.
func (l *Loop) wake(it *item) {
	if it.phase == running {
		it.again = true
		return
	}
	if it.lane == nil {
		return // it was forgotten
	}
	l.q.around(it)
	l.q.now(it)
}

// relane puts an item that is not running into the lane of what it has to ask.
func (l *Loop) relane(it *item, name string) {
	l.q.move(it, l.q.lane(name))
	b := &it.lane.breaker
	if !b.open() {
		return
	}
	l.passed(it)
	if it.x != nil && len(it.x.orders) > 0 {
		b.next = l.o.Now() // a person asked for it
	}
}

// forget removes an item of which nothing is left.
func (l *Loop) forget(it *item) {
	l.q.remove(it)
	l.q.leave(it)
	for _, e := range it.uses {
		u := e.to
		u.users = without(u.users, it)
		if u.gone || u.retires {
			l.wake(u)
		}
	}
	if it.x != nil {
		for _, w := range it.x.orders {
			w.finish(nil)
		}
	}
	l.passed(it)
	if it.remote {
		l.remotes--
	}
	l.unwatch(it)
	delete(l.odd, it)
	delete(l.items, it.addr)
}

// Progress is when the loop last took a turn; a watchdog is fed by it.
func (l *Loop) Progress() time.Time { return fromNanos(l.progress.Load()) }

// Config is the configuration in force; nil before the first Set.
func (l *Loop) Config() *spec.Config { return l.config.Load() }
