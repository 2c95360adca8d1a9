package reconcile

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// breaker keeps the calls to a provider back while it answers nobody, so that
// ten thousand due credentials do not each burn a request, and perhaps a refresh
// token, on a server that is away. It opens on the failures of several
// credentials in a row, never of one however often that fails: a bad credential
// delays no other. While it is open one call is let through every few seconds
// to see; the first that is answered closes it.
//
// It belongs to a lane, and like it to the loop's goroutine. The zero value is
// closed.
type breaker struct {
	failed map[string]bool // the credentials that failed since the last answer
	heard  time.Time       // when the last of them did
	since  time.Time       // when it opened; zero: it is closed
	next   time.Time       // when the next call is let through
	opens  int             // probes that failed since it opened
	probe  string          // the address that was let through last
	before waited          // what there was of next and opens until then
	why    string          // what the last failed call said
	at     string          // the one host that all of these asked, as it may be shown; "": several, or it may not
}

// waited is how far a breaker has come with its probes.
type waited struct {
	next  time.Time
	opens int
}

const (
	// breakerCount is the number of different credentials that must fail with no
	// answer in between.
	breakerCount = 3
	// The wait between probes doubles from the first to the last. The last is
	// short: whatever waits for the provider is to have its token soon after it is
	// back.
	breakerFirst = time.Second
	breakerLast  = 10 * time.Second
	// breakerAsked bounds what a provider's Retry-After can make of that wait.
	breakerAsked = 30 * time.Second
	// breakerKept is how long a provider that nothing asks any more is still taken
	// for one that does not answer.
	breakerKept = 5 * time.Minute
)

func (b *breaker) open() bool { return !b.since.IsZero() }

// answered: the provider answered somebody, whatever it said.
func (b *breaker) answered() { *b = breaker{} }

// unanswered notes a failed call, and says whether that opened it.
func (b *breaker) unanswered(addr string, h health, now time.Time, spread float64) bool {
	if b.failed == nil {
		b.failed = map[string]bool{}
	}
	if len(b.failed) == 0 {
		b.at = h.at
	} else if b.at != h.at {
		b.at = ""
	}
	b.failed[addr], b.why, b.heard = true, h.why, now
	switch {
	case !b.open() && len(b.failed) < breakerCount:
		return false
	case !b.open():
		b.since, b.opens = now, 0
		b.wait(h.after, now, spread)
		return true
	case addr == b.probe:
		b.opens++
		b.wait(h.after, now, spread)
	}
	return false
}

// wait sets when the next call is let through.
func (b *breaker) wait(after time.Duration, now time.Time, spread float64) {
	d := min(breakerFirst<<min(b.opens, 10), breakerLast)
	d = time.Duration(float64(d) * (0.5 + 0.5*spread))
	b.next = now.Add(max(d, min(after, breakerAsked)))
}

// lets notes that a call of an address is let through, to see.
func (b *breaker) lets(addr string, now time.Time, spread float64) {
	b.before, b.probe = waited{b.next, b.opens}, addr
	// A probe that hangs must not keep the next from being let through.
	b.wait(0, now, spread)
}

// unsent takes back that an address was let through which has sent nothing: it could not
// read a secret, say. That tells nothing of the provider, so that it is another's turn.
func (b *breaker) unsent(addr string) {
	if b.open() && b.probe == addr {
		b.next, b.opens, b.probe = b.before.next, b.before.opens, ""
	}
}

// words say what an address waits for while it is open: whose requests it keeps back, and
// what that does not do.
func (b *breaker) words(whose, doesNot string) string {
	if b.at != "" {
		whose = b.at + " (" + whose + ")"
	}
	return fmt.Sprintf("%s %s (%d credentials failed in a row; the last: %s); one call is let through every few seconds until one is answered", whose, doesNot, len(b.failed), b.why)
}

// health is what the outcome of a call says of its provider.
type health struct {
	down   bool
	after  time.Duration // the provider's Retry-After
	why    string
	origin string // scheme://host:port that was asked; "": it is not known
	at     string // as it may be shown
}

// healthOf is what a call's error says of its provider; false when it says
// nothing, because nothing was sent.
func healthOf(err error) (health, bool) {
	var pe *providers.Error
	switch {
	case err == nil:
		return health{}, true
	case !errors.As(err, &pe) || pe.Class == providers.ClassConfig:
		return health{}, false
	}
	h := health{after: pe.RetryAfter, why: pe.Error(), origin: originOf(pe.URL), at: shownOrigin(pe.URL)}
	switch pe.Class {
	case providers.ClassUnknown, providers.ClassThrottled:
		h.down = true
	case providers.ClassTransient:
		h.down = pe.Status == 0 || pe.Status >= 500
	}
	return h, true
}

// pick takes what is to be worked on next out of a lane's waiting items: the
// most urgent, but while the breaker is open only one now and then, and nil in
// between.
func (l *lane) pick(now time.Time) *item {
	b := &l.breaker
	if !b.open() {
		return heap.Pop(&l.waiting).(*item)
	}
	if now.Before(b.next) {
		return nil
	}
	best := l.waiting.items[0]
	for _, it := range l.waiting.items {
		if b.prefers(it, best) {
			best = it
		}
	}
	heap.Remove(&l.waiting, int(best.pos))
	b.lets(best.addr, now, fraction(l.name, best.addr))
	if l.side.asks() {
		b.opens++ // one that is dropped for something else says nothing, and asks no less
	}
	return best
}

// untilProbe is how long nothing more is let through to the providers that
// answer nobody, or whose rate limit is used up.
func (q *queue) untilProbe() time.Duration {
	d := maxSleep
	for _, l := range q.order {
		if len(l.waiting.items) == 0 {
			continue
		}
		if l.breaker.open() && l.breaker.next.After(q.clock) {
			d = min(d, l.breaker.next.Sub(q.clock))
		}
		if wait := l.pace.until(q.clock, q.disk); wait > 0 && !l.full(q.disk) {
			d = min(d, wait)
		}
	}
	return d
}

// prefers orders probes: what a person waits for, then a credential that has not
// failed (the fault may lie with the others), then of questions one that was answered when
// it was asked last, then the most urgent.
func (b *breaker) prefers(a, than *item) bool {
	ordered := func(it *item) bool { return it.x != nil && len(it.x.orders) > 0 }
	if x, y := ordered(a), ordered(than); x != y {
		return x
	}
	if x, y := b.failed[a.addr], b.failed[than.addr]; x != y {
		return !x
	}
	if x, y := a.answered(), than.answered(); x != y {
		return x // the sooner is it known that the provider answers
	}
	return a.urgency() < than.urgency()
}

// takeHealth takes over what a call said of the provider whose lane it was made
// in.
func (l *Loop) takeHealth(r *result) {
	if r.health != nil {
		l.heard(r.lane, r.item.addr, *r.health)
	} else if !r.sent {
		r.lane.breaker.unsent(r.item.addr)
	}
	l.unbar(r.lane)
}

// heard is takeHealth for whatever was asked of a lane on behalf of an address.
func (l *Loop) heard(n *lane, addr string, h health) {
	if n.name == localLane {
		return
	}
	b, now := &n.breaker, l.o.Now()
	if !h.down {
		l.answers(n, h, now)
		if n.side.asks() {
			n.of.heard = now
		}
		for _, s := range n.asking() { // it answers questions, whosever they are
			l.answers(s, h, now)
		}
		return
	}
	if n.othersAnswered(now) {
		return
	}
	if h.origin != "" {
		others, away := n.origins.unanswered(addr, h, now, fraction(n.name, h.origin))
		if away {
			l.log.Warn("a host of a provider does not answer, while another does; what asks it waits, and one call is let through every few seconds to see", "lane", n.name, "origin", h.at, "error", h.why)
		}
		if others {
			return
		}
	}
	if b.unanswered(addr, h, now, fraction(n.name, fmt.Sprint(b.opens))) {
		says := "a provider does not answer; its credentials wait, and one call is let through every few seconds to see"
		switch n.side {
		case revocations:
			says = "a provider takes no revocations; they wait, nothing else does, and one is let through every few seconds to see"
		case questions, unheard:
			says = "a provider does not answer whether its tokens are honoured; nothing else waits for that, and it is asked every few seconds to see"
		}
		l.log.Warn(says, "lane", n.name, "failed", len(b.failed), "error", b.why)
		n.origins.forget() // none of them answers
		for _, it := range slices.Clone(n.waiting.items) {
			if it.glances {
				l.q.around(it)
				continue
			}
			l.passed(it) // the first pass does not wait for a provider that is away
			l.recount(it)
		}
	}
}

// answers takes over that the provider of a lane answered there.
func (l *Loop) answers(n *lane, h health, now time.Time) {
	b := &n.breaker
	if b.open() {
		says := "a provider answers again"
		switch n.side {
		case revocations:
			says = "a provider takes revocations again"
		case questions, unheard:
			says = "a provider answers again whether its tokens are honoured"
		}
		l.log.Info(says, "lane", n.name, "after", now.Sub(b.since).Round(time.Second), "waiting", len(n.waiting.items))
	}
	n.hostAnswers(l.log, h.origin, now)
	b.answered()
}

// passed says that the first pass has seen an item.
func (l *Loop) passed(it *item) {
	if it.first {
		it.first = false
		l.firstLeft--
	}
}

// around takes an item out of a lane that is shut, so that it is looked at
// although its provider is away or its rate limit is used up: something happened
// that may need no call.
func (q *queue) around(it *item) {
	if it.lane.of != nil {
		q.move(it, q.homeOf(it)) // what happened may need another call than its revocation
	}
	if it.lane.breaker.open() || it.lane.pace.until(q.clock, q.disk) > 0 {
		home := it.lane.name
		q.move(it, q.lane(localLane))
		if home != localLane {
			it.ext().home = home
		}
	}
}

// home puts an item back that was taken around its lane.
func (q *queue) home(it *item) {
	if it.lane != nil && it.lane.of != nil {
		q.move(it, q.homeOf(it)) // its revocation was tried
		return
	}
	if it.x == nil || it.x.home == "" || it.lane == nil {
		return
	}
	if it.lane.name == localLane {
		q.move(it, q.lane(it.x.home))
	}
	it.x.home = ""
}

// waits says that an item waits for a provider that answers nobody.
func (it *item) waits() bool { return it.phase == ready && it.lane.breaker.open() && it.lane.of == nil }

// unshut lets the calls to providers go that the configuration says differently
// now: they may be other servers.
func (l *Loop) unshut(said func(lane string) bool) {
	for _, n := range l.q.order {
		if said(n.base().name) {
			n.breaker = breaker{}
			n.origins.forget()
			l.unbar(n)
		}
	}
}

// saidDifferently reports whether two configurations differ in what they say of
// a provider.
func saidDifferently(a, b *spec.Config, provider string) bool {
	was, _ := a.Digest(spec.Address(provider))
	is, _ := b.Digest(spec.Address(provider))
	return was != is
}

// shut is the number of items that wait in lanes from which nothing is let
// through before the limit, in Unix nanoseconds.
func (q *queue) shut(limit int64) int {
	n := 0
	for _, l := range q.order {
		if l.breaker.open() && l.breaker.next.UnixNano() > limit {
			n += len(l.waiting.items)
		}
	}
	return n
}

// countShut counts what waits for a provider that answers nobody as waiting, and what
// has ended while it waits for a rate limit.
func (l *Loop) countShut(v *View) {
	for _, n := range l.q.order {
		if !n.breaker.open() && n.pace == nil || n.of != nil { // a revocation that waits makes nothing less ready
			continue
		}
		for _, it := range n.waiting.items {
			if s := l.stateOf(it); s.calm() && (n.breaker.open() || it.starves(v.Now)) {
				if v.Counts[s]--; v.Counts[s] == 0 {
					delete(v.Counts, s)
				}
				v.Counts[Waiting]++
				v.Ready = false
			}
		}
	}
}

// calm: nothing is known to be wrong.
func (s State) calm() bool { return s == Ready || s == Pending }

// view is a lane as status shows it.
func (l *lane) view(now time.Time) LaneView {
	v := LaneView{Name: l.name, Running: l.running, Waiting: len(l.waiting.items), InFlight: len(l.calls), Requests: l.setting.Requests, Concurrency: l.setting.Concurrency}
	if v.Requests > 0 {
		v.Per = l.setting.Per.String()
	}
	if l.breaker.open() {
		v.OpenSince, v.ProbeAt, v.Why, v.Origin = l.breaker.since, l.breaker.next, l.breaker.why, l.breaker.at
	}
	v.Origins = l.origins.view(now)
	if l.of != nil {
		v.Of, v.Asks, v.Unanswered = l.of.name, l.side.asks(), l.side == unheard
		v.Yields = l.yields(now)
	}
	return v
}
