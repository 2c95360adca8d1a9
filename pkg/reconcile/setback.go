package reconcile

import (
	"slices"
	"sync"
	"time"

	"tokend/pkg/state"
)

// Ends, back-offs and overlaps are kept in wall-clock time, since they have to
// outlive a restart. A clock that is set back would make everything on record wait for
// as much longer, and a token would stay in its sinks after its end. So a step back is
// noticed, and what was recorded before it is moved back with the clock: at once
// in memory, and in each record when it is looked at next, which is soon. A clock that is
// set forward only makes things due too early; but an overlap that ends too early takes a
// token from who still uses it, so that since when one lasts is moved forward with the
// clock.

const (
	// setBackNoticed is the least step back that is taken for one: clocks are
	// corrected by less all the time.
	setBackNoticed = 5 * time.Second
	// setBackRecorded is within what time every record that a step concerns is brought in
	// line, however many there are, and setBackGap how much of that each takes: few are at
	// once, since a crash before that would leave nobody who knows of the step.
	setBackRecorded = 10 * time.Minute
	setBackGap      = 5 * time.Millisecond
)

// clockReading is the time by the wall, and by a clock that nobody can step.
type clockReading struct {
	wall time.Time
	up   time.Duration
	boot string
}

// step says by how much the wall clock was set between two readings: forward; less than
// nothing: back.
func (c clockReading) step(next clockReading) time.Duration {
	if c.boot == "" || c.boot != next.boot {
		return 0
	}
	least := next.up - c.up
	most := least
	if next.wall != next.wall.Round(0) {
		// The process has an unsteppable clock of its own, which stands still in a
		// suspend: both have to agree that more time passed than the wall says, or less.
		own := next.wall.Sub(c.wall)
		least, most = min(least, own), max(most, own)
	}
	byWall := next.wall.Round(0).Sub(c.wall.Round(0))
	switch {
	case least-byWall >= setBackNoticed:
		return byWall - least
	case byWall-most >= setBackNoticed:
		return byWall - most
	}
	return 0
}

// clockSteps are by how much the clock was set, forward or (less than nothing) back, since
// the records of credentials were brought in line with it, by address. It is safe for
// concurrent use.
type clockSteps struct {
	mu sync.Mutex
	of map[string]time.Duration
}

func (c *clockSteps) since(addr string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[addr]
}

func (c *clockSteps) set(addr string, step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case step == 0:
		delete(c.of, addr)
		return
	case c.of == nil:
		c.of = map[string]time.Duration{}
	}
	c.of[addr] = step
}

// readdress has a record that was moved keep what it has.
func (c *clockSteps) readdress(from, to string) {
	step := c.since(from)
	c.set(from, 0)
	c.set(to, step)
}

// noticeStep looks whether the clock was set since the last turn.
func (l *Loop) noticeStep(now time.Time) {
	next := clockReading{wall: now}
	next.boot, next.up = l.o.Uptime()
	step := l.clock.step(next)
	l.clock = next
	switch {
	case step < 0:
		l.log.Warn("the clock was set back; what is due is moved back with it", "by", (-step).Round(time.Second))
		l.takeSetBack(-step, now)
	case step > 0:
		l.takeSetForward(step, now)
	}
}

// takeSetForward has the overlaps that have begun last as long as they did, and takes
// what a step back shall have moved, and was not looked at since, for that much less.
func (l *Loop) takeSetForward(d time.Duration, now time.Time) {
	var look []*item
	for _, it := range l.items {
		if it.kind != kindCredential || !it.stored {
			continue
		}
		// What is under way may have begun an overlap before the step.
		before := l.w.steps.since(it.addr)
		if it.retiring == 0 && !it.gone && it.phase != running && before == 0 {
			continue
		}
		if l.w.steps.set(it.addr, before+d); it.phase == timed {
			look = append(look, it)
		}
	}
	for _, it := range look {
		l.q.at(it, earlier(fromNanos(it.due), now.Add(l.lookStepped(it, len(look)))))
	}
}

// takeStepped takes over what a look has left to be brought in line with the clock, and
// says whether the record is to be looked at again for it.
func (l *Loop) takeStepped(r *result) (again bool) {
	left := l.w.steps.since(r.item.addr) - r.clockStep
	if r.saved && left < 0 {
		// By the clock as it is now, or it is found out at the next look that it was not.
		l.w.steps.set(r.item.addr, 0)
		return true
	}
	l.w.steps.set(r.item.addr, left)
	return r.saved && left != 0
}

// takeSetBack moves everything back that waits for a time of the clock before.
func (l *Loop) takeSetBack(d time.Duration, now time.Time) {
	for _, it := range l.items {
		if it.kind == kindCredential && it.stored {
			l.w.steps.set(it.addr, l.w.steps.since(it.addr)-d)
		}
		if it.expires != 0 {
			it.expires -= int64(d)
		}
		if x := it.x; x != nil {
			x.quiet = moved(x.quiet, d)
			for i := range x.waits {
				x.waits[i].until = moved(x.waits[i].until, d)
			}
			if x.measured != nil {
				x.measured.at, x.measured.next = moved(x.measured.at, d), moved(x.measured.next, d)
				x.measured.turn, x.measured.since = moved(x.measured.turn, d), moved(x.measured.since, d)
			}
		}
	}
	for _, n := range l.q.order {
		n.breaker.heard, n.breaker.since, n.breaker.next = moved(n.breaker.heard, d), moved(n.breaker.since, d), moved(n.breaker.next, d)
		n.breaker.before.next = moved(n.breaker.before.next, d)
		n.origins.moved(d)
		n.waiting.order() // by ends that are other ones now
	}
	l.q.unlessEarlier(d)
	for _, it := range l.items {
		if it.phase != timed {
			continue
		}
		at := fromNanos(it.due - int64(d))
		if l.w.steps.since(it.addr) < 0 {
			at = earlier(at, now.Add(l.lookStepped(it, len(l.items))))
		}
		l.q.at(it, at)
	}
}

// lookStepped is how soon after a step of the clock a record is brought in line, of so
// many that are to be: not all at once.
func (l *Loop) lookStepped(it *item, of int) time.Duration {
	within := min(setBackRecorded, time.Duration(of)*setBackGap)
	return time.Duration(fraction(it.addr, l.o.Host) * float64(within))
}

// moved is a time before a clock was set back by d (by less than nothing: forward), by the
// clock as it is now.
func moved(t time.Time, d time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-d)
}

// withClock brings a record in line with a clock that was set by step since it was
// written: forward; less than nothing: back. Where nobody saw a step back, since tokend did
// not run, the record tells by itself when it was written by a clock that is ahead of now.
// It reports whether anything was moved.
func withClock(rec *state.Credential, step time.Duration, now time.Time) bool {
	d, unseen := max(0, -step), false
	if at := writtenAt(rec); !at.IsZero() && at.Sub(now)-d >= setBackNoticed {
		d, unseen = at.Sub(now), true
	}
	if d == 0 {
		return step > 0 && setForward(rec, step, now)
	}
	if f := rec.Failure; f != nil {
		was := *f
		was.FirstAt, was.LastAt, was.NextAt = moved(f.FirstAt, d), moved(f.LastAt, d), moved(f.NextAt, d)
		rec.Failure = &was
	}
	if rec.Grant != nil {
		g := *rec.Grant
		age := d
		if life := g.ExpiresAt.Sub(g.ObtainedAt); unseen && !g.ExpiresAt.IsZero() && life > 0 {
			age = max(age, g.ObtainedAt.Sub(now)+life*3/4) // how old it is nobody knows, so it is due
		}
		moveGrant(&g, age)
		rec.Grant = &g
	}
	if rec.Raw != nil {
		raw := *rec.Raw
		raw.At = moved(raw.At, d)
		rec.Raw = &raw
	}
	for i := range rec.Kept {
		if i == 0 {
			rec.Kept = slices.Clone(rec.Kept)
		}
		rec.Kept[i].At = moved(rec.Kept[i].At, d)
	}
	// An old token is given up late rather than early: what may have been written
	// by the clock as it is now, while a call was under way, stays.
	since := func(t time.Time) time.Time {
		if unseen && !t.After(now) {
			return t
		}
		return moved(t, d)
	}
	retiring := make([]state.Grant, len(rec.Retiring))
	for i, g := range rec.Retiring {
		if g.Retired != nil {
			r := *g.Retired
			r.Since, r.DeliveredAt, r.NextAt = since(r.Since), since(r.DeliveredAt), moved(r.NextAt, d)
			g.Retired = &r
		}
		moveGrant(&g, d)
		retiring[i] = g
	}
	rec.Retiring = retiring
	if rec.Removing != nil {
		r := *rec.Removing
		r.Since = since(r.Since)
		rec.Removing = &r
	}
	// One time that is ahead of now would hold the next renewal up for an hour from then.
	rec.Verified.At = since(rec.Verified.At)
	rec.Verified.Renewed = slices.Clone(rec.Verified.Renewed)
	for i, t := range rec.Verified.Renewed {
		rec.Verified.Renewed[i] = since(t)
	}
	return true
}

// setForward moves the times since which something lasts that is measured by elapsed
// time alone: the overlap of old tokens, and how long sinks may hold up a removal. What
// was written after the step, while a call was under way, lasts since now at the latest.
func setForward(rec *state.Credential, d time.Duration, now time.Time) bool {
	since := func(t time.Time) time.Time {
		switch at := moved(t, -d); {
		case t.IsZero() || t.After(now):
			return t
		case at.After(now):
			return now
		default:
			return at
		}
	}
	if rec.Removing != nil {
		r := *rec.Removing
		r.Since = since(r.Since)
		rec.Removing = &r
	}
	rec.Retiring = slices.Clone(rec.Retiring)
	for i := range rec.Retiring {
		if old := rec.Retiring[i].Retired; old != nil {
			r := *old
			r.Since, r.DeliveredAt = since(r.Since), since(r.DeliveredAt)
			rec.Retiring[i].Retired = &r
		}
	}
	return rec.Removing != nil || len(rec.Retiring) > 0
}

func moveGrant(g *state.Grant, d time.Duration) {
	g.GrantedAt, g.ObtainedAt, g.ExpiresAt, g.RefreshUntil = moved(g.GrantedAt, d), moved(g.ObtainedAt, d), moved(g.ExpiresAt, d), moved(g.RefreshUntil, d)
}

// writtenAt is the latest time in a record that had come when it was written.
func writtenAt(rec *state.Credential) time.Time {
	var at time.Time
	note := func(t time.Time) {
		if t.After(at) {
			at = t
		}
	}
	if rec.Failure != nil {
		note(rec.Failure.LastAt)
	}
	if rec.Grant != nil {
		note(rec.Grant.ObtainedAt)
	}
	if rec.Raw != nil {
		note(rec.Raw.At)
	}
	for _, g := range rec.Retiring {
		if note(g.ObtainedAt); g.Retired != nil {
			note(g.Retired.Since)
			note(g.Retired.DeliveredAt)
		}
	}
	return at
}

// overAfterSetBack is a failure of a sink, or of a refresh, whose back-off is over
// because the clock was set back to before it: that can be tried at any time.
func overAfterSetBack(f *state.Failure, now time.Time) *state.Failure {
	if f == nil || f.LastAt.Sub(now) < setBackNoticed {
		return f
	}
	was := *f
	was.LastAt, was.NextAt = now, now
	return &was
}
