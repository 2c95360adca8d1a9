package watch

import (
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options of a [Watcher]. The zero value works.
type Options struct {
	// Rescan is how often all paths' metadata are compared, as a net below the
	// events; where it takes long it is done less often, so that it costs at most
	// about 0.3 % of one core. Default one minute.
	Rescan time.Duration
	// Poll is how often at most that is done where events cannot be had; where
	// it takes long it is done less often, so that it costs at most about 2 %
	// of one core. Default one second.
	Poll time.Duration
	// Logger hears when events stop and come back. Default: nobody.
	Logger *slog.Logger
}

// Group is a set of paths whose changes are of interest together.
type Group struct {
	Name string
	// Paths of files and directories. Relative ones are relative to the working
	// directory at the time of [Watcher.Set]. They need not exist.
	Paths []string
	// IgnoreChmod leaves changes of mode, owner and times alone to the rescan.
	IgnoreChmod bool
	// Quiet is how long nothing must have happened before a tick is sent, and
	// MaxDelay how long one is held back at most while more happens. Defaults 50
	// ms and ten times Quiet.
	Quiet, MaxDelay time.Duration
}

// Watcher watches groups of paths; see the package's documentation. Its methods
// are safe for concurrent use.
type Watcher struct {
	opts     Options
	log      *slog.Logger
	ticks    chan Tick
	calls    chan func()
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	degraded atomic.Pointer[string]

	// What follows belongs to the goroutine of run.
	summer       summer
	fs           *fsnotify.Watcher // nil: no instance to be had
	events       <-chan fsnotify.Event
	errors       <-chan error
	groups       map[string]*group
	places       map[string]*place
	dirs         map[string]*dir
	unused       map[*dir]struct{}    // may be needed no more
	moved        map[string]time.Time // directories that were watched here, by when they went
	blind        map[*place]struct{}
	blindChanged bool
	scan         scan
	always       chan struct{} // closed: always ready to receive
}

// group is a [Group] at work.
type group struct {
	name        string
	ignoreChmod bool
	batch       batch
	ready       *Tick     // due, and not received yet
	since       time.Time // when that was due
}

// New starts a watcher that watches nothing yet. It does not fail: where
// inotify is not to be had, it looks again and again instead.
func New(o Options) *Watcher {
	if o.Rescan <= 0 {
		o.Rescan = time.Minute
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{
		opts: o, log: o.Logger,
		ticks: make(chan Tick), calls: make(chan func()), stop: make(chan struct{}), done: make(chan struct{}),
		summer: newSummer(), groups: map[string]*group{}, places: map[string]*place{}, dirs: map[string]*dir{},
		unused: map[*dir]struct{}{}, moved: map[string]time.Time{}, blind: map[*place]struct{}{}, always: make(chan struct{}),
	}
	close(w.always)
	w.newInotify()
	w.scan.full = time.Now().Add(o.Rescan)
	w.scan.due = w.scan.full
	go w.run()
	return w
}

// C delivers the ticks. Ticks of a group that nobody has received yet are
// merged, so a slow receiver delays nothing and misses nothing. It is closed by
// [Watcher.Close].
func (w *Watcher) C() <-chan Tick { return w.ticks }

// Degraded says why, and where, changes are looked for instead of waited for;
// empty while events are relied on.
func (w *Watcher) Degraded() string {
	if s := w.degraded.Load(); s != nil {
		return *s
	}
	return ""
}

// Close stops watching and closes the channel of ticks.
func (w *Watcher) Close() {
	w.stopOnce.Do(func() { close(w.stop) })
	<-w.done
}

// Set replaces the paths and the options of the groups given; other groups
// stay, and a group without paths is one that never ticks. What both the old
// and the new set name is watched without a gap, and followed anew: should it
// lead elsewhere unnoticed (something was mounted over it), it ticks. When Set
// returns, changes of the new paths are noticed.
func (w *Watcher) Set(groups ...Group) {
	w.call(func() {
		for _, g := range groups {
			w.set(g)
		}
	})
}

// Add adds paths to a group that was Set, at the cost of those alone.
func (w *Watcher) Add(group string, paths ...string) {
	w.call(func() {
		if g := w.groups[group]; g != nil {
			w.addNames(g, w.byPlace(paths))
		}
	})
}

// Remove takes paths out of a group, at the cost of those alone.
func (w *Watcher) Remove(group string, paths ...string) {
	w.call(func() {
		if g := w.groups[group]; g != nil {
			w.remove(g, paths)
		}
	})
}

// call has f run by the goroutine that owns everything, and waits for it.
func (w *Watcher) call(f func()) {
	ran := make(chan struct{})
	select {
	case w.calls <- func() { f(); w.sweep(); w.describe(); close(ran) }:
		<-ran
	case <-w.done:
	}
}

func (w *Watcher) run() {
	defer close(w.done)
	defer close(w.ticks)
	defer func() {
		if w.fs != nil {
			_ = w.fs.Close()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		out, tick, g := w.outgoing()
		timer.Reset(time.Until(w.nextDue()))
		select {
		case <-w.stop:
			return
		case f := <-w.calls:
			f()
		case out <- tick:
			g.ready = nil
		case ev, ok := <-w.events:
			if !ok {
				w.events = nil
				continue
			}
			w.onEvents(ev)
		case err, ok := <-w.errors:
			if !ok {
				w.errors = nil
				continue
			}
			w.onError(err)
		case <-w.scan.stepC:
			w.scan.step(w)
		case <-timer.C:
		}
		w.settle(time.Now())
	}
}

// outgoing is the tick that waits for its receiver, if there is one: of several,
// the one that was due first.
func (w *Watcher) outgoing() (out chan<- Tick, t Tick, g *group) {
	for _, next := range w.groups {
		if next.ready != nil && (g == nil || next.since.Before(g.since)) {
			g = next
		}
	}
	if g == nil {
		return nil, Tick{}, nil
	}
	return w.ticks, *g.ready, g
}

// nextDue is when something is to be done without an event.
func (w *Watcher) nextDue() time.Time {
	next := w.scan.due
	for _, g := range w.groups {
		if due := g.batch.due(); !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return next
}

// settle does what is due.
func (w *Watcher) settle(now time.Time) {
	w.sweep()
	w.describe()
	for _, g := range w.groups {
		due := g.batch.due()
		if due.IsZero() || due.After(now) {
			continue
		}
		t := g.batch.take(g.name)
		w.accept(g, t.Paths)
		if g.ready != nil {
			t = g.ready.merge(t)
		} else {
			g.since = due
		}
		g.ready = &t
	}
	if !w.scan.due.After(now) {
		w.scan.begin(w, now)
	}
}

// set is [Watcher.Set] of one group.
func (w *Watcher) set(next Group) {
	g := w.groups[next.Name]
	if g == nil {
		g = &group{name: next.Name}
		w.groups[next.Name] = g
	}
	g.ignoreChmod = next.IgnoreChmod
	g.batch.quiet, g.batch.most = next.Quiet, next.MaxDelay
	if g.batch.quiet <= 0 {
		g.batch.quiet = 50 * time.Millisecond
	}
	if g.batch.most <= 0 {
		g.batch.most = 10 * g.batch.quiet
	}
	asked := w.byPlace(next.Paths)
	w.addNames(g, asked)
	now := time.Now()
	for _, p := range w.places {
		_, whole := p.whole[g]
		if (whole || p.names[g] != nil) && w.arm(p, p.real()) {
			w.lookAgain(p, now)
		}
		// All that is asked for is there now; what is more was asked for before.
		if names := asked[p.dir]; len(p.names[g]) > len(names) {
			w.keepOnly(p, g, names)
		}
	}
}

// keepOnly forgets what a group asked for in a place beside names.
func (w *Watcher) keepOnly(p *place, g *group, names []string) {
	for name := range p.names[g] {
		if _, ok := slices.BinarySearch(names, name); !ok {
			w.forget(p, g, name)
		}
	}
}

func (w *Watcher) remove(g *group, paths []string) {
	for dir, names := range w.byPlace(paths) {
		for _, name := range names {
			if p := w.places[dir]; p != nil {
				w.forget(p, g, name)
			}
		}
	}
}

// byPlace sorts paths into the directories that they are spelled in. The names
// are sorted, each is there once.
func (w *Watcher) byPlace(paths []string) map[string][]string {
	out := map[string][]string{}
	last, names := "", []string(nil)
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			abs, err := filepath.Abs(path)
			if err != nil {
				w.log.Error("a relative path cannot be watched without a working directory", "path", path, "error", err)
				continue
			}
			path = abs
		}
		dir, name := split(filepath.Clean(path))
		if dir != last {
			out[last] = names
			last, names = dir, out[dir]
		}
		names = append(names, name)
	}
	out[last] = names
	delete(out, "")
	for dir, names := range out {
		if !slices.IsSorted(names) {
			slices.Sort(names)
		}
		out[dir] = slices.Compact(names)
	}
	return out
}
