package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// workCredential looks at one credential, decides, and performs the one step.
func (w *worker) workCredential(ctx context.Context, j *job) *result {
	ob, err := w.observe(ctx, j)
	if err != nil {
		return j.unlooked(w.now(), err)
	}
	step := w.decided(ctx, ob)
	r := &result{item: j.item, lane: j.lane, next: step.Next, standing: standingOf(step), revokesAt: ob.in.revokesAt(step), repeats: ob.in.Repeats}
	r.fill(&ob.in.Record, j.stored)
	if ob.in.Reading != (readings{}) && !step.acts() {
		r.next = ob.in.whileItWaits(step)
	}
	if ob.brings != nil && !step.acts() {
		r.waits = []secretWait{{op: opGrant, read: ob.brings}, {op: opOrder, read: ob.brings, order: j.order}}
		return r
	}
	r.early, r.refreshes = ob.in.early(), ob.in.RefreshFailure
	if ob.in.Verify != nil {
		r.measured = &ob.in.Measured // as it is left
	}
	if step.Destructive() && !j.allowed {
		r.unjudged = true
		return r
	}
	// It is not looked at for hours, perhaps, and waits for a judgement that long.
	r.unjudgedEnd = ob.endsAtStop && !j.allowed && j.guarded == ""
	if until := ob.waitsForPlaces(j, step); !until.IsZero() {
		r.next = j.now.Add(markLook)
		if !j.now.Before(j.unseen.Add(markPatience)) {
			r.next = earlier(until, j.now.Add(markLookLater))
		}
		r.standing = &Standing{State: Pending, Why: "the places that hold its token are looked at first: they may say that its refresh token was spent", Next: "its refresh"}
		return r
	}
	if step.Calls() {
		// A lane does not know its limits before an endpoint was opened, and
		// they may be other ones since the configuration changed.
		name, limits, recorded := ob.laneOf(step)
		recorded = limits != nil && (recorded || j.cfg != j.force) // what is held lives on by what an earlier configuration said
		if recorded && (name != j.lane.name || j.limitSaid || j.limits.Requests > 0 || limits.Requests == 0) {
			limits = nil // what the configuration says goes before, and the first that is read back before another
		}
		if name != j.lane.name || limits != nil && withDefault(*limits) != j.limits {
			r.relane, r.laneName, r.limits, r.recorded, r.again = true, name, limits, recorded, true
			if step.revokes() || step.Action == ActVerify {
				r.laneBack, r.unless = ob.laneBack(step)
			}
			if step.revokes() && ob.in.Declared && ob.in.Record.Grant != nil {
				r.standing = standingOf(Step{State: Ready}) // waiting for an old token's end does not make it less ready
			}
			return r
		}
	}
	p := performer{w: w, ctx: ctx, j: j, ob: ob, step: step, r: r}
	if step.Heals {
		p.heals()
	}
	p.say()
	p.perform()
	r.refreshes, r.repeats = ob.in.RefreshFailure, ob.in.Repeats
	if r.order != nil && r.next.IsZero() {
		r.again = true // an order that failed says nothing of what else there is to do, and when
	}
	if r.standing != nil {
		r.standing.Since = ob.in.since(r.standing.State) // also when it began before the start
	}
	if f := ob.in.Record.Failure; j.cfg != nil && (ob.in.Traits.Static || f != nil && f.Stopped || ob.in.Record.Grant != nil && len(watchedSecrets(ob.in.Want, ob.in.Record.Grant)) > 0) {
		// Nothing else tells of a changed secret there.
		if at := w.secrets.again(j.cfg, ob.in.Want.Uses, j.now); !at.IsZero() && (r.next.IsZero() || at.Before(r.next)) {
			r.next = at
		}
	}
	r.glances = ob.in.glances(r.standing, r.next)
	return r
}

// unready is an error that keeps a credential from being looked at, in words.
func unready(err error) error {
	var un *spec.UnreadableError
	if errors.As(err, &un) && errors.Is(err, errNoToken) {
		return &lackingError{un.Addr}
	}
	return err
}

// fill says what the record knows.
func (r *result) fill(rec *state.Credential, stored bool) {
	r.record, r.stored, r.orphans = true, stored, rec.Orphans
	r.gen, r.retiring, r.remains = rec.Head.Generation, len(rec.Retiring), len(rec.Orphans) > 0 && holdsNothing(rec)
	if rec.Grant != nil {
		r.expires = rec.Grant.ExpiresAt
	}
}

// laneOf is the lane of a step that asks a provider, and the limits of that:
// those that the configuration says, or (recorded) those that it said of the
// provider when it issued what is to be revoked.
func (ob *observed) laneOf(s Step) (name string, limits *spec.RateLimit, recorded bool) {
	if s.revokes() {
		return revocations.lane(ob.in.Record.Retiring[s.Retiring].Provider), &ob.retired[s.Retiring].limits, true
	}
	side := ownLane
	if s.Action == ActVerify {
		if side = questions; ob.in.Measured.silences > 0 {
			side = unheard
		}
	}
	if ob.ep != nil {
		return side.lane(string(ob.in.Want.Provider)), &ob.ep.limits, false
	}
	if g := ob.in.Record.Grant; g != nil {
		return side.lane(g.Provider), &ob.held.limits, true
	}
	return localLane, nil, false
}

// performer carries one step out, in the durable order: the intent, the call,
// what it brought; and only then is anybody else told.
type performer struct {
	w    *worker
	ctx  context.Context
	j    *job
	ob   *observed
	step Step
	r    *result
	// called: a call was begun, and what it brings cannot be had again.
	called bool
	// sent is what sentInputs said last.
	sent map[string]string
	// refreshUntil is until when a refresh waits for an input that is still being read;
	// zero: it cannot be sent without.
	refreshUntil time.Time
	// brings is the call that was made, where it may bring a token; nil: none was.
	brings *bringing
	// twins are those whose tokens end with the call.
	twins twins
	// row is how many logins with its account failed in a row, others' among them.
	row int
}

// log is the log of this credential: every line carries its address, its type
// and the generation in force.
func (p *performer) log() *slog.Logger {
	return p.w.log.With("address", p.j.addr, "type", p.providerType(), "generation", p.ob.in.Record.Head.Generation)
}

func (p *performer) say() {
	if p.step.acts() && p.w.log.Enabled(p.ctx, slog.LevelDebug) {
		p.log().Debug("step", "action", string(p.step.Action), "reason", p.step.Reason)
	}
}

func (p *performer) perform() {
	defer func() { p.w.tokens.over(p.brings) }() // also where it panics
	switch p.step.Action {
	case ActObtain, ActReplace, ActExchange:
		p.obtain()
	case ActRefresh, ActReplay:
		p.refresh()
	case ActStatic:
		p.static()
	case ActImport:
		p.adopt()
	case ActReread:
		p.reread()
	case ActSettle:
		p.settle()
	case ActRetire:
		p.retire()
	case ActNote:
		p.note()
	case ActRevoke:
		p.revoke()
	case ActRevive:
		p.revive()
	case ActRelease:
		p.release()
	case ActDrop:
		p.drop()
	case ActAct:
		p.act()
	case ActVerify:
		p.verify()
	default:
		p.rest()
	}
}

// rest ends a look at which nothing was to be done: what the decision changed
// in memory (settings that are remembered, when to look next) is written if it
// is not recorded yet.
func (p *performer) rest() {
	rec := &p.ob.in.Record
	p.answer()
	over := p.ob.in.unused(p.step)
	if over {
		p.ob.in.obtained()
	}
	if !p.j.stored && rec.Grant == nil && rec.Failure == nil {
		return
	}
	stale := p.ob.in.Declared && rec.Head.Digest != p.ob.digest && len(p.ob.in.WantsNew) == 0 && p.ob.in.Origins == "" && p.j.guarded == ""
	resettled := p.ob.resettled && p.j.guarded == ""
	if !over && !stale && !resettled && !p.ob.returned && !p.ob.clockSet && !p.rescheduled() {
		return
	}
	if stale {
		rec.Head.Digest = p.ob.digest
	}
	p.save("its settings")
}

func (p *performer) rescheduled() bool {
	rec := &p.ob.in.Record
	return p.j.stored && p.step.Action == ActNone && !p.sleepsUntil(rec).Equal(rec.Head.Due)
}

// sleepsUntil is until when a start need not look at a record, zero where it has to at
// once: when the token is due. When the API is asked about it is not recorded, nor what
// others make of it.
func (p *performer) sleepsUntil(rec *state.Credential) time.Time {
	in := p.ob.in
	if in.Record = *rec; rec.Grant == nil || len(rec.Retiring) > 0 || rec.Failure != nil || rec.Raw != nil || len(rec.Kept) > 0 || rec.Head.Flags&state.FlagTainted != 0 || in.loginMayHaveEnded() || in.refreshRefused() || knownDead(rec, rec.Grant) {
		return time.Time{}
	}
	return in.due()
}

// save commits the record as it stands now, with its head brought in line.
func (p *performer) save(what string, more ...state.Change) bool {
	rec := &p.ob.in.Record
	rec.Kept = livingReplies(rec.Kept, p.w.now())
	p.head(rec)
	left := p.w.tokens.leaves(p.j.addr, rec.Grant)
	if !p.commit(what, append([]state.Change{{Credential: rec}}, more...)...) {
		return false
	}
	p.r.fill(rec, true)
	p.r.saved = true
	p.r.clockStep = p.j.clockStep
	if len(left) > 0 {
		if names, err := p.w.namesOf(p.ctx, left); err == nil {
			p.r.wakes = append(p.r.wakes, slices.Sorted(maps.Values(names))...)
		}
	}
	if p.ob.endsAtStop && rec.Lifecycle.RevokeOnShutdown && p.r.began == (begun{}) {
		p.r.began = begun{Revocations: 1, Replaced: true} // it counts from now on, though the next stop may be long ahead
	}
	p.ob.endsAtStop = false
	return true
}

// commit records what this look has come to. What a call brought is held until
// the disk takes it; anything else can be found out again, so it gives its place
// to others and is tried again later.
func (p *performer) commit(what string, changes ...state.Change) bool {
	if p.called {
		changes = append(changes, p.w.sent(p.j)...)
		err := p.w.commit(p.ctx, p.j.addr, what, changes...)
		for n := 0; errors.Is(err, state.ErrConflict) && changes[0].Credential != nil && n < saveTries; n++ {
			err = p.saveOver(what, changes[1:])
		}
		if err != nil {
			p.conflict(err)
		}
		return err == nil
	}
	err := p.w.store.Commit(p.ctx, changes...)
	switch {
	case err == nil:
		return true
	case errors.Is(err, state.ErrConflict):
		p.conflict(err)
		return false
	}
	err = fmt.Errorf("recording %s: %w", what, err)
	p.log().Debug("recording failed; it is decided anew in a while", "error", err)
	p.r.again, p.r.next = false, p.w.now().Add(lookAgain)
	p.r.standing = &Standing{State: Failing, Why: err.Error(), Next: "tried again", Mend: "make room for the state, or mend its disk"}
	p.fail(err)
	return false
}

// conflict: another writer changed the record since it was read; look again.
func (p *performer) conflict(err error) {
	p.log().Warn("a record changed while it was being worked on; it is looked at again", "error", err)
	p.r.lost = true
}

// head brings a record's head in line with the record.
func (p *performer) head(rec *state.Credential) {
	f := state.Flags(0)
	if len(rec.Retiring) > 0 {
		f |= state.FlagRetiring
	}
	if rec.Head.Flags&state.FlagTainted != 0 {
		f |= state.FlagTainted
	}
	if rec.Failure != nil && rec.Failure.Stopped {
		f |= state.FlagStopped
	}
	if rec.Lifecycle.PreventDestroy {
		f |= state.FlagPreventDestroy
	}
	if rec.Raw != nil {
		f |= state.FlagRaw
	}
	if rec.Lifecycle.OnRemove == spec.OnRemoveForget {
		f |= state.FlagForgetOnRemove
	}
	if rec.Removing != nil {
		f |= state.FlagRemoving
	}
	if w := p.ob.in.Want; w != nil && w.Verify != nil {
		f |= state.FlagVerify
	}
	rec.Head.Flags = f
	rec.Head.ExpiresAt = time.Time{}
	if rec.Grant != nil {
		rec.Head.ExpiresAt = rec.Grant.ExpiresAt
	}
	rec.Head.Due = p.sleepsUntil(rec)
}

// answer tells who ordered it that it is done.
func (p *performer) answer() {
	if p.j.order == nil {
		return
	}
	if p.comesFirst() {
		p.r.again = true
		return
	}
	p.j.order.finish(p.orderError())
	p.r.order = p.j.order
}

// comesFirst says that what was done is not what was ordered, but had to come before it:
// a refresh that was due, say, or the repetition of one. A login is done when its code
// was sent, and an action when it was asked for; a token is revoked or tainted once none
// may have come in its place.
func (p *performer) comesFirst() bool {
	did := p.step.Action
	if did == ActNone || did == ActWait || did == ActDrop {
		return false // there is nothing that it could come before
	}
	switch p.j.order.order.Kind {
	case OrderLogin:
		return did != ActExchange
	case OrderAction:
		return did != ActAct
	case OrderRevoke, OrderTaint, OrderOrphans:
		return slices.Contains([]Action{ActReplay, ActRefresh, ActObtain, ActReplace, ActExchange, ActStatic, ActImport, ActSettle}, did)
	}
	return false
}

// orderError is why an order could not be carried out, when the decision found
// that there is nothing to do for it, or that something else comes first: a replay
// that waits for its next try, say.
func (p *performer) orderError() error {
	s, rec := p.step, &p.ob.in.Record
	inTheWay := &OrderError{Kind: p.j.order.order.Kind, Address: p.j.addr, Reason: s.Reason, Why: s.Why, Mend: s.Mend}
	switch p.j.order.order.Kind {
	case OrderRefresh, OrderLogin, OrderAction:
		if s.Action == ActNone || s.Action == ActWait || s.Action == ActDrop {
			return inTheWay
		}
	case OrderRetry:
		if s.Action == ActWait && (s.State == Indeterminate || s.State == NeedsLogin) {
			return inTheWay // only a login helps, or the last try does when it is time for it
		}
		if p.j.order.order.beside && (s.Action == ActNone || s.Action == ActWait) {
			return p.unreadBeside()
		}
		if !s.acts() && s.State == Ready && s.Why == "" {
			return ErrNothingFailed
		}
	case OrderTaint:
		switch {
		case s.Action == ActNote:
			return nil
		case s.Action == ActWait && (rec.Grant != nil || rec.Raw != nil):
			return inTheWay
		}
		return fmt.Errorf("%s has no token to replace", spec.Address(p.j.addr).Short())
	case OrderOrphans:
		if s.Action == ActWait && rec.Orphans.Living(p.w.now()) > 0 {
			return inTheWay
		}
		if s.Action != ActNote || s.Cause != causeOrphans {
			return fmt.Errorf("no orphans of %s are counted, so there are none to forget", spec.Address(p.j.addr).Short())
		}
	case OrderRevoke:
		switch {
		case s.Action == ActDrop:
			return nil // its removal has revoked it
		case s.Action == ActWait && (rec.Grant != nil && !p.j.order.order.Forget || len(rec.Retiring) > 0):
			return inTheWay
		case p.j.order.order.Forget:
			return fmt.Errorf("no revocation of %s is pending, so there is none to give up", spec.Address(p.j.addr).Short())
		}
		return fmt.Errorf("there is nothing to revoke of %s", spec.Address(p.j.addr).Short())
	}
	return nil
}

// fail tells who ordered it why it failed, but where what failed was a repetition that
// was made and had to come before: there is none a second time. One that could not be
// made, since the disk takes nothing, say, would be tried at once again, and again.
func (p *performer) fail(err error) {
	if p.j.order != nil && p.called && p.step.Action == ActReplay && p.comesFirst() {
		p.r.again = true
		return
	}
	if p.j.order != nil {
		p.j.order.finish(err)
		p.r.order = p.j.order
	}
}
