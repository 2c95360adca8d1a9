package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// unchangedSink is the first look since the start at a sink of which nothing
// changed: the configuration says the same of it, the tokens that it names are
// those that it holds, and its place is as it was left. Then it need not be
// rendered, and no token unsealed.
func (w *worker) unchangedSink(ctx context.Context, j *job) (*result, bool) {
	if !j.first || !j.stored || j.cfg == nil || j.order != nil || j.guarded != "" || j.lane.name != localLane {
		return nil, false
	}
	uses, err := j.cfg.Uses(spec.Address(j.addr))
	if err != nil || len(uses) != len(j.uses) {
		return nil, false // a secret is among them, which may have changed
	}
	digest, _ := j.cfg.Digest(spec.Address(j.addr))
	gen := func(i int) uint64 {
		if k := slices.Index(j.uses, string(uses[i])); k >= 0 {
			return j.gens[k]
		}
		return 0
	}
	rec, err := w.store.Sink(ctx, j.addr)
	if err != nil || !upToDate(&rec, digest, uses, gen) {
		return nil, false
	}
	found := w.intact(ctx, &rec)
	if found == nil {
		return nil, false
	}
	r := &result{item: j.item, lane: j.lane, record: true, stored: true, holds: holdings(&rec), place: found.place, path: found.path, stamp: found.stamp}
	return r, true
}

// workSink looks at one sink, decides, and performs the one step. A stop cuts a
// slow place short: it is compared again after the next start.
func (w *worker) workSink(ctx context.Context, j *job) *result {
	if j.lane.name != localLane {
		var cancel context.CancelFunc
		ctx, cancel = w.untilStop(ctx)
		defer cancel()
	}
	if r, ok := w.unchangedSink(ctx, j); ok {
		return r
	}
	ob, err := w.observeSink(ctx, j)
	if err != nil {
		return j.unlooked(w.now(), err)
	}
	if rd := lookOf(ctx).first(); rd != nil {
		return j.waitsForSecret(rd) // nothing is decided by a secret that could not be read in time
	}
	if ob.lane != j.lane.name {
		return &result{item: j.item, lane: j.lane, relane: true, laneName: ob.lane, again: true}
	}
	if err := w.wentBack(ctx, &ob.in.Record, ob.found); err != nil { // before what it says is written over
		return j.failing(w.now(), fmt.Errorf("noting that the state is an older copy: %w", err))
	}
	if ob.by != nil {
		j.cfg, ctx = ob.by, withConfig(ctx, ob.by)
	}
	step := decideSink(&ob.in)
	step.Address = j.addr
	r := &result{item: j.item, lane: j.lane, next: step.Next, standing: standingOf(step), record: true, stored: ob.in.Stored, awaits: len(ob.in.Awaits) > 0}
	if ob.desired.Place != "" {
		r.place = ob.desired.Place
	}
	if ob.in.Keeps {
		r.keeps = ob.in.Heir
	}
	if ob.in.Record.Written != nil && ob.kind != nil {
		if paths := ob.kind.Paths(accountOf(ob.in.Record.Written)); len(paths) > 0 {
			r.path, r.stamp = paths[0], ob.stamp
		}
	}
	if j.first && ob.in.Stored {
		r.holds = holdings(&ob.in.Record)
		r.hooks = ob.in.Record.Notify // what a crash kept from running
	}
	if (step.Destructive() || step.moves(ob) && w.movesTo(ctx, j) != "") && !j.allowed {
		if j.guarded == "" {
			r.unjudged = true
			return r
		}
		// What declared it at its place is not known any more: it is left as it is.
		step = staysAtItsPlace(j.guarded)
		step.Address = j.addr
		r.standing = standingOf(step)
	}
	if ob.want != nil && r.next.IsZero() {
		r.next = w.secrets.again(j.cfg, ob.want.Uses, j.now)
	}
	r.remote, r.sighted = ob.desired.Target != "", ob.in.Checked
	p := sinkPerformer{w: w, ctx: ctx, j: j, ob: ob, step: step, r: r}
	if j.first && ob.in.Stored && !ob.in.Declared || ob.in.Moved && j.last != nil {
		p.mayHoldLast()
		if rd := lookOf(ctx).first(); rd != nil {
			return j.waitsForSecret(rd)
		}
	}
	if step.acts() && w.log.Enabled(ctx, slog.LevelDebug) {
		w.log.Debug("step", "address", j.addr, "type", ob.kindOf, "action", string(step.Action), "reason", step.Reason)
	}
	p.perform()
	if r.standing != nil {
		r.standing.Since = ob.in.since(r.standing.State) // also when it began before the start
	}
	if !step.acts() && j.order != nil {
		j.order.finish(nil)
		r.order = j.order
	}
	return r
}

// leftFile says which file is to be watched, and how a write left it. What somebody
// else did to it since may have come before anybody watched it, and is not taken for the
// write: where the write does not tell, and its kind cannot either, it is looked at
// once more.
func (p *sinkPerformer) leftFile(account []byte) {
	if p.wrote.Path != "" {
		p.r.path, p.r.stamp = p.wrote.Path, stampSeen(p.wrote)
		return
	}
	paths := p.ob.kind.Paths(account)
	if len(paths) == 0 {
		return
	}
	seen, intact := p.ob.kind.Intact(p.ctx, account)
	p.r.path, p.r.stamp = paths[0], stampSeen(seen)
	if !intact {
		p.r.stamp, p.r.again = stamp{}, true
	}
}

// moves says that the step writes a place whose earlier one is then cleaned.
func (s Step) moves(ob *observedSink) bool {
	return ob.in.Moved && (s.Action == ActWrite || s.Action == ActRecord)
}

func (s Step) acts() bool { return s.Action != ActNone && s.Action != ActWait }

func nonNil(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return m
}

// laneOfPlace keeps the work on one Vault out of the way of everything else.
func laneOfPlace(target string) string {
	if target == "" {
		return localLane
	}
	return "sink:" + target
}

// sinkPerformer carries one step of a sink out.
type sinkPerformer struct {
	w    *worker
	ctx  context.Context
	j    *job
	ob   *observedSink
	step Step
	r    *result
	// untouched: nothing was ever sent to its place before this write.
	untouched bool
	told      bool       // it holds what its hooks were told of, which could not be recorded
	wrote     sinks.Seen // how the write left its file, where it told
	// spared are places that somebody else has changed, and that are left alone.
	spared []string
}

func (p *sinkPerformer) perform() {
	switch p.step.Action {
	case ActWrite, ActRepair:
		p.write()
	case ActRecord:
		if p.ob.in.Moved {
			p.write() // there is no account of the new place, and the old one is to be cleaned
			return
		}
		p.written(nil, false)
	case ActRemove:
		p.remove()
	case ActClean, ActLeave:
		p.clean()
	case ActDrop:
		p.dropTold()
	}
}

func (p *sinkPerformer) write() {
	rec := &p.ob.in.Record
	last := accountOf(rec.Written)
	first := p.ob.in.Moved || rec.Written == nil // and not only named, which may have been written before a crash
	again := !first && named(rec) && p.lastWriteFailed()
	p.untouched = first || untouched(rec)
	if p.ob.in.Moved || rec.Written == nil || named(rec) {
		if !p.intend() {
			return
		}
		last = nil
	}
	if p.step.Action == ActRepair && !p.promise() {
		return
	}
	// Who has to be asked what stands there could not be, perhaps, when the first write
	// failed; of a file of this host that one has told.
	if first || again && p.ob.desired.Target != "" {
		p.ob.desired.Replaces = p.tellReplaced
	}
	p.told = p.holdsWhatWasTold()
	began := p.w.now()
	written, err := p.put(last)
	p.observe(err, p.w.now().Sub(began))
	if err != nil {
		p.failed("writing", err)
		return
	}
	p.written(written, true)
}

// written records what the place holds now. Nobody waits for this commit, since
// the state names the place already: after a crash it is compared instead.
func (p *sinkPerformer) written(account []byte, changed bool) {
	rec := &p.ob.in.Record
	if account == nil {
		account = accountOf(rec.Written)
	}
	if !changed && !p.ob.recorded() && (account == nil || p.ob.in.Another || len(p.ob.in.Newer) > 0 && !p.asRecorded(account) || p.mayBeAnother()) {
		// The place holds the right value already, but no account of it was
		// recorded: a crash came between, a write took effect although no answer
		// came, or another write of the record won. Writing again is harmless, and
		// gives the account, without which the place could not be cleaned one day.
		// After a start it is not known either whether its hooks have run, and after
		// a write that failed they have not.
		changed = account == nil || p.j.first || p.lastWriteFailed()
		var err error
		if account, err = p.put(account); err != nil {
			p.failed("writing", err)
			return
		}
	}
	base, told := rec.Written, []string(nil)
	p.r.sighted = true
	rec.SinkKind, rec.Written, rec.Failure = p.ob.kindOf, withPlace(account, p.ob.desired.Place), nil
	rec.Leaving, rec.Delivered = elsewhere(rec.Leaving, p.ob.desired.Place), p.ob.gens
	keepsLeft(rec)
	rec.Head.Digest = p.ob.digest
	if changed {
		// A hook that has not run since an earlier change is still to be run, also
		// where the sink has another one by now.
		untold := rec.Notify
		rec.Notify = nil
		for _, h := range p.ob.want.Notify {
			rec.Notify = append(rec.Notify, string(h))
		}
		if !p.told {
			told, p.r.hooks = rec.Notify, rec.Notify
		}
		for _, h := range untold {
			if slices.Contains(rec.Notify, h) {
				continue
			}
			if rec.Notify = append(slices.Clip(rec.Notify), h); p.j.first {
				p.r.hooks = rec.Notify // nobody has been told to run it since the start
			}
		}
		word, level := "written", slog.LevelInfo
		switch {
		case p.step.Action == ActRepair:
			word = "repaired"
		case p.told:
			level = slog.LevelDebug // that was said then
		}
		if !p.told {
			p.w.runs.wrote(p.j.addr, p.r.hooks)
		}
		// Where that is only recorded now, it is what a run since then has answered.
		rec.WrittenAt = p.w.unsaved.tell(p.j.addr, rec.Written, rec.Notify, p.w.now(), p.told)
		if p.told {
			rec.Notify = p.w.unsaved.unanswered(p.j.addr, rec.Written, rec.Notify)
		}
		p.w.log.LogAttrs(p.ctx, level, word, slog.String("address", p.j.addr), slog.String("type", p.ob.kindOf),
			slog.Uint64("generation", highest(p.ob.gens)), slog.String("reason", p.step.Reason))
	} else if at := p.w.unsaved.toldAt(p.j.addr, rec.Written); !at.IsZero() { // which is recorded only now
		rec.WrittenAt, rec.Notify = at, p.w.unsaved.unanswered(p.j.addr, rec.Written, rec.Notify)
	}
	moved := len(rec.Leaving) > 0
	if !moved {
		p.recordOver(rec, base, told)
	} else if err := p.commit(rec); err != nil { // before its earlier place is cleaned
		return
	}
	p.r.stored, p.r.holds, p.r.standing = true, holdings(rec), nil
	p.leftFile(accountOf(rec.Written))
	p.r.again = p.r.again || moved
	if p.ob.in.AsBefore || p.ob.in.Keeps {
		waits := restOf(&p.ob.in)
		p.r.standing, p.r.next = standingOf(waits), waits.Next
	}
	if p.r.began = (begun{}); p.step.moves(p.ob) && p.j.allowed {
		p.r.began = begun{Sinks: 1, Replaced: true} // its earlier place goes next
	}
	p.answer(nil)
}

// recorded says that what the place shall hold is what was written there last, by the
// account of that write: whatever else the configuration says otherwise now, no
// write came after it that nobody was told of.
func (ob *observedSink) recorded() bool {
	rec := &ob.in.Record
	return ob.kind != nil && rec.Failure == nil && len(rec.Leaving) == 0 && !ob.in.Moved && ob.kind.Wrote(ob.desired, accountOf(rec.Written))
}

// mayBeAnother says that what the place holds, though right, may come from
// another write than the one whose account is recorded: from one that failed, or
// that a start knows nothing of.
func (p *sinkPerformer) mayBeAnother() bool {
	left := p.ob.in.Record.Leaving
	return p.ob.in.Changed && p.j.first || len(elsewhere(left, p.ob.desired.Place)) < len(left)
}

// lastWriteFailed says that nothing was told of the last write. Where the record
// says that only because the disk did not take a newer one, hooks have been told.
func (p *sinkPerformer) lastWriteFailed() bool {
	f := p.ob.in.Record.Failure
	return f != nil && f.Op == opWrite && !p.w.unsaved.has(p.j.addr)
}

// holdsWhatWasTold says that the place still holds what this process has written there
// and told the hooks of, and that only the record of that write is missing.
func (p *sinkPerformer) holdsWhatWasTold() bool {
	account := p.w.unsaved.told(p.j.addr)
	if account == nil || placeOf(account) != p.ob.desired.Place || !p.ob.kind.Wrote(p.ob.desired, accountOf(account)) {
		return false
	}
	drift, err := p.ob.kind.Check(p.ctx, p.ob.desired, accountOf(account))
	return err == nil && drift == ""
}

// observe tells the metrics how a write or a removal ended.
func (p *sinkPerformer) observe(err error, took time.Duration) {
	if p.w.o.Observe == nil {
		return
	}
	class := "ok"
	switch {
	case errors.Is(err, sinks.ErrPermanent):
		class = "permanent"
	case err != nil:
		class = "transient"
	}
	p.w.o.Observe(Event{Address: p.j.addr, Type: p.ob.kindOf, Op: string(p.step.Action), Class: class, Took: took})
}

func highest(gens map[string]uint64) uint64 {
	var top uint64
	for _, g := range gens {
		top = max(top, g)
	}
	return top
}

// flagOwed has the head of a sink's record say whether hooks have still to run for it.
func flagOwed(rec *state.Sink) {
	rec.Head.Flags &^= state.FlagHookPending
	if len(rec.Notify) > 0 {
		rec.Head.Flags |= state.FlagHookPending
	}
}

// What of a sink fails.
const (
	opWrite = "write"
	opClean = "clean"
)

func (p *sinkPerformer) answer(err error) {
	if p.j.order != nil {
		p.j.order.finish(err)
		p.r.order = p.j.order
	}
}
