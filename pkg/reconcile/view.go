package reconcile

import (
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// View is how everything does at one moment, without a secret.
type View struct {
	Now         time.Time     `json:"now"`
	Ready       bool          `json:"ready"`      // every address is ready; what is held back counts as ready while it works
	FirstPass   bool          `json:"first_pass"` // everything has been looked at since the start
	Unseen      int           `json:"not_looked_at,omitempty"`
	Credentials []Line        `json:"credentials"`
	Sinks       []Line        `json:"sinks"`
	Hooks       []Line        `json:"hooks,omitempty"`
	Held        *HeldChange   `json:"held,omitempty"`
	Lanes       []LaneView    `json:"lanes,omitempty"`
	Store       StoreView     `json:"state"`
	Counts      map[State]int `json:"counts"`               // but of what is removed
	HeldEnded   int           `json:"held_ended,omitempty"` // of what is held back: credentials whose token has ended, which work no longer
}

// Line is one address.
type Line struct {
	Address    string    `json:"address"`
	Type       string    `json:"type,omitempty"`
	State      State     `json:"status"`
	Since      time.Time `json:"since,omitzero"`
	Why        string    `json:"why,omitempty"`
	Next       string    `json:"next,omitempty"`
	NextAt     time.Time `json:"next_at,omitzero"`
	Mend       string    `json:"mend,omitempty"`
	Generation uint64    `json:"generation,omitempty"`
	Orphans    int       `json:"orphans,omitempty"` // tokens that may have been issued and were never seen, and may live still
	// OrphansSince is when the first of them was lost; zero where that is not known.
	OrphansSince time.Time `json:"orphans_since,omitzero"`
	Retiring     int       `json:"pending_revocations,omitempty"` // earlier tokens that wait to be given up; right after a start 1 for any number
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	Place        string    `json:"place,omitempty"`
}

// LaneView is what is asked of one provider or Vault.
type LaneView struct {
	Name string `json:"name"`
	// Of is the provider whose revocations these are; "": it is all else that is asked
	// of it. They share its limits, come after all else, and wait by themselves.
	Of   string `json:"of,omitempty"`
	Asks bool   `json:"asks,omitempty"` // they are questions whether it honours its tokens, not revocations
	// Unanswered says that these questions are of credentials whose last had no answer.
	Unanswered  bool   `json:"unanswered,omitempty"`
	Yields      bool   `json:"yields,omitempty"` // of revocations: other requests of the provider go first
	Running     int    `json:"running"`
	Waiting     int    `json:"waiting"`
	Concurrency int    `json:"concurrency,omitempty"` // the most requests in flight
	InFlight    int    `json:"in_flight,omitempty"`
	Requests    int    `json:"requests,omitempty"` // of the rate limit, in each Per; 0: none
	Per         string `json:"per,omitempty"`
	// OpenSince is when its breaker opened, because several credentials had
	// failed in a row; zero while it is closed.
	OpenSince time.Time `json:"open_since,omitzero"`
	ProbeAt   time.Time `json:"probe_at,omitzero"` // when a call is let through to see
	Why       string    `json:"why,omitempty"`
	Origin    string    `json:"origin,omitempty"` // scheme://host that does not answer, where all that failed asked one
	// Origins are those that do not answer while others of the lane do: only what
	// asks them waits.
	Origins []OriginView `json:"origins,omitempty"`
}

// OriginView is a host of a provider that does not answer.
type OriginView struct {
	Origin    string    `json:"origin"` // scheme://host; "": it may not be shown
	OpenSince time.Time `json:"open_since"`
	ProbeAt   time.Time `json:"probe_at"`
	Why       string    `json:"why"`
}

// StoreView is how the state does.
type StoreView struct {
	Path    string `json:"path"`
	Serial  uint64 `json:"serial"`
	Records int    `json:"records"`
	Intents int    `json:"intents"`
	Bytes   int64  `json:"bytes"`
	Syncs   uint64 `json:"syncs"`
	// CommitSeconds is how long a commit took of late that somebody waited for, as a
	// moving average; 0 before the first. The longer, the more is in progress.
	CommitSeconds float64 `json:"commit_seconds,omitempty"`
	Error         string  `json:"error,omitempty"`
}

// CountsOnly asks Status for no address at all.
const CountsOnly = "-"

// Status is how everything does, or one address when addr is set.
func (l *Loop) Status(ctx context.Context, addr string) (View, error) {
	v := View{Now: l.o.Now(), Ready: true, Counts: map[State]int{}}
	var missing error
	err := l.do(ctx, func() {
		if addr != "" && addr != CountsOnly {
			if _, ok := l.items[addr]; !ok {
				missing = l.missing(addr)
				return
			}
		}
		l.addCounts(&v)
		if it, ok := l.items[addr]; ok {
			l.add(&v, it)
		}
		if addr == "" {
			v.Credentials, v.Sinks = make([]Line, 0, l.kinds(kindCredential)), make([]Line, 0, l.kinds(kindSink))
			for _, it := range l.items {
				l.add(&v, it)
			}
		}
		v.Held = l.held
		for _, n := range l.q.order {
			s := n.view(l.o.Now())
			if n.side == unheard && slices.ContainsFunc(n.asking(), func(s *lane) bool { return s.breaker.open() }) {
				continue // that says it of all of its tokens
			}
			away := n.breaker.open() && (n.items > 0 || n.side.asks() && v.Now.Before(n.breaker.heard.Add(breakerKept))) // between two questions nobody is there
			if n.running > 0 || len(n.waiting.items) > 0 || away || len(s.Origins) > 0 {
				v.Lanes = append(v.Lanes, s)
			}
		}
	})
	if err != nil || missing != nil {
		return v, errors.Join(err, missing)
	}
	info := l.o.Store.Info()
	v.Store = StoreView{Path: info.Path, Serial: info.Serial, Records: info.Records, Intents: info.Intents, Bytes: info.Bytes, Syncs: info.Syncs, CommitSeconds: l.w.disk.each().Seconds()}
	if info.Err != nil {
		v.Store.Error, v.Ready = info.Err.Error(), false
	}
	for _, lines := range [][]Line{v.Credentials, v.Sinks, v.Hooks} {
		sort.Slice(lines, func(i, j int) bool { return lines[i].Address < lines[j].Address })
	}
	return v, nil
}

// wrong says that an item is in another state than ready, in words.
func (x *extra) wrong() bool { return x != nil && x.standing != nil && x.standing.State != Ready }

// stands is an item's standing; where there is nothing to say, that.
func (x *extra) stands() Standing {
	if x == nil || x.standing == nil {
		return Standing{}
	}
	return *x.standing
}

// stateOf is an item's standing in one word.
func (l *Loop) stateOf(it *item) State {
	switch {
	case it.x.wrong():
		return it.x.standing.State
	case it.x != nil && it.x.guarded != "":
		return Held
	case it.gone && it.remains:
		return Removed
	case it.gone:
		return Removing
	case it.lacks() != nil:
		return Waiting
	case it.kind == kindCredential && !it.stored, it.kind == kindSink && !it.stored:
		return Pending
	case it.first:
		return Pending // what its record says of it may have come to an end while nobody looked
	}
	return Ready
}

// kinds counts the items of a kind, so that a list of them is allocated once.
func (l *Loop) kinds(k itemKind) int {
	n := 0
	for _, it := range l.items {
		if it.kind == k {
			n++
		}
	}
	return n
}

func (l *Loop) addCounts(v *View) {
	for i, n := range l.tally {
		if i > 0 && n > 0 && states[i] != Removed { // which nothing is to be done with
			v.Counts[states[i]] = n
			if states[i] != Ready && states[i] != Held {
				v.Ready = false
			}
		}
	}
	l.countShut(v)
	l.countHeldEnded(v)
	l.countProgramless(v)
	v.FirstPass, v.Unseen = l.cfg != nil && l.firstLeft == 0, l.firstLeft
	v.Ready = v.Ready && v.FirstPass
}

// countHeldEnded finds what is held back and lives on no more. A change is held back
// seldom, and only then are the addresses looked through.
func (l *Loop) countHeldEnded(v *View) {
	if v.Counts[Held] == 0 {
		return
	}
	now := v.Now.UnixNano()
	for _, it := range l.items {
		if it.kind == kindCredential && it.expires != 0 && it.expires <= now && l.stateOf(it) == Held {
			v.HeldEnded++
		}
	}
	v.Ready = v.Ready && v.HeldEnded == 0
}

// Works is how many addresses have what they promise: those that are ready, and those
// that live on as they were while a change to them is held back.
func (v *View) Works() int { return v.Counts[Ready] + v.Counts[Held] - v.HeldEnded }

// livesMeanwhile is what comes next of what the guard holds back.
const livesMeanwhile = "it lives on meanwhile"

func (l *Loop) add(v *View, it *item) {
	line := Line{Address: it.addr, State: l.stateOf(it), Generation: it.gen, ExpiresAt: fromNanos(it.expires), Place: it.place, Retiring: int(it.retiring)}
	if it.phase == timed {
		line.NextAt = fromNanos(it.due)
	}
	if it.x != nil {
		line.Orphans, line.OrphansSince = it.x.orphans.Living(v.Now), it.x.orphans.Since(v.Now)
		if line.State == Held && !it.x.wrong() {
			line.Why, line.Next, line.Mend = it.x.guarded, livesMeanwhile, "tokend approve"
		} else if s := it.x.standing; s != nil && s.State == line.State {
			line.Since, line.Why, line.Next, line.Mend = s.Since, s.Why, s.Next, s.Mend
			if s.reading != nil && !s.reading.over() {
				line.Why, line.Next = s.reading.why(), "it goes on when that was read"
			}
		}
	}
	if it.waits() && line.State.calm() {
		b := &it.lane.breaker
		line.State, line.Since, line.Why, line.Next, line.NextAt, line.Mend = Waiting, b.since, it.lane.awayWords(), "its call", b.next, ""
	} else if it.starves(v.Now) && line.State.calm() {
		s := it.starving()
		line.State, line.Since, line.Why, line.Next, line.Mend = s.State, s.Since, s.Why, s.Next, ""
	} else if it.phase == ready && it.lane.of != nil && line.NextAt.IsZero() {
		l.waitsBeside(it, &line)
	} else if it.waits() && line.NextAt.IsZero() {
		line.Next, line.NextAt = "its call", it.lane.breaker.next
	}
	if x := it.x; x != nil && x.standing != nil && x.standing.host != "" && it.lane != nil {
		if at := it.lane.origins.probeAt(x.standing.host); at.After(v.Now) && at.Before(line.NextAt) {
			line.NextAt = at // its own look may be long after that
		}
	}
	if line.State == Removed && line.Why == "" {
		line.isRemoved(it.orphans(), v.Now)
	}
	if it.first && line.State == Pending && line.Why == "" {
		line.Next = "the first look since the start"
	}
	if u := it.lacks(); u != nil && line.Why == "" {
		line.Since, line.Why = l.changed, waitsFor([]string{u.addr})
	}
	switch it.kind {
	case kindCredential:
		if line.State == Ready && it.phase == timed {
			line.Next = "refresh"
			if s := it.x.stands(); s.Stops {
				line.Next = "stop"
			} else if s.Grant {
				line.Next = "grant"
			}
			if it.revokes {
				line.Next = "revoke"
			} else if m := it.measured(); m != nil && m.generation == it.gen && !line.NextAt.Before(m.next) {
				line.Next = "verify"
			} else if m != nil && !it.looked {
				line.Next = "the first look since the start"
			}
		}
		line.Type = typeOf(it.addr)
		v.Credentials = append(v.Credentials, line)
	case kindSink:
		line.Type = typeOf(it.addr)
		v.Sinks = append(v.Sinks, line)
	case kindHook:
		line.Type = typeOf(it.addr)
		l.hookWords(&line)
		v.Hooks = append(v.Hooks, line)
	}
}

// typeOf is the second part of an address: the provider type, the kind of sink.
func typeOf(addr string) string {
	begin := -1
	for i := range len(addr) {
		if addr[i] != '.' {
			continue
		}
		if begin >= 0 {
			return addr[begin:i]
		}
		begin = i + 1
	}
	return ""
}

// Busy says whether anything is being worked on, is due before the horizon, or
// has not been looked at yet; for a pass that ends.
func (l *Loop) Busy(ctx context.Context, horizon time.Duration) (bool, error) {
	busy := false
	err := l.do(ctx, func() {
		limit := l.o.Now().Add(horizon).UnixNano()
		if l.running > 0 || l.q.depth() > l.q.shut(limit) || l.rejudging {
			busy = true
			return
		}
		for _, it := range l.items {
			if it.reads() {
				busy = true
				return
			}
			if it.phase == timed && it.due <= limit && it.x != nil && it.x.standing != nil && (it.x.standing.State == Failing || it.x.standing.State == Pending || it.x.standing.State == Removing) {
				busy = true
				return
			}
			if it.kind == kindHook && it.x != nil && len(it.x.pending) > 0 && (it.phase == timed && it.due <= limit) {
				busy = true
				return
			}
		}
	})
	return busy, err
}

// Following says whether what an order of some addresses began, its delivery, or
// the first run of a hook after that, is still under way, when only those are worked
// on. A hook that waits for more changes (its debounce) is about to run.
func (l *Loop) Following(ctx context.Context) (bool, error) {
	busy := false
	err := l.do(ctx, func() {
		busy = l.running > 0
		for _, it := range l.eligible() {
			busy = busy || it.phase == ready || it.reads() || it.kind == kindHook && it.phase == timed && it.x.failures == 0
		}
	})
	return busy, err
}

// Record reads what the state has of an address, for `tokend state show`.
func (l *Loop) Record(ctx context.Context, addr string) (*state.Credential, *state.Intent, *state.Sink, error) {
	if spec.Address(addr).Kind() == "sink" {
		s, err := l.recorded().Sink(ctx, addr)
		return nil, nil, &s, err
	}
	c, i, err := l.recorded().Credential(ctx, addr)
	return &c, i, nil, err
}
