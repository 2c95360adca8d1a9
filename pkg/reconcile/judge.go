package reconcile

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"tokend/pkg/spec"
)

// candidate is an address that the change would destroy something of.
type candidate struct {
	addr     string
	sink     bool
	replaced bool   // the credential gets another token instead
	digest   string // what exactly an approval is for
	reason   string
	forget   bool   // nothing is revoked: it counts only where no credential is left
	origin   string // its address changed, which needs a person whatever the guard says
	lost     string // why what declared it last cannot be read back, which does, too
	person   bool   // it comes with a login, so it counts for nothing
}

// verdict is what the guard says of a change.
type verdict struct {
	held    *HeldChange
	allowed map[string]bool // destructive steps that may go ahead
	blocked map[string]bool
	agreed  map[string]string // what exactly each that would be destroyed is destroyed for
	// approved are the approvals that still are for something; stale says that
	// others are on record, whose change was carried out or taken back.
	approved map[string]string
	stale    bool
	moved    []string // sinks that are to leave the place that they have
	log      guardLog // with what may go ahead now
	settle   time.Duration
	// unseen says that something could not be looked at (a secret that cannot be
	// read): what the change would do to it is judged later, and not by limits
	// that this change loosened.
	unseen bool
}

// judgeChange finds what the change would destroy and asks the guard.
func (l *Loop) judgeChange(ctx context.Context, cfg, last *spec.Config, d delta, o SetOptions) (verdict, error) {
	v := verdict{allowed: map[string]bool{}, blocked: map[string]bool{}, agreed: map[string]string{}, approved: map[string]string{}}
	accepted, err := l.acceptedGuard(ctx)
	if err != nil {
		return v, err
	}
	declared := cfg.Settings().Guard
	v.settle = accepted.strict(declared, l.o.Now()).Settle
	jobs, err := l.concerned(ctx, cfg, last, d)
	if err != nil {
		return v, err
	}
	var waited map[string]string // let go, and not begun before they are looked at now
	if err := l.do(ctx, func() { waited = l.guard.pending() }); err != nil {
		return v, err
	}
	all, unseen, err := l.candidates(ctx, jobs)
	if err != nil {
		return v, err
	}
	v.unseen = slices.ContainsFunc(unseen, func(a string) bool { return spec.Address(a).Kind() == "credential" })
	looked := addressesOf(all)
	var total change
	var held *HeldChange
	err = l.do(ctx, func() {
		all = l.guard.notBegun(all, waited)
		v.log, held = l.guard.withdraw(all, d.first, func(addr string) bool {
			it, ok := l.items[addr]
			return ok && it.phase == running && it.may
		}), l.held
		if len(all) > 0 {
			for _, it := range l.items {
				total.count(it)
			}
		}
	})
	if err != nil {
		return v, err
	}
	// What has begun meanwhile may fail, and is tried again by the same approval.
	left := map[string]bool{}
	for _, c := range all {
		left[c.addr] = true
	}
	unseen = append(unseen, slices.DeleteFunc(looked, func(a string) bool { return left[a] })...)
	before := heldMemory{}
	if held != nil {
		before = heldMemory{Since: held.Since, Addresses: held.addresses()}
	} else if d.first {
		if before, err = l.heldBefore(ctx); err != nil {
			return v, err
		}
	}
	approved, err := l.approvals(ctx)
	if err != nil {
		return v, err
	}
	credentials, _ := cfg.Counts()
	v.weigh(all, weights{guard: declared, accepted: accepted, total: total, approved: approved, unseen: unseen, before: before, credentials: credentials, allow: o.Allow, now: l.o.Now(), store: l.o.Store})
	return v, nil
}

// concerned are looks at everything of which the change may destroy something:
// what it says differently, and what was gone, held or let go before and has
// not happened yet.
func (l *Loop) concerned(ctx context.Context, cfg, last *spec.Config, d delta) ([]*job, error) {
	var jobs []*job
	seen := map[string]bool{}
	err := l.do(ctx, func() {
		add := func(it *item, was *spec.Config) {
			if !it.stored || seen[it.addr] {
				return
			}
			j := l.job(it)
			j.cfg, j.last, j.force = cfg, was, cfg
			if lost, ok := d.lost[it.addr]; ok {
				j.lost = lost.why
			}
			if !declares(cfg, it.addr) {
				j.cfg = nil
			}
			jobs, seen[it.addr] = append(jobs, j), true
		}
		for _, list := range [][]string{d.changed, d.gone} {
			for _, a := range list {
				if it, ok := l.items[a]; ok {
					add(it, d.lastOf(a, last))
				}
			}
		}
		for _, it := range l.oddities() {
			if it.gone || it.x != nil && (it.x.guarded != "" || it.x.allowed) {
				add(it, it.cfg)
			}
		}
	})
	return jobs, err
}

// oddities are the items that are gone, held back or let go, by address: what is
// done with them one after the other is done in the same order each time.
func (l *Loop) oddities() []*item {
	return slices.SortedFunc(maps.Keys(l.odd), func(a, b *item) int { return strings.Compare(a.addr, b.addr) })
}

// count adds what the state has of an item.
func (c *change) count(it *item) {
	switch {
	case it.kind == kindCredential && it.stored && it.gen > 0 && !it.removing:
		c.credentials++
	case it.kind == kindSink && it.stored:
		c.sinks++
	}
}

// candidates says, without doing anything, what each look would destroy, and what
// could not be looked at: it is judged once it can be, before anything of it happens.
func (l *Loop) candidates(ctx context.Context, jobs []*job) (out []candidate, unseen []string, err error) {
	ctx = withLook(ctx, &secretLook{waits: true}) // a secret that fails fails once, and not for each
	for _, j := range jobs {
		// What failed and waits for its next try would be destroyed all the same.
		j.guarded, j.quiet, j.order = "", time.Time{}, &waiter{order: Order{Kind: OrderRetry}}
		j.holding, j.waiting, j.allowed, j.dry = nil, false, true, true
		look := l.credentialCandidate
		if j.kind == kindSink {
			look = l.sinkCandidate
		}
		c, ok, err := look(ctx, j)
		if err != nil {
			unseen = append(unseen, j.addr)
		}
		if !ok {
			continue
		}
		if j.cfg == nil && j.lost != "" && !c.forget {
			c.lost = j.lost
			c.reason += "; what declared it last cannot be read back from the state: " + j.lost
		}
		out = append(out, c)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].addr < out[b].addr })
	return out, unseen, ctx.Err()
}

// sinkCandidate is a sink that would be removed, or one whose earlier place
// would be: it is another one now. One that is declared is not looked at, since
// that would wait for a Vault that stalls.
func (l *Loop) sinkCandidate(ctx context.Context, j *job) (candidate, bool, error) {
	if j.cfg != nil {
		if to := l.w.movesTo(ctx, j); to != "" {
			return candidate{addr: j.addr, sink: true, replaced: true, digest: "moved to " + to, reason: "its place changed: the earlier one is cleaned"}, true, nil
		}
		return candidate{}, false, nil
	}
	step, err := l.w.decide(ctx, j)
	if err != nil || !step.Destructive() {
		return candidate{}, false, err
	}
	return candidate{addr: j.addr, sink: true, digest: "removed", reason: step.Reason}, true, nil
}

// movesTo is the place that the configuration gives a sink now, where it has
// written another one that is to be cleaned then; else "". It is told without
// looking at any place.
func (w *worker) movesTo(ctx context.Context, j *job) string {
	s, err := j.cfg.Sink(spec.Address(j.addr))
	if err != nil {
		return ""
	}
	kind, err := w.sinkKind(s.Kind)
	if err != nil {
		return ""
	}
	rec, err := w.store.Sink(ctx, j.addr)
	from := placeOf(rec.Written)
	if err != nil || from == "" || untouched(&rec) && !leaves(&rec) {
		return "" // nothing is there to clean
	}
	d, _ := kind.Render(s.Static) // what it shall hold is not known
	if d.Place == from || w.claimant(j.force, from) != "" {
		return ""
	}
	return d.Place
}

func (l *Loop) credentialCandidate(ctx context.Context, j *job) (candidate, bool, error) {
	ob, err := l.w.observe(ctx, j)
	if err != nil {
		return candidate{}, false, err
	}
	x, ok := ob.in.destroys()
	if !ok {
		x, ok = ob.endsWithTheDaemon()
	}
	if !ok {
		return candidate{}, false, nil
	}
	c := candidate{addr: j.addr, digest: "removed", reason: x.reason, forget: x.cause == causeForget, replaced: x.cause == causeReplace, origin: x.origin, person: x.person}
	if c.forget {
		c.digest = "forgotten"
	}
	if j.cfg != nil {
		dg, _ := j.cfg.Digest(spec.Address(j.addr))
		c.digest = hex.EncodeToString(dg[:])
	}
	for _, n := range ob.in.WantsNew {
		c.digest += " " + ob.hashes[n] // what a secret says is not in the digest
	}
	if c.origin != "" {
		c.digest += " " + c.origin // where a discovery leads is not in the digest
	}
	return c, true, nil
}
