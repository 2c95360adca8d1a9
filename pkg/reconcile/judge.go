package reconcile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
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
	var total change
	var held *HeldChange
	err = l.do(ctx, func() {
		all = l.guard.notBegun(all, waited)
		v.log, held = l.guard.withdraw(all, d.first, func(addr string) bool {
			it, ok := l.items[addr]
			return ok && it.phase == running
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
func (l *Loop) concerned(ctx context.Context, cfg, last *spec.Config, d delta) ([]job, error) {
	var jobs []job
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
func (l *Loop) candidates(ctx context.Context, jobs []job) (out []candidate, unseen []string, err error) {
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
func (l *Loop) sinkCandidate(ctx context.Context, j job) (candidate, bool, error) {
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
func (w *worker) movesTo(ctx context.Context, j job) string {
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
	if err != nil || from == "" {
		return ""
	}
	d, _ := kind.Render(s.Static) // what it shall hold is not known
	if d.Place == from || w.claimant(j.force, from) != "" {
		return ""
	}
	return d.Place
}

func (l *Loop) credentialCandidate(ctx context.Context, j job) (candidate, bool, error) {
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

// weights are what a change is weighed with.
type weights struct {
	guard       spec.Guard     // as the configuration declares it
	accepted    *guardSettings // as it was; nil: there is nothing before
	total       change         // what the state has
	approved    map[string]string
	unseen      []string // what could not be looked at: what was approved of it stays so
	before      heldMemory
	credentials int // that the configuration declares
	allow       int // that a person agreed to
	now         time.Time
	store       state.Store
}

// weigh asks the guard about all that a change would destroy together.
func (v *verdict) weigh(all []candidate, w weights) {
	for _, a := range w.unseen {
		if digest, ok := w.approved[a]; ok {
			v.approved[a] = digest
		}
	}
	pending := v.log.pending()
	var goes, approved, new []candidate
	for _, x := range all {
		v.agreed[x.addr] = x.digest
		if x.sink && x.replaced {
			v.moved = append(v.moved, x.addr)
		}
		if w.approved[x.addr] == x.digest {
			v.approved[x.addr] = x.digest
			approved = append(approved, x)
		}
		if pending[x.addr] == x.digest && x.lost == "" || w.approved[x.addr] == x.digest || x.forget && w.credentials > 0 {
			goes = append(goes, x)
		} else {
			new = append(new, x)
		}
	}
	held := &HeldChange{Since: w.now}
	c := w.total
	for _, x := range new {
		if x.sink {
			c.removed++
		} else {
			c.revocations++
		}
	}
	// The hour is the one before the change came: waiting alone lets nothing go.
	if since, ok := w.before.continues(addressesOf(new)); ok {
		held.Since = since
	}
	v.log = v.log.since(held.Since.Add(-guardWindow)).withApproved(approved, w.now).with(goes, w.now)
	c.emptied = w.credentials == 0 && c.credentials > 0 && c.revocations+c.removed > 0
	held.Rule, held.Reason = w.judge(v.log, held.Since, c)
	stays := new
	if held.Reason == "" {
		stays, held.Rule, held.Reason = needPerson(new)
	}
	if len(stays) > 0 && w.allow < len(stays) {
		for _, x := range stays {
			held.add(x)
			v.blocked[x.addr] = true
		}
		held.seal(w.store)
		v.held = held
	} else {
		for _, x := range stays {
			if x.person {
				v.approved[x.addr] = x.digest // it stays agreed to until the login
			}
		}
	}
	v.stale = !maps.Equal(v.approved, w.approved)
	new = slices.DeleteFunc(new, func(x candidate) bool { return v.blocked[x.addr] })
	if agreed := v.held == nil && len(stays) > 0; agreed {
		v.log = v.log.withApproved(stays, w.now)
	}
	v.log = v.log.with(new, w.now)
	for _, x := range append(goes, new...) {
		v.allowed[x.addr] = true
	}
}

func addressesOf(all []candidate) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = x.addr
	}
	return out
}

// needPerson are those that wait for a person though the guard has nothing
// against the change as a whole: their address changed, or what declared them
// last cannot be read back.
func needPerson(all []candidate) (stays []candidate, rule HeldRule, reason string) {
	var moved, lost int
	var why, whyLost string
	for _, x := range all {
		switch {
		case x.origin != "":
			moved, why = moved+1, x.origin
		case x.lost != "":
			lost, whyLost = lost+1, x.lost
		default:
			continue
		}
		stays = append(stays, x)
	}
	var reasons []string
	if lost > 0 {
		rule = HeldUnreadable
	}
	if moved > 0 {
		rule = HeldOrigin
		reasons = append(reasons, fmt.Sprintf("%s would be asked from another address: %s", count(moved, "credential"), why))
	}
	if lost > 0 {
		reasons = append(reasons, fmt.Sprintf("what declared %s last cannot be read back from the state (%s), so the hooks and the Vault that a removal needs are not known", count(lost, "address"), whyLost))
	}
	return stays, rule, strings.Join(reasons, "; ")
}

// judge says why a change that came at a time has to wait for a person, or "",
// by the guard as it was where that is stricter.
func (w *weights) judge(log guardLog, came time.Time, c change) (HeldRule, string) {
	rule, reason := judge(w.accepted.strict(w.guard, came), log, came, c)
	if now, _ := judge(w.guard, log, came, c); rule != "" && now == "" {
		reason += ", or was within the hour before; what the configuration says of the guard now is looser, and counts for what comes an hour after that"
	}
	return rule, reason
}

// rejudge has the guard look at a destructive step that it has not seen: the
// decision changed after the configuration was set (a token was obtained
// meanwhile, say). Until then the step waits.
func (l *Loop) rejudge() {
	if l.rejudging || l.stopping {
		return
	}
	l.rejudging = true
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := l.judgeAgain(ctx)
		if err != nil && !errors.Is(err, ErrClosed) {
			l.log.Error("judging a change again failed", "error", err)
			_ = l.do(context.Background(), func() { l.rejudging = false })
		}
	}()
}

func (l *Loop) judgeAgain(ctx context.Context) error {
	l.setting.Lock()
	defer l.setting.Unlock()
	cfg := l.config.Load()
	if cfg == nil {
		return l.do(ctx, func() { l.rejudging = false }) // the first one could not be taken over: nothing is judged yet
	}
	d := delta{last: map[string]*spec.Config{}}
	dry := false
	err := l.do(ctx, func() {
		l.rejudging, dry = false, l.dry
		for a, it := range l.items {
			switch {
			case it.kind == kindHook || !it.stored:
			case it.gone:
				d.gone, d.last[a] = append(d.gone, a), it.cfg
			default:
				d.changed = append(d.changed, a)
			}
		}
		sort.Strings(d.gone)
		sort.Strings(d.changed)
	})
	if err != nil {
		return err
	}
	v, err := l.judgeChange(ctx, cfg, cfg, d, SetOptions{})
	if err != nil {
		return err
	}
	a := acceptance{held: v.held, unseen: v.unseen}
	if err := l.do(ctx, func() { a.goesOn = l.goesOnThen(cfg, cfg, delta{}, v) }); err != nil {
		return err
	}
	if !dry {
		goes, err := v.goes()
		if err != nil {
			return err
		}
		if err := l.accept(ctx, cfg, a, goes...); err != nil {
			return err
		}
	}
	return l.do(context.WithoutCancel(ctx), func() {
		l.holdBack(v.held)
		l.takeLog(v.log)
		for _, x := range a.goesOn {
			l.goOn(x, v)
		}
	})
}

// goes is what has to be on disk of a verdict before any of it can begin: what was
// let go, and of the approvals those that are for something still. An approval is for
// the change that was shown, once: the next one like it is judged anew.
func (v *verdict) goes() (changes []state.Change, err error) {
	if len(v.log.pending()) > 0 {
		raw, err := json.Marshal(v.log)
		if err != nil {
			return nil, err
		}
		changes = append(changes, state.Change{MetaKey: metaGuardLog, Meta: raw})
	}
	if v.stale {
		raw, err := json.Marshal(v.approved)
		if err != nil {
			return nil, err
		}
		changes = append(changes, state.Change{MetaKey: metaApproved, Meta: raw})
	}
	return changes, nil
}
