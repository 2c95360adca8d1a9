package reconcile

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// origins are the hosts that the calls of one lane go to. A provider may have
// several: where it issues tokens and where it takes them back, or one for each
// credential that names an issuer of its own. While one of them answers, another
// that does not is told apart: calls to that one alone are kept back, one after the
// other let through to see, and everything else goes on. Where none answers, it is
// the lane's breaker that is open, and nothing of it is even looked at.
//
// It is safe for concurrent use: workers ask it right before a call, when it is
// known where that goes. The zero value knows of none.
type origins struct {
	mu    sync.Mutex
	alive map[string]bool  // that answered when they were asked last
	dead  map[string]*host // that have not since
	freed []string         // addresses that waited for one of them, and need not any more
}

// host is one that does not answer.
type host struct {
	breaker
	barred map[string]struct{} // the addresses whose call was kept back
}

const (
	// originsKnown bounds how many hosts of a lane are remembered.
	originsKnown = 1024
	// What waits for a host that does not answer is looked at again after barredFirst
	// to twice that, of which one look is a call now and then. Where more than
	// barredOften wait, each is looked at less often by as much, so that looking costs no
	// more for ten thousand; at barredLast at the latest. All are looked at as soon as
	// the host answers one.
	barredFirst = 10 * time.Second
	barredOften = 50
	barredLast  = 30 * time.Minute
)

// answered notes an answer, and returns since when there had been none, and from where
// in words; zero: its host was not taken for away.
func (o *origins) answered(origin string) (since time.Time, at string) {
	if origin == "" {
		return time.Time{}, ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.dead[origin]; d != nil {
		since, at = d.since, d.at
		o.free(d)
		delete(o.dead, origin)
	}
	if !o.alive[origin] && len(o.alive) < originsKnown {
		if o.alive == nil {
			o.alive = map[string]bool{}
		}
		o.alive[origin] = true
	}
	return since, at
}

// free says of all that wait for a host that they need not any more. The caller has mu.
func (o *origins) free(d *host) {
	for addr := range d.barred {
		o.freed = append(o.freed, addr)
	}
	d.barred = nil
}

// released are the addresses that have waited for a host and need not any more, each
// once.
func (o *origins) released() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	freed := o.freed
	o.freed = nil
	return freed
}

// due are the addresses of which one each waits for a host that may be asked again, and
// whether anybody waits for one. What does not live any more waits no longer.
func (o *origins) due(now time.Time, lives func(addr string) bool) (addrs []string, any bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.dead {
		if len(d.barred) == 0 {
			continue
		}
		if any = true; now.Before(d.next) {
			continue
		}
		maps.DeleteFunc(d.barred, func(addr string, _ struct{}) bool { return !lives(addr) })
		if len(d.barred) > 0 {
			turn := fmt.Sprint(d.next.Unix()) // another one each time: who calls in vain waits longer
			addrs = append(addrs, slices.MinFunc(slices.Sorted(maps.Keys(d.barred)), func(a, b string) int { return cmp.Compare(fraction(a, turn), fraction(b, turn)) }))
		}
	}
	slices.Sort(addrs)
	return addrs, any
}

// probeHosts has one looked at of those that wait for a host which may be asked again:
// their own looks may be far off, and those that were to come sooner may be gone. It
// returns how long nothing more is to be done for that.
func (l *Loop) probeHosts(now time.Time) time.Duration {
	if since := now.Sub(l.probed); since >= 0 && since < barredFirst {
		return l.probes - min(since, l.probes)
	}
	l.probed, l.probes = now, maxSleep
	for _, n := range l.q.order {
		addrs, any := n.origins.due(now, func(addr string) bool { it := l.items[addr]; return it != nil && it.lane == n })
		if any {
			l.probes = barredFirst
		}
		for _, addr := range addrs {
			if it := l.items[addr]; it.phase == timed {
				l.q.now(it)
			}
		}
	}
	return l.probes
}

// unbar has what waited for a host of a lane looked at.
func (l *Loop) unbar(n *lane) {
	for _, addr := range n.origins.released() {
		switch it := l.items[addr]; {
		case it == nil || it.lane == nil:
		case it.phase == running:
			it.again = true
		case it.phase == timed:
			l.q.now(it)
		}
	}
}

// hostAnswers notes an answer of a host, and says so where there had been none.
func (l *lane) hostAnswers(log *slog.Logger, origin string, now time.Time) {
	if since, at := l.origins.answered(origin); !since.IsZero() {
		log.Info("a host of a provider answers again", "lane", l.name, "origin", at, "after", now.Sub(since).Round(time.Second))
	}
}

// unanswered notes a failed call. It says whether another host of the lane answers,
// so that the lane does, and whether this one is taken for away from now on.
func (o *origins) unanswered(addr string, h health, now time.Time, spread float64) (others, away bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.dead[h.origin]
	if d == nil {
		if len(o.dead) >= originsKnown {
			for _, other := range o.dead {
				o.free(other)
			}
			clear(o.dead)
		}
		if o.dead == nil {
			o.dead = map[string]*host{}
		}
		d = &host{}
		o.dead[h.origin] = d
	}
	away = d.unanswered(addr, h, now, spread)
	if d.open() { // one credential alone says nothing of a host
		delete(o.alive, h.origin)
	}
	for origin := range o.alive {
		if origin != h.origin {
			return true, away
		}
	}
	return false, false
}

// forget begins anew.
func (o *origins) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.dead {
		o.free(d)
	}
	o.alive, o.dead = nil, nil
}

// bars says why a call is not to be made now; nil: it is. What a person waits for is
// let through.
func (o *origins) bars(origin, addr string, insists bool, now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.dead[origin]
	if d == nil || !d.open() || len(o.alive) == 0 {
		return nil
	}
	if insists || !now.Before(d.next) {
		d.probe = addr
		d.wait(0, now, fraction(origin, addr))
		delete(d.barred, addr)
		return nil
	}
	if d.barred == nil {
		d.barred = map[string]struct{}{}
	}
	d.barred[addr] = struct{}{}
	return &barredError{origin: origin, waiting: len(d.barred), since: d.since, words: d.words("a host of its provider", sides[ownLane].doesNot)}
}

// moved follows a clock that was set back.
func (o *origins) moved(by time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.dead {
		d.heard, d.since, d.next = moved(d.heard, by), moved(d.since, by), moved(d.next, by)
	}
}

// probeAt is when the next call to a host that does not answer is let through; zero: it
// is none.
func (o *origins) probeAt(origin string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.dead[origin]; d != nil {
		return d.next
	}
	return time.Time{}
}

// view lists the hosts that do not answer while others do.
func (o *origins) view(now time.Time) (views []OriginView) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.alive) == 0 {
		return nil
	}
	for _, d := range o.dead {
		if d.open() && now.Before(d.next.Add(breakerKept)) {
			views = append(views, OriginView{Origin: d.at, OpenSince: d.since, ProbeAt: d.next, Why: d.why})
		}
	}
	slices.SortFunc(views, func(a, b OriginView) int { return strings.Compare(a.Origin+a.Why, b.Origin+b.Why) })
	return views
}

// barredError is why a call was not begun: its host does not answer.
type barredError struct {
	origin  string
	waiting int // with it
	since   time.Time
	words   string
}

// Error says what is waited for.
func (e *barredError) Error() string { return e.words }

// Is: nothing was spent.
func (e *barredError) Is(target error) bool { return target == errNotBegun }

// barred is what becomes of a step whose call was not begun since its host does not
// answer: it is looked at again, and before that if something else is due.
func (p *performer) barred(e *barredError) {
	now := p.w.now()
	p.r.next = now.Add(barredFor(e.waiting, fraction(p.j.addr, fmt.Sprint(now.Unix()))))
	if p.ob.in.Record.Grant != nil {
		if at := p.ob.in.due(); at.After(now) && at.Before(p.r.next) {
			p.r.next = at
		}
	}
	p.r.standing = &Standing{State: Waiting, Since: e.since, Why: e.words, Next: "its call", host: e.origin}
}

// barredFor is how long one of many that wait for a host is not looked at.
func barredFor(waiting int, spread float64) time.Duration {
	d := min(barredFirst*time.Duration(max(waiting, barredOften))/barredOften, barredLast)
	return d + time.Duration(spread*float64(d))
}

// barred says why a job's call to a host is not to be made now.
func (j *job) barred(origin string, now time.Time) error {
	if origin == "" || j.lane == nil || j.lane.name == localLane {
		return nil
	}
	return j.lane.origins.bars(origin, j.addr, j.order != nil, now)
}

// shownOrigin is scheme://host of an address that an error shows, or "" where it does
// not show it.
func shownOrigin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// originOf is scheme://host:port of an address, as a request's is.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		if port = "443"; u.Scheme == "http" {
			port = "80"
		}
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
