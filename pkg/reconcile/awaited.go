package reconcile

import (
	"context"
	"sync"
	"time"

	"tokend/pkg/spec"
)

// A configuration may want another grant of a credential whose place is not taken
// yet: the guard holds it back, a person has to log in, it is just being obtained.
// What only that one will have (an output, the token where a key is held) a sink
// cannot be given before. Until then it goes on by the configuration that wrote it,
// with each token of the grant in force, and where that is not known it stays as
// it is.

// awaits gives a look at a sink the means to tell what is not there yet from what
// will never be. What was written as it is said now has what there is.
func (w *worker) awaits(ctx context.Context, j job, in *SinkInput, a spec.Address, at *spec.Attributes) {
	if j.cfg != j.force || in.Stored && !in.Changed {
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

// replacing says whether the configuration in force wants another grant of a
// credential than the one that it has. Where that cannot be told, it may.
func (w *worker) replacing(ctx context.Context, j job, a spec.Address) bool {
	ob, err := w.observe(ctx, job{addr: string(a), kind: kindCredential, cfg: j.force, force: j.force, now: j.now, stored: true, noSecrets: j.noSecrets, dry: true})
	return err != nil || len(ob.in.WantsNew) > 0 || ob.in.Origins != ""
}

// asBefore is the look at a sink by the configuration that it goes on by, nil
// where there is none.
func (w *worker) asBefore(ctx context.Context, j job, awaits []string) (*observedSink, error) {
	if j.earlier == nil || !j.stored {
		return nil, nil
	}
	j.cfg, j.earlier = j.earlier, nil
	ob, err := w.observeSink(withConfig(ctx, j.cfg), j)
	ob.by, ob.in.Awaits, ob.in.AsBefore = j.cfg, awaits, true
	return &ob, err
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

// keepEarlier notes by which configuration a changed sink goes on, should it name
// what only a grant will have that is not there yet. That is told by a look; here
// it is enough that it may be.
func (l *Loop) keepEarlier(addr string, last *spec.Config, first bool) {
	it, ok := l.items[addr]
	if !ok || it.kind != kindSink || !it.stored || it.x != nil && it.x.earlier != nil || last == nil || !declares(last, addr) {
		return
	}
	for _, e := range it.uses {
		c := e.to
		unsettled := first || c.x != nil && (c.x.guarded != "" || c.x.standing != nil)
		if a := spec.Address(c.addr); l.cfg.GivesMore(a, last) || unsettled && l.cfg.HasOutputs(a) {
			it.ext().earlier = last
			l.odd[it] = true
			return
		}
	}
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
func (it *item) forgetsEarlier(r result) {
	if it.x != nil && it.kind == kindSink && r.record && !r.awaits && !it.again && r.standing == nil {
		it.x.earlier = nil
	}
}
