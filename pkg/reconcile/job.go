package reconcile

import (
	"slices"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// job is what a worker is told of one address: a copy, since the item belongs
// to the loop.
type job struct {
	item *item
	lane *lane
	addr string
	kind itemKind
	now  time.Time

	cfg       *spec.Config // that declares it; nil when none does
	last      *spec.Config // that declared it last, when it is gone; of a sink that moves: by which it is where it is
	force     *spec.Config // in force
	earlier   *spec.Config // of a sink: extra.earlier
	before    bool         // of a sink: cfg is what it goes on by as before
	without   bool         // of a sink: it is not waited for outputs that are not there yet
	stored    bool
	guarded   string
	allowed   bool
	quiet     time.Time
	unsettled string // why the configuration's files are not whole, of a removal that waits for them
	stuck     string
	lost      string // why it is not known what declared it last, when it is gone
	needed    bool   // of a credential: something names its token
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
	shared    chan struct{}  // those of its provider, of which these are a part; nil: they are all
	pace      *pace          // the lane's rate limit; nil: none
	seat      *seat          // in pace
	keepSent  func(*job)     // says in the state that a request is sent under it; nil: nobody does
	called    *called        // whether its call was made; nil: nobody counts
	sent      bool           // a request of it was sent
	limits    spec.RateLimit // what it was made of
	limitSaid bool           // by the configuration
	clockStep time.Duration  // by how much the clock was set since its record was written: forward; less than nothing: back
	turn      time.Time      // when its refresh has to begin, so that all that share its rate limit are in time; zero: whenever it is due
	refreshes *state.Failure // Input.RefreshFailure, as it was left
	repeats   bool           // Input.Repeats, as it was left
	measured  measured       // of the token in force, by asking the API
	leaving   []string       // of a sink that was never written, or is removed: those that are about to leave their places; of a hook that is gone: those that are about to be looked at, and may be removed then
	crowd     *leftPlaces    // where there are too many of those to be asked
	noSecrets bool           // a plan that reads no secret
	had       []*secretRead  // secrets that were read for it, since an earlier look did not wait for them
	waits     []secretWait   // what waits for others that are still being read
	formerly  []string       // of a credential that has had no token: the sinks that may hold one of an earlier record of it
	unseen    time.Time      // of a credential: the start since which not all places that hold its token were looked at; zero: they were
	once      bool           // the run ends by itself
	untried   time.Time      // of a credential: the start since which not all of its sinks were tried; zero: they were
	dry       bool           // only a decision: nothing is performed
}

func (l *Loop) job(it *item) *job {
	j := &job{item: it, lane: it.lane, addr: it.addr, kind: it.kind, now: l.o.Now(), stored: it.stored, first: !it.looked, calls: it.lane.calls, pace: it.lane.pace, limits: it.lane.base().setting, limitSaid: it.lane.base().said}
	if it.lane.of != nil {
		j.shared = it.lane.of.calls
	}
	j.cfg, j.force = l.configOf(it), l.cfg
	switch {
	case it.gone:
		j.last = it.cfg
	case it.x != nil:
		j.last = it.x.before
	}
	if it.x != nil {
		j.earlier = it.x.earlier
		j.guarded, j.allowed, j.quiet, j.stuck = it.x.guarded, it.x.allowed, it.x.quiet, it.x.stuck
		if it.gone {
			j.lost = it.x.lost.why
		}
		if it.gone && !j.quiet.IsZero() && l.o.Unsettled != nil {
			j.unsettled = l.o.Unsettled()
		}
		if len(it.x.orders) > 0 {
			j.order = it.x.orders[0]
		}
		for s := range it.x.pending {
			j.pending = append(j.pending, s)
		}
		l.withSecrets(j, it.x)
		j.failures, j.refreshes = it.x.failures, it.x.refresh
		if it.x.measured != nil {
			j.measured = *it.x.measured
		}
	}
	switch it.kind {
	case kindHook:
		for _, s := range j.pending {
			if u := l.items[s]; it.gone && u != nil && u.gone && (u.phase == running || u.phase == ready) {
				j.leaving = append(j.leaving, s)
			}
		}
	case kindCredential:
		j.unseen, j.once = l.unseenPlaces(it), l.o.Paused
		j.formerly = formerly(it)
		j.repeats = it.repeats
		j.clockStep, j.turn = l.w.steps.since(it.addr), it.lane.base().turn(it.expires)
		j.needed = slices.ContainsFunc(it.users, func(u *item) bool { return !u.gone })
		if it.retiring > 0 || it.gone {
			j.holding, j.waiting = holding(it)
			j.untried = l.untried(it)
			j.telling = l.telling(it)
		}
	case kindSink:
		j.holds = map[string]uint64{}
		j.leaving, j.crowd = l.leavingSinks(it)
		for _, e := range it.uses {
			j.uses = append(j.uses, e.to.addr)
			j.gens = append(j.gens, e.to.gen)
			j.holds[e.to.addr] = e.holds
		}
	}
	return j
}

// mayBegin says that the work may begin what the guard has let go: what waits until the
// files have been quiet for a while cannot.
func (j *job) mayBegin() bool {
	return j.allowed && (j.cfg != nil || !j.now.Before(j.quiet))
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
		case !s.looked && s.stored, s.phase == running:
			unknown = true // one that is being written may get the token that was in force when that began
		case h > 0 && (leaves || h < c.gen):
			names = append(names, s.addr)
		}
	}
	return names, unknown
}

// untried says since when sinks that name a credential were not tried, of those that
// were written before; zero: they were.
func (l *Loop) untried(it *item) time.Time {
	if l.begun.IsZero() || l.o.Now().Sub(l.begun) >= untriedLimit || !slices.ContainsFunc(it.users, func(u *item) bool {
		return u.kind == kindSink && u.stored && !u.looked
	}) {
		return time.Time{}
	}
	return l.begun
}

// result is what a worker found and did.
type result struct {
	item *item
	lane *lane // that it was taken from

	next     time.Time
	standing *Standing
	record   bool // credential or sink: gen, expires, retiring, stored below are set
	stored   bool
	gen      uint64
	expires  time.Time
	retiring int
	orphans  state.Orphans
	drop     bool // nothing is left of it
	remains  bool // of a credential: item.remains
	blind    bool // it could not even be looked at: standing says why
	relane   bool // it belongs into the lane of this name
	laneName string
	laneBack string            // where it belongs otherwise, of one that goes into a lane beside its provider's; "": that provider's
	unless   time.Time         // when something else of it is due than that; zero: nothing is
	remote   bool              // of a sink: its place is no file, so no event tells of what others do to it
	sighted  bool              // of a sink: what its place holds was seen, or was written
	holds    map[string]uint64 // of a sink: what its place holds now; nil: unchanged
	place    string
	path     string   // the file to watch
	stamp    stamp    // of that file, as it was left
	hooks    []string // to be run, since the sink changed
	owed     []string // hooks that the record waits for: they are to be run, where they do not wait for that already
	tried    []string // of a hook that failed: the removed sinks whose records need not be kept for it any more
	ran      []string // of a hook: the sinks whose change it has answered
	failed   bool     // of a hook
	failures int      // of a hook, in a row
	// reading are secrets that the look did not wait for, and waits what of it is put
	// back for them.
	reading []*secretRead
	waits   []secretWait
	again   bool     // look at once: one step of several is done
	lost    bool     // another write of the record won: look at once
	wakes   []string // of a credential: others that look at once, since its login is over
	// overtaken: a sink was left as it was, since what it was looked at with holds no
	// more. The next look is as the first one since the start where this was.
	overtaken   bool
	order       *waiter       // that was carried out (or refused)
	asBefore    bool          // it stands as it did, and since when it did: nothing came of a question
	keeps       string        // of a removed sink: for which one it keeps its place
	awaits      bool          // of a sink: what it names comes with a grant that is not there yet
	bare        bool          // its token was given up, and there is no other: its places wait
	unjudged    bool          // a destructive step that the guard has not seen
	unjudgedEnd bool          // the guard has not seen that its token is to end with the daemon: it does not, until then
	clockStep   time.Duration // by which the record was brought in line with the clock
	saved       bool          // the record was written in this look
	early       bool          // it is looked at again as soon as its token may be refreshed at all
	glances     bool          // of a credential: it is looked at again before its token is due
	repeats     bool          // of a credential: Input.Repeats, as it is left
	revokesAt   time.Time     // of a credential: when it is looked at again for an old token, and for nothing else; zero: not for one
	began       begun         // destructive steps that were begun
	limits      *spec.RateLimit
	recorded    bool // they are those of a record
	measured    *measured
	refreshes   *state.Failure // of a credential: Input.RefreshFailure, as it is left
	health      *health        // what a call said of the provider; nil: nothing, or none was made
	sent        bool           // one was
}
