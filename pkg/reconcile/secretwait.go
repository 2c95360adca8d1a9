package reconcile

import (
	"slices"
	"time"
)

// A look that needs a secret which does not answer is put back: its address waits for
// the read without a place in a lane, and is looked at when that has ended, with its
// outcome. Until then it is looked at for whatever else is due of it, and for what
// others tell it.

const (
	// refreshPatience is how long a refresh waits at most for an input that may have
	// changed since the grant was issued, before it is sent with that one's: what it
	// has to wait for is a slow secret, and not one that hangs. It is never more than
	// half of what is left of the token held, but for refreshPatienceLeast.
	refreshPatience      = 10 * time.Second
	refreshPatienceLeast = time.Second
	// outcomeServes is how long the outcome of a read that was waited for serves the
	// address that waited, where its turn comes late (its provider was away, say).
	// After that it is read once more, and then served however old it is: of two
	// slow secrets one is always old when the other is there.
	outcomeServes = 10 * time.Second
)

// What waits for a secret, beside the operations of calls.
const (
	opLook  = "look"  // the whole look
	opOrder = "order" // what a person asked for
)

// secretWait is one thing that waits for a secret.
type secretWait struct {
	op    string
	read  *secretRead
	until time.Time // when it goes on without; zero: it cannot
	order *waiter   // of [opOrder]: which one
}

// readings are what calls of a credential wait for, in words; "" for nothing.
type readings struct {
	grant, refresh, verify string
	refreshUntil           time.Time // when a refresh is sent without; zero: it cannot be
}

// add has a call wait for a secret.
func (s *readings) add(w secretWait) {
	switch w.op {
	case opGrant:
		s.grant = w.read.why()
	case opRefresh:
		s.refresh, s.refreshUntil = w.read.why(), w.until
	case opVerify:
		s.verify = w.read.why()
	}
}

// readingsOf are those of secrets that are being read still.
func readingsOf(waits []secretWait) (s readings) {
	for _, w := range waits {
		if !w.read.over() {
			s.add(w)
		}
	}
	return s
}

// readsGrant waits for an input of the grant that is still being read.
func (in *Input) readsGrant() (Step, bool) {
	why := in.Reading.grant
	return Step{Action: ActWait, State: Waiting, Reason: why, Why: why}, why != ""
}

// readsRefresh waits for an input of a refresh that is still being read, for a while.
func (in *Input) readsRefresh() (Step, bool) {
	why, until := in.Reading.refresh, in.Reading.refreshUntil
	return Step{Action: ActWait, State: Waiting, Next: until, Reason: why, Why: why}, why != "" && (until.IsZero() || in.Now.Before(until))
}

// await ends a look whose step needs a secret that is still being read, and says
// whether it does: after a call nothing is put back. Meanwhile what else there is to do
// is done: a token that is to be replaced is refreshed, and old ones are given up.
func (p *performer) await(op string, err error, until time.Time) bool {
	rd := pendingOf(err)
	if rd == nil || p.called {
		return false
	}
	lookOf(p.ctx).note(rd)
	waits := []secretWait{{op: op, read: rd, until: until}}
	if p.j.order != nil {
		waits = append(waits, secretWait{op: opOrder, read: rd, until: until, order: p.j.order})
	}
	p.r.waits = append(p.r.waits, waits...)
	in := p.ob.in
	in.Reading.add(waits[0])
	in.Now, in.Order = p.w.now(), Order{}
	s := decide(&in)
	p.r.next, p.r.revokesAt = earlier(until, in.whileItWaits(s)), in.revokesAt(s)
	p.r.again = s.acts() && s.Action != p.step.Action
	if p.r.standing = standingOf(s); s.acts() {
		p.r.standing = &Standing{State: Waiting, Why: rd.why()}
	}
	p.r.order = nil // it is carried out when that has been read
	return true
}

// whileItWaits is when something has to be done of a credential that waits.
func (in *Input) whileItWaits(s Step) time.Time {
	if s.acts() {
		return time.Time{} // that is what waits
	}
	next := s.Next
	if in.Declared && in.Record.Grant != nil {
		next = earlier(next, in.upkeepAt())
	}
	if next.Before(in.Now) {
		return time.Time{}
	}
	return next
}

// waitsForSecret is the result of a look that could not be made without a secret
// that is still being read.
func (j *job) waitsForSecret(rd *secretRead) *result {
	return &result{item: j.item, lane: j.lane, waits: []secretWait{{op: opLook, read: rd}}, failures: j.failures, standing: &Standing{State: Waiting, Why: rd.why()}}
}

// unlooked is the result of a look that could not even decide.
func (j *job) unlooked(now time.Time, err error) *result {
	if rd := pendingOf(err); rd != nil {
		return j.waitsForSecret(rd)
	}
	return j.failing(now, unready(err))
}

// refreshWaits is until when a refresh waits for a secret, by the item's clock: once it
// has waited that long it does not begin again.
func (p *performer) refreshWaits(rd *secretRead) (until time.Time, waits bool) {
	now := p.w.now()
	for _, w := range p.j.waits {
		if w.op == opRefresh && w.read == rd {
			return w.until, now.Before(w.until)
		}
	}
	patience := refreshPatience
	if g := p.ob.in.Record.Grant; g != nil && g.ExpiresAt.After(now) {
		patience = between(refreshPatienceLeast, g.ExpiresAt.Sub(now)/2, refreshPatience)
	}
	return now.Add(patience), true
}

// awaited is the first read that an item waits for, or nil.
func (it *item) awaited() *secretRead {
	if it.x == nil {
		return nil
	}
	for _, w := range it.x.waits {
		if !w.read.over() {
			return w.read
		}
	}
	return nil
}

// withSecrets tells a job which secrets were read for it, and what waits for others.
// What a person asked for waits with what needs it.
func (l *Loop) withSecrets(j *job, x *extra) {
	if len(x.reads) == 0 {
		return
	}
	old := func(rd *secretRead) bool { return rd.over() && time.Since(rd.ended) > outcomeServes }
	if !x.reread && slices.ContainsFunc(x.reads, old) {
		x.reads, x.reread = slices.DeleteFunc(x.reads, (*secretRead).over), true
	}
	for _, rd := range x.reads {
		if rd.over() && !rd.late { // what was read before it may have changed is nobody's
			j.had = append(j.had, rd)
		}
	}
	for _, w := range x.waits {
		if !w.read.over() {
			j.waits = append(j.waits, w)
		}
	}
	j.order = x.nextOrder(j.now)
}

// nextOrder is the order that a look carries out: the first; where that waits for a
// secret the first after it that does not and needs none. Nil: there is none.
func (x *extra) nextOrder(now time.Time) *waiter {
	for i, o := range x.orders {
		waits := slices.ContainsFunc(x.waits, func(w secretWait) bool {
			return w.order == o && !w.read.over() && (w.until.IsZero() || now.Before(w.until))
		})
		if !waits && (i == 0 || o.order.needsNoSecret()) {
			return o
		}
	}
	return nil
}

// needsNoSecret says that an order sends nothing that the configuration says: what a
// revocation needs is in the record.
func (o Order) needsNoSecret() bool {
	return o.revokes() || o.Kind == OrderTaint || o.Kind == OrderOrphans
}

// overtakes says that a look has put its order back, and that another one need not wait
// for what that waits for.
func (r *result) overtakes(it *item, now time.Time) bool {
	return slices.ContainsFunc(r.waits, func(w secretWait) bool { return w.op == opOrder }) && it.x.nextOrder(now) != nil
}

// takeSecrets takes over which secrets a look did not wait for: its item is looked at
// once they were read.
func (l *Loop) takeSecrets(it *item, r *result) {
	if len(r.reading) == 0 && (it.x == nil || len(it.x.reads) == 0) {
		return
	}
	x := it.ext()
	for _, rd := range r.reading {
		if !slices.Contains(x.reads, rd) {
			x.reads = append(x.reads, rd)
			rd.told = append(rd.told, it)
		}
		r.again = r.again || rd.over() // nobody tells of that any more
	}
	for _, w := range r.waits {
		if it.again {
			break // what has happened meanwhile may have changed what is needed
		}
		x.waits = append(slices.DeleteFunc(x.waits, func(had secretWait) bool { return had.op == w.op && had.order == w.order }), w)
	}
	x.waits = slices.DeleteFunc(x.waits, func(w secretWait) bool { return w.read.over() })
	if len(r.reading) == 0 && len(x.waits) == 0 && !r.relane {
		x.reads, x.waits, x.reread = nil, nil, false
	}
	if s := x.standing; s != nil && s.State == Waiting {
		s.reading = it.awaited()
	}
}

// secretOver has everything looked at that waits for a read which is over.
func (l *Loop) secretOver(rd *secretRead) {
	for _, it := range rd.told {
		if l.items[it.addr] == it && it.x != nil && slices.Contains(it.x.reads, rd) {
			l.wake(it)
		}
	}
	rd.told = nil
}

// tellOver is called by the goroutine of a read that is over.
func (l *Loop) tellOver(rd *secretRead) {
	select {
	case l.secretsRead <- rd:
	case <-l.w.stopped:
	case <-l.ended:
	}
}

// forgetsReads drops secrets that were read for an item, since they may have changed.
func (it *item) forgetsReads(which func(*secretRead) bool) {
	if it.x != nil {
		it.x.reads = slices.DeleteFunc(it.x.reads, func(rd *secretRead) bool { return rd.over() && which(rd) })
	}
}

// reads says that a secret is being read which its last looks did not wait for.
func (it *item) reads() bool {
	return it.x != nil && slices.ContainsFunc(it.x.reads, func(rd *secretRead) bool { return !rd.over() })
}
