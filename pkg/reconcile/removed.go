package reconcile

import (
	"time"

	"tokend/pkg/state"
)

// A credential whose block is gone, and of which all is given up that is known, may
// have orphans still: tokens that may live and that nobody knows. Its record stays for
// these alone, so that they are counted until they have ended, or until a person says
// that they were looked after; a block that is declared under this address again, and a
// record that is moved there, goes on with them. There is nothing else to do with it,
// so that it makes nothing less ready and no plan longer.

// holdsNothing says that a record has no token and nothing that may lead to one.
func holdsNothing(rec *state.Credential) bool {
	return rec.Grant == nil && len(rec.Retiring) == 0 && rec.Raw == nil && rec.Removing == nil
}

// remains says that nothing is recorded any more but orphans that may live.
func (in *Input) remains() bool {
	r := &in.Record
	return holdsNothing(r) && in.Intent == nil && r.Failure == nil && r.LostPoll == "" && r.Head.Generation == 0 && r.Orphans.Living(in.Now) > 0
}

// removed waits until the orphans of a removed credential have ended, which they do
// without anybody's help where it is known when.
func (in *Input) removed() Step {
	s := Step{Action: ActWait, State: Removed, Next: in.Record.Orphans.Left(in.Now).Until(), Mend: in.mend(forgetOrphansCommand)}
	s.Reason, s.Why = removedWhy(in.Record.Orphans, in.Now)
	return s
}

// forgetOrphansCommand is what a person says who has looked after them.
const forgetOrphansCommand = "revoke --forget-orphans"

// removedWhy says what is left of a removed credential, and what ends that.
func removedWhy(all state.Orphans, now time.Time) (reason, why string) {
	left := all.Left(now)
	reason = "it is no longer declared, and " + count(left.Total(), "token") + " may live that nobody knows"
	if until := left.Until(); !until.IsZero() {
		return reason, reason + ", until " + until.UTC().Format(time.RFC3339) + " at the latest"
	}
	return reason, reason + "; once somebody has ended it where it was issued, or says that it does not matter, it is no longer counted"
}

// isRemoved says of what has not been looked at since the start that it is removed, as a
// look will.
func (line *Line) isRemoved(all state.Orphans, now time.Time) {
	_, line.Why = removedWhy(all, now)
	line.Mend = "tokend " + forgetOrphansCommand + " " + ShellAddress(line.Address)
}

// drop ends a removal: of the credential nothing is left but its orphans, if it has any.
func (p *performer) drop() {
	rec := &p.ob.in.Record
	p.giveUpRaw()
	left := rec.Orphans.Left(p.w.now())
	switch {
	case !p.j.stored:
	case len(left) > 0:
		p.keepOrphans(left)
		return
	default:
		end := append([]state.Change{{Delete: p.j.addr, DeleteVersion: rec.Head.Version}}, unexchanged(p.ctx, p.w.store, p.j.addr)...)
		if !p.commit("the end", end...) {
			return
		}
		p.log().Info("removed", "reason", p.step.Reason)
	}
	p.answer()
	p.r.drop, p.r.stored, p.r.gen = true, false, 0 // declared again, its generations begin again
}

// keepOrphans leaves of a record its orphans alone, and the replies that tell of some
// once they can be read.
func (p *performer) keepOrphans(left state.Orphans) {
	rec := &p.ob.in.Record
	*rec = state.Credential{Head: state.Head{Address: p.j.addr, Kind: state.KindCredential, Version: rec.Head.Version}, Orphans: left, Kept: rec.Kept}
	end := unexchanged(p.ctx, p.w.store, p.j.addr)
	if p.ob.in.Intent != nil {
		end = append(end, state.Change{IntentFor: p.j.addr, ClearIntent: true})
	}
	if p.r.again = p.save("the end", end...); !p.r.again {
		return
	}
	now := p.w.now()
	p.log().Info("removed", "reason", p.step.Reason)
	p.log().Warn("of a removed credential tokens are left that nobody knows: they are counted until they have ended, or until tokend revoke --forget-orphans says that somebody has looked after them where they were issued",
		"orphans", left.Living(now), "since", left.Since(now))
	p.answer()
}

// leaves forgets of a removed credential that has nothing but orphans by what it was
// removed, and whose provider was asked about it. It runs in the loop's goroutine.
func (l *Loop) leaves(it *item) {
	l.q.move(it, l.q.lane(localLane))
	it.cfg, it.removing = nil, false
	x := it.ext()
	x.guarded, x.allowed, x.agreed, x.lost, x.home, x.stuck, x.quiet = "", false, "", lostConfig{}, "", "", time.Time{}
}

// returns has a removed credential that is declared again say no more that it is gone.
func (it *item) returns(now time.Time) {
	if it.x != nil && it.x.standing != nil && it.x.standing.State == Removed {
		it.x.standing = &Standing{State: Pending, Since: now}
	}
}
