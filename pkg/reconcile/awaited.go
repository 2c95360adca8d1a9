package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// A configuration may want another grant of a credential whose place is not taken
// yet: the guard holds it back, a person has to log in, it is just being obtained.
// What only that one will have (an output, the token where a key is held) a sink
// cannot be given before. Until then it goes on by the configuration that wrote it,
// with each token of the grant in force. That is a courtesy, and ends where the
// world of that configuration does: see [worker.meanwhile].

// awaits gives a look at a sink the means to tell what is not there yet from what
// will never be. What was written as it is said now, with the token in force,
// has what there is.
func (w *worker) awaits(ctx context.Context, j *job, in *SinkInput, a spec.Address, at *spec.Attributes) {
	written := in.Stored && !in.Changed && in.Record.Delivered[string(a)] == at.Generation
	if j.cfg != j.livesBy() || written || j.without && at.AccessToken.Len() > 0 {
		return
	}
	at.Awaited = sync.OnceValue(func() bool {
		if !w.replacing(ctx, j, a) {
			return false
		}
		in.Awaits = append(in.Awaits, string(a))
		return true
	})
}

// livesBy is the configuration by which is told what a sink waits for: that in force, the
// last one that declared it while its removal is held, or the one that it goes on by.
func (j *job) livesBy() *spec.Config {
	if j.before || j.guarded != "" && j.force != nil && !declares(j.force, j.addr) {
		return j.cfg
	}
	return j.force
}

// replacing says whether the configuration by which a sink lives wants another grant of
// a credential than the one that it has. Where that cannot be told, it may.
func (w *worker) replacing(ctx context.Context, j *job, a spec.Address) bool {
	ob, err := w.observe(ctx, &job{addr: string(a), kind: kindCredential, cfg: j.livesBy(), force: j.force, now: j.now, stored: true, noSecrets: j.noSecrets, dry: true})
	return err != nil || len(ob.in.WantsNew) > 0 || ob.in.Origins != ""
}

// meanwhile is what is done with a sink that names what is not there yet. It goes
// on by its earlier configuration where all but its content is as that says. Where
// it is not, the sink stays as it is as long as what it holds is what it would be
// given now; after that the configuration in force is followed without what is
// missing, but for a token: a sink that cannot be made without stays as it is. One
// that was never written waits.
func (w *worker) meanwhile(ctx context.Context, j *job, ob *observedSink) (*observedSink, error) {
	if ob.in.Record.Written == nil || j.without || j.before {
		return ob, nil
	}
	if goesOn(j, ob) {
		if was, whole, err := w.asBefore(ctx, j, ob); err != nil || whole {
			return was, err
		}
	}
	if w.upToNow(j, ob) {
		return ob, nil
	}
	look := *j
	look.without = true
	if now, err := w.observeSink(ctx, &look); err == nil {
		return now, nil
	}
	return ob, nil // what is wrong is what is missing: all else was evaluated before
}

// goesOn says whether an earlier configuration may still be followed with a sink:
// it has the sink under this name and at the place where it is, and so has the one
// in force; the credentials that it names are declared, and its secrets and its
// Vault as they were. Its hooks need not be: those in force are told.
func goesOn(j *job, ob *observedSink) bool {
	place := placeOf(ob.in.Record.Written)
	return j.earlier != nil && placeWanted(j, ob) == place && stillSaid(j.earlier, j.livesBy(), j.addr, ob.kind, place)
}

// stillSaid says whether a sink may be at a place as an earlier configuration declares
// it: there, with credentials that are declared still, and secrets and a Vault of which
// the one in force says the same.
func stillSaid(earlier, now *spec.Config, addr string, kind sinks.Sink, place string) bool {
	was, err := earlier.Sink(spec.Address(addr))
	if err != nil {
		return false
	}
	then, _ := kind.Render(was.Static) // the content is not known, the place is
	if then.Place == "" || then.Place != place {
		return false
	}
	if then.Target != "" && !sameSaid(earlier, now, spec.Address(then.Target)) {
		return false
	}
	for _, a := range was.Uses {
		if a.Kind() == "credential" && !declares(now, string(a)) || a.Kind() != "credential" && !sameSaid(earlier, now, a) {
			return false
		}
	}
	return true
}

// sameSaid says whether two configurations say the same of an address.
func sameSaid(one, other *spec.Config, a spec.Address) bool {
	x, ok := one.Digest(a)
	y, declared := other.Digest(a)
	return ok && declared && x == y
}

// asBefore is the look at a sink by the configuration that it goes on by, and whether all
// is there that it names by that.
func (w *worker) asBefore(ctx context.Context, j *job, now *observedSink) (ob *observedSink, whole bool, err error) {
	look := *j
	look.cfg, look.earlier, look.before = j.earlier, nil, true
	ob, err = w.observeSink(withConfig(ctx, look.cfg), &look)
	whole = len(ob.in.Missing) == 0 && len(ob.in.Awaits) == 0
	ob.by, ob.in.Awaits, ob.in.AsBefore = look.cfg, now.in.Awaits, true
	if ob.want != nil {
		ob.want.Notify = now.want.Notify
	}
	return ob, whole, err
}

// upToNow says whether a sink that cannot be written yet may stay as it is: its
// place is no other sink's, and the tokens that it holds are the newest ones of
// credentials that it still names.
func (w *worker) upToNow(j *job, ob *observedSink) bool {
	if by := w.claimant(j.force, placeOf(ob.in.Record.Written)); by != "" && by != j.addr {
		return false
	}
	for a, gen := range ob.in.Record.Delivered {
		if ob.gens[a] != gen {
			return false
		}
	}
	return true
}

// awaitGrant leaves a sink as it is until the grant is there that has what it
// names.
func awaitGrant(in *SinkInput) (Step, bool) {
	if len(in.Awaits) == 0 || in.AsBefore {
		return Step{}, false
	}
	return awaiting(in), true
}

// awaitedLook is how often a sink is looked at that waits for a grant. The grant
// wakes it; that none is wanted any more, nothing tells it.
const awaitedLook = 5 * time.Minute

func awaiting(in *SinkInput) Step {
	s := Step{Action: ActWait, State: Waiting, Reason: waitsForNew(in.Awaits), Next: in.Now.Add(awaitedLook)}
	if in.AsBefore {
		s.Action, s.State = ActNone, Held
		s.Reason += "; until then it holds what it held before the configuration changed, with each token of the one in force"
	} else if in.Stored {
		s.Reason += "; until then it stays as it is"
	}
	s.Why = s.Reason
	return s
}

func waitsForNew(credentials []string) string {
	return "what it names comes with the new token of " + list(shortNames(credentials))
}

// mayAwait says that a changed sink, written by an earlier configuration, may name
// what only a grant will have that is not there yet, while the guard holds what it is
// about to. Whether it does, a look tells.
func (l *Loop) mayAwait(it *item, cfg, was *spec.Config, first bool, held map[string]bool) bool {
	if it.kind != kindSink || was == nil || !declares(was, it.addr) {
		return false
	}
	named, _ := cfg.Uses(spec.Address(it.addr)) // what cannot be told is the look's to say
	for _, e := range it.uses {
		named = append(slices.Clip(named), spec.Address(e.to.addr))
	}
	return slices.ContainsFunc(named, func(a spec.Address) bool {
		if a.Kind() != "credential" {
			return false
		}
		c := l.items[string(a)]
		unsettled := first || held[string(a)] || c != nil && c.x != nil && (c.x.guarded != "" || c.x.wrong())
		return cfg.GivesMore(a, was) || unsettled && cfg.HasOutputs(a)
	})
}

// rewritten says whether a first configuration changes a sink that may have to go
// on by the one before.
func (d delta) rewritten(cfg *spec.Config) bool {
	for a := range d.wrote {
		uses, _ := cfg.Uses(spec.Address(a)) // what cannot be told is the look's to say
		for _, u := range uses {
			if u.Kind() == "credential" && cfg.HasOutputs(u) {
				return true
			}
		}
	}
	return false
}

// writtenBy are the digests that those sinks were written by of which an earlier
// configuration is kept.
func (l *Loop) writtenBy(ctx context.Context, kept map[string]*spec.Config) map[string][16]byte {
	wrote := map[string][16]byte{}
	_ = l.do(ctx, func() { // what ends meanwhile takes nothing over
		for a := range kept {
			if it := l.items[a]; it != nil && it.kind == kindSink && it.row != 0 {
				wrote[a] = l.restored.digests[it.row-1]
			}
		}
	})
	return wrote
}

// outlived leaves out the earlier configurations of sinks that the one last in force
// has written since.
func (d *delta) outlived(wrote map[string][16]byte, last *spec.Config) {
	if last == nil {
		return
	}
	for a, was := range wrote {
		is, ok := last.Digest(spec.Address(a))
		if then, _ := d.last[a].Digest(spec.Address(a)); ok && is == was && then != was {
			delete(d.last, a)
		}
	}
}

// note keeps by which digest a changed sink was written.
func (d *delta) note(addr string, was [16]byte) {
	if spec.Address(addr).Kind() != "sink" {
		return
	}
	if d.wrote == nil {
		d.wrote = map[string][16]byte{}
	}
	d.wrote[addr] = was
}

// wroteBy is the configuration that a changed sink was written by, as far as that
// is still known.
func (d delta) wroteBy(addr string, before *spec.Config) *spec.Config {
	last := d.lastOf(addr, before)
	was, known := d.wrote[addr]
	if !d.first || !known || last == nil {
		return last
	}
	if is, ok := last.Digest(spec.Address(addr)); ok && is == was {
		return last
	}
	return before
}

// forgetsEarlier forgets by what a sink went on, once a look has found nothing that it
// waits for.
func (it *item) forgetsEarlier(r *result) {
	if it.x != nil && it.kind == kindSink && r.record && !r.awaits && !it.again && r.standing == nil {
		it.x.earlier = nil
	}
}
