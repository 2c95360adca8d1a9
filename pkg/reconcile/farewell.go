package reconcile

import (
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// leaveTime is how long a stop takes at most for what is revoked at it.
const leaveTime = 10 * time.Second

// farewell is a stop that revokes what asks for it (`revoke_on_shutdown`) before
// anything else ends. What is not revoked in time waits, recorded, for the next
// start.
type farewell struct {
	items []*item
	until time.Time
}

// leave begins a stop with the revocations that are asked for, or says that
// there are none.
func (l *Loop) leave() bool {
	if !l.o.RevokeAtEnd || l.paused || l.cfg == nil {
		return false
	}
	v := farewell{until: l.o.Now().Add(leaveTime)}
	may := map[*spec.Config]bool{nil: false}
	for _, it := range l.items {
		cfg := l.configOf(it)
		if it.kind != kindCredential || it.gone || !it.stored || it.gen == 0 {
			continue
		}
		if _, asked := may[cfg]; !asked {
			may[cfg] = cfg.MayRevokeOnShutdown()
		}
		if !may[cfg] {
			continue
		}
		if c, err := cfg.Credential(spec.Address(it.addr)); err != nil || !c.Lifecycle.RevokeOnShutdown {
			continue
		}
		it.ext().orders = append([]*waiter{{order: Order{Kind: OrderShutdown}, done: make(chan error, 1)}}, it.x.orders...)
		v.items = append(v.items, it)
		l.wake(it)
	}
	if len(v.items) == 0 {
		return false
	}
	l.farewell = &v
	l.q.leaveShares()
	l.log.Info("stopping: revoking what shall not outlive the daemon", "credentials", len(v.items))
	return true
}

// next is what is worked on while the loop leaves, or nil.
func (v *farewell) next(q *queue) *item {
	for _, it := range v.items {
		if v.waits(it) && q.take(it) {
			return it
		}
	}
	return nil
}

// waits says that an item's revocation is not settled yet.
func (v *farewell) waits(it *item) bool {
	if it.x == nil {
		return false
	}
	for _, w := range it.x.orders {
		if w.order.Kind == OrderShutdown {
			return true
		}
	}
	return false
}

// left says that the loop can stop: everything is revoked or could not be, or
// the time is over.
func (l *Loop) left() bool {
	if !l.o.Now().Before(l.farewell.until) {
		l.log.Warn("stopping: not everything could be revoked in time; the next start goes on with it")
		return true
	}
	for _, it := range l.farewell.items {
		if l.farewell.waits(it) {
			return false
		}
	}
	return true
}

// halt begins nothing new from now on.
func (l *Loop) halt() {
	l.farewell, l.stopping = nil, true
	l.w.stop()
	l.log.Info("stopping: letting work under way come to its end", "running", l.running)
}

// takeLifecycle settles by which settings a declared credential lives: those of
// its block, but that its token ends with the daemon only where the guard has let
// that go for this token, which is what its record says. Of one that is to be replaced
// that is said with the new one, so that one step counts once, however often the new
// one is tried for. recorded are the settings as it says them.
func (ob *observed) takeLifecycle(recorded state.Lifecycle, allowed bool) {
	in := &ob.in
	if !in.Declared {
		return
	}
	if l := &in.Record.Lifecycle; l.RevokeOnShutdown && in.Record.Grant != nil {
		ends := revocable(in.Held)
		ob.endsAtStop = ends && !recorded.RevokeOnShutdown
		_, goes := in.destroys()
		l.RevokeOnShutdown = ends && (recorded.RevokeOnShutdown || allowed && !goes)
	}
	ob.resettled = in.Record.Lifecycle != recorded
}

// endsWithDaemon writes down of a new token whether it ends with the daemon. That is
// nothing new of one that was obtained under this setting, or that replaces another as
// the guard has let go; but where its type cannot revoke it, the guard sees it when the
// type comes to be able to.
func (p *performer) endsWithDaemon(ep *openEndpoint, grant string) {
	l := &p.ob.in.Record.Lifecycle
	asked := l.RevokeOnShutdown || p.ob.in.Want.Lifecycle.RevokeOnShutdown && (!p.ob.endsAtStop || p.j.allowed)
	l.RevokeOnShutdown = asked && revocable(traitsOf(ep.ep, grant))
}

// revocable says that a stop can revoke a grant's token.
func revocable(t Traits) bool { return t.HasRevoke && !t.Static }

// endsWithTheDaemon says that a change of the configuration has a token revoked
// at the next stop that would have outlived it: the guard counts it like one that
// is replaced at once. A stop comes with every upgrade, and then nobody is asked.
func (ob *observed) endsWithTheDaemon() (destruction, bool) {
	if !ob.endsAtStop {
		return destruction{}, false
	}
	return destruction{cause: causeReplace, reason: "revoke_on_shutdown was set: its token ends whenever the daemon stops"}, true
}
