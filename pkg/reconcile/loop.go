package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
	// LoadSnapshot reads a configuration back from what Snapshot wrote, and after
	// it, joined, what its parts hold.
	LoadSnapshot func([]byte) (*spec.Config, error)
	// Snapshot packs what a configuration was read from, but for what is in parts.
	Snapshot func(*spec.Config) ([]byte, error)
	// SnapshotParts are what else belongs to it; nil: nothing ever does.
	SnapshotParts func(*spec.Config) []Part
	Host          string // spreads schedules over hosts
	Logger        *slog.Logger
	Now           func() time.Time
	// Uptime names this boot and the time since it began, suspends included, by
	// a clock that nobody can step; nil: the kernel's.
	Uptime func() (boot string, up time.Duration)
	// ClockSet, when set, tells of every time that the machine's clock was set: that
	// it was set back is noticed at once then, and not with the next turn.
	ClockSet <-chan struct{}
	// Written is when the state was written last before it was opened, by the
	// machine's clock as it was then; zero: that is not known. A clock that is
	// behind it was set back meanwhile.
	Written time.Time
	// Observe, when set, is told of every finished call; for metrics.
	Observe func(Event)
	// PathsChanged, when set, is told of files that are to be watched from now
	// on, and of those that are not any more. It must not block.
	PathsChanged func(add, remove []string)
	// Taken, when set, is told of every configuration that is taken over and reads
	// differently from the one before, before anything is done by it. It must not block.
	Taken func(*spec.Config)
	// Revision, when set, names what a configuration was read from, such as a
	// commit: it is recorded with every grant. It must not block.
	Revision func(*spec.Config) string
	// Unsettled, when set, says why the configuration's files are not to be
	// trusted to be whole at this moment, "" when they are: no removal begins
	// then. It must not block.
	Unsettled func() string
	// Stands, when set, says in words what stands at a place of this host ("a
	// file"), "" for nothing, or where only somebody else could tell. A plan
	// asks it of places that are about to be written for the first time.
	Stands func(place string) string
	// RevokeAtEnd: Run's end revokes what revoke_on_shutdown asks for. A command
	// that ends is no shutdown.
	RevokeAtEnd bool
	// Away plans against an export, where neither the host's files nor its
	// secrets can be seen; Store is the export's, and Now its Clock. Nothing is ever
	// carried out.
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
	idle    chan *job // to a worker that has nothing to do
	results chan *result
	ended   chan struct{}
	// secretsRead are reads of secrets that are over and for which looks were put back.
	secretsRead chan *secretRead
	setting     turn // one Set, Approve or judgement at a time
	swept       sync.Once

	// Owned by Run's goroutine.
	items                    map[string]*item
	drops                    int // how often one of them was taken out
	restored                 restored
	q                        *queue
	cfg                      *spec.Config
	held                     *HeldChange
	guard                    guardLog
	changed                  time.Time // when the configuration in force was set
	begun                    time.Time // when the first one was
	settle                   time.Duration
	moves                    []rename // that are shown and not made yet
	dry                      bool     // the configuration was taken over in memory only
	guardWriting, guardStale bool
	rejudging                bool
	stopping                 bool
	farewell                 *farewell // not nil: it stops, and revokes before
	paused                   bool
	stills                   []*stillness // nothing is taken up while there are any
	only                     []string     // the addresses that are worked on; nil: all
	byPath                   map[string]watched
	hooks                    map[string]*item
	odd                      map[*item]bool // gone, held back or let go; perhaps not any more
	vacated                  *leftPlaces    // of the sinks among those, while they are many
	tally                    [len(states)]int
	clock                    clockReading      // of the last turn
	hastened                 time.Time         // when turns were made last
	hastens                  time.Duration     // after how long they are made again
	probed                   time.Time         // when what waits for hosts was looked through
	probes                   time.Duration     // after how long that is done again
	remotes                  int               // sinks whose place is no file
	keepers                  map[string]string // of sinks: those that keep their places for them, as far as is known
	ending                   map[*item][]*item // gone credentials that are worked on, and the sinks that wait for that look's end
	firstLeft                int               // items of the first pass that were not worked on yet
	running                  int
	staying                  bool // a worker that stays was started

	config   atomic.Pointer[spec.Config] // cfg, for readers outside
	relooks  relooks                     // waiting to look again
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
		o: o, log: o.Logger, items: map[string]*item{}, odd: map[*item]bool{}, ending: map[*item][]*item{}, keepers: map[string]string{}, q: newQueue(),
		byPath: map[string]watched{}, hooks: map[string]*item{},
		setting: make(turn, 1), calls: make(chan func()), idle: make(chan *job), results: make(chan *result, 1024), ended: make(chan struct{}), secretsRead: make(chan *secretRead),
	}
	l.w, l.paused = newWorker(o, &l.config), o.Paused
	l.q.recall = l.recallSent
	l.w.relook = l.relook
	if err := l.restore(ctx); err != nil {
		return nil, err
	}
	l.w.secrets.tell = l.tellOver
	return l, nil
}

// turn is a lock that is held while the disk writes. It is a channel, so that
// who waits for it is seen to wait (testing/synctest).
type turn chan struct{}

func (t turn) Lock() { t <- struct{}{} }

func (t turn) Unlock() { <-t }

func (t turn) TryLock() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
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
	// Nobody ends this one: Run waits for all that works, and what never ends costs
	// nothing to wait with.
	work := context.WithoutCancel(ctx)
	timer := time.NewTimer(maxSleep)
	defer timer.Stop()
	done, clockSet := ctx.Done(), l.o.ClockSet
	for {
		l.progress.Store(l.o.Now().UnixNano())
		if l.farewell != nil && l.left() {
			l.halt()
		}
		if l.stopping && l.running == 0 {
			l.w.secrets.end()
			return nil
		}
		sleep := maxSleep
		if !l.stopping && !l.paused && len(l.stills) == 0 {
			now := l.o.Now()
			l.noticeStep(now)
			l.hasten(now)
			probes := l.probeHosts(now)
			l.q.disk = l.w.disk.each()
			sleep = l.q.advance(now)
			l.dispatch(work)
			if sleep = min(sleep, probes, l.q.untilProbe()); l.farewell != nil {
				sleep = min(sleep, l.farewell.until.Sub(l.o.Now()))
			}
		}
		if l.running == 0 {
			l.w.recent.empty()
			for _, s := range l.stills {
				s.reached()
			}
		}
		timer.Reset(max(sleep, 0))
		select {
		case f := <-l.calls:
			f()
		case r := <-l.results:
			l.finish(r)
			l.drain()
		case rd := <-l.secretsRead:
			l.secretOver(rd)
		case <-timer.C:
		case <-l.q.freed: // the turn takes up what there is room for
		case _, ok := <-clockSet: // the turn looks what that means
			if !ok {
				clockSet = nil
			}
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
	return l.do(ctx, func() { l.paused, l.only, l.begun = false, only, l.o.Now() })
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

// wake has an item looked at now, also for what waits for a secret: that may not
// be what is needed any more.
func (l *Loop) wake(it *item) {
	if it.x != nil {
		it.x.waits = nil
	}
	if it.phase == running {
		it.again = true
		if it.x != nil && len(it.x.orders) > 0 {
			l.w.asking.dropped(it.addr)
		}
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
	if it.x != nil {
		it.x.home = ""
	}
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
		if u.gone || u.retiring > 0 {
			l.wake(u)
		}
	}
	if it.x != nil {
		for _, w := range it.x.orders {
			w.finish(w.gone(it.addr))
			w.tell()
		}
	}
	l.passed(it)
	if it.remote {
		l.remotes--
	}
	l.unwatch(it)
	delete(l.odd, it)
	l.w.steps.set(it.addr, 0)
	delete(l.hooks, it.addr)
	delete(l.items, it.addr)
	l.drops++
}

// Progress is when the loop last took a turn; a watchdog is fed by it.
func (l *Loop) Progress() time.Time { return fromNanos(l.progress.Load()) }

// Config is the configuration in force; nil before the first Set.
func (l *Loop) Config() *spec.Config { return l.config.Load() }
