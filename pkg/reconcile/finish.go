package reconcile

import (
	"slices"

	"tokend/pkg/spec"
)

// finish takes a worker's result over.
func (l *Loop) finish(r *result) {
	it := r.item
	l.running--
	l.takeHealth(r)
	r.lane.place.ends(l.o.Now())
	l.q.finished(it, r.lane)
	l.removalLooked(it)
	if !r.relane && !r.overtaken && (it.kind != kindSink || r.record) {
		it.sighted = it.sighted || r.sighted
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
		l.beside(it, r)
	} else {
		l.q.home(it)
	}
	if n := it.lane.base(); r.limits != nil && (!r.recorded || !n.said) {
		n.said = !r.recorded
		n.setLimit(*r.limits)
	}
	if l.takeStepped(r) {
		r.again = true
	}
	newer := r.record && r.gen > it.gen
	it.early = r.early && !newer
	it.glances = r.glances
	it.revokes = !r.revokesAt.IsZero() && r.next.Equal(r.revokesAt)
	if r.record {
		it.repeats = r.repeats
		it.gen, it.expires, it.retiring, it.stored, it.remains = r.gen, nanos(r.expires), uint8(min(r.retiring, 255)), r.stored, r.remains
		if len(r.orphans) > 0 || it.x != nil {
			it.ext().orphans = r.orphans
		}
	}
	if it.gone && it.remains {
		l.leaves(it)
	}
	if r.record && (r.refreshes != nil || it.x != nil) {
		it.ext().refresh = r.refreshes
	}
	if r.measured != nil {
		m := *r.measured // the worker's has all that it observed behind it
		it.ext().measured = &m
	} else if it.x != nil && r.record {
		it.x.measured = nil
	}
	if !r.relane && !r.asBefore || r.standing != nil {
		if s := r.standing; r.blind && (it.x == nil || it.x.standing == nil || it.x.standing.Why != s.Why) {
			l.log.Warn("an address cannot be worked on; it is looked at again", "address", it.addr, "type", typeOf(it.addr), "error", s.Why)
		}
		l.stand(it, r.standing)
	}
	l.takeSecrets(it, r)
	l.takeOrder(it, r.order)
	r.order.tell()
	l.takeSink(it, r)
	it.overtaken(r)
	it.forgetsEarlier(r)
	if it.kind == kindHook {
		l.takeHook(it, r)
		r.drop = it.gone && it.x != nil && len(it.x.pending) == 0
	}
	if newer || r.bare {
		l.wakeUsers(it)
	}
	for _, addr := range r.wakes {
		if u, ok := l.items[addr]; ok {
			l.wake(u)
		}
	}
	if r.began != (begun{}) {
		l.began(it.addr, r.began)
		it.removing = it.gone && r.began.Revocations > 0
		if it.x != nil {
			it.x.allowed = false // the next one is judged anew
		}
	}
	if r.unjudgedEnd && l.farewell == nil {
		l.rejudge()
		// A judgement that was under way already may not have seen it.
		if again := l.o.Now().Add(lookAgain); r.next.IsZero() || r.next.After(again) {
			r.next = again
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
	case r.again || r.lost || it.again || (r.order != nil && it.x != nil && len(it.x.orders) > 0) || r.overtakes(it, l.o.Now()):
		// An order that was not answered waits until r.next.
		if it.again = false; !r.relane {
			l.q.around(it) // only what has to ask waits for its turn to ask
		}
		l.q.now(it)
		return
	}
	l.q.at(it, l.lookAt(it, r))
}

// stand takes over how an address does.
func (l *Loop) stand(it *item, s *Standing) {
	if s == nil || s.State == Ready && s.Why == "" {
		if it.x != nil {
			it.x.standing = nil
		}
		return
	}
	x := it.ext()
	if s.State == Ready {
		x.standing = s // what is to be known of it says itself since when
		return
	}
	if now := l.o.Now(); s.Since.IsZero() || s.Since.After(now) {
		s.Since = now
	}
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
			l.q.fix(it)
			return
		}
	}
}

// takeSink takes over what a sink's place holds now and whom that concerns.
func (l *Loop) takeSink(it *item, r *result) {
	if it.kind != kindSink {
		return
	}
	l.place(it, r)
	if r.remote && !it.remote {
		it.remote = true
		l.remotes++
	}
	l.takeKeeper(it, r)
	for _, h := range r.hooks {
		l.notify(h, it.addr)
	}
	for _, h := range r.owed {
		if !l.waitsFor(h, it.addr) {
			l.notify(h, it.addr)
		}
	}
	if r.holds != nil || r.drop {
		l.hold(it, r.holds)
		return
	}
	l.wakeWaiting(it)
}

// wakeWaiting wakes the credentials that wait until a sink's place lets go of a
// token, or until it is known what it holds.
func (l *Loop) wakeWaiting(it *item) {
	for _, e := range it.uses {
		if u := e.to; u.retiring > 0 || u.gone {
			l.wake(u)
		}
	}
}

// hold records what a sink's place holds, drops what it neither names nor
// holds any more, and wakes the credentials that wait for it.
func (l *Loop) hold(it *item, holds map[string]uint64) {
	left := false
	for _, e := range it.uses {
		left = left || holds[e.to.addr] == 0
	}
	l.wakeWaiting(it)
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
