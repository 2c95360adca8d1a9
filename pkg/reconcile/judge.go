package reconcile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// HeldChange is a change that the guard holds back.
type HeldChange struct {
	Since       time.Time `json:"since"`
	Reason      string    `json:"reason"`
	Revocations []string  `json:"revocations,omitempty"` // addresses of credentials
	Sinks       []string  `json:"sinks,omitempty"`
}

// Total is what `apply --allow-revocations` has to cover.
func (h *HeldChange) Total() int { return len(h.Revocations) + len(h.Sinks) }

// candidate is an address that the change would destroy something of.
type candidate struct {
	addr   string
	sink   bool
	digest string // what exactly an approval is for
	forget bool   // nothing is revoked: it counts only where no credential is left
	origin string // its address changed, which needs a person whatever the guard says
}

// verdict is what the guard says of a change.
type verdict struct {
	held    *HeldChange
	allowed map[string]bool // destructive steps that may go ahead
	blocked map[string]bool
	agreed  map[string]string // what exactly each that would be destroyed is destroyed for
	// approved are the approvals that still are for something; spent says that
	// others are on record, whose change was carried out or taken back.
	approved map[string]string
	spent    bool
}

// judgeChange finds what the change would destroy and asks the guard.
func (l *Loop) judgeChange(ctx context.Context, cfg, last *spec.Config, d delta, o SetOptions) (verdict, error) {
	v := verdict{allowed: map[string]bool{}, blocked: map[string]bool{}, agreed: map[string]string{}}
	var jobs []job
	var total change
	var log guardLog
	pending := map[string]string{}
	seen := map[string]bool{}
	err := l.do(ctx, func() {
		log = l.guard
		for _, a := range append(append([]string(nil), d.changed...), d.gone...) {
			if it, ok := l.items[a]; ok && it.stored {
				j := l.job(it)
				j.cfg, j.last, j.force = cfg, d.lastOf(a, last), cfg
				if !declares(cfg, a) {
					j.cfg = nil
				}
				jobs, seen[a] = append(jobs, j), true
			}
		}
		for it := range l.odd {
			a := it.addr
			if it.x != nil && it.x.allowed {
				pending[a] = it.x.agreed
			}
			// What was gone, held or allowed before and has not happened yet is
			// judged again with the rest.
			if (it.gone || it.x != nil && (it.x.guarded != "" || it.x.allowed)) && it.stored && !seen[a] {
				j := l.job(it)
				j.cfg, j.last, j.force = cfg, it.cfg, cfg
				if !declares(cfg, a) {
					j.cfg = nil
				}
				jobs = append(jobs, j)
			}
		}
	})
	if err != nil {
		return v, err
	}
	all, err := l.candidates(ctx, jobs)
	if err != nil {
		return v, err
	}
	if len(all) > 0 {
		err = l.do(ctx, func() {
			for _, it := range l.items {
				l.countHeld(it, &total)
			}
		})
		if err != nil {
			return v, err
		}
	}
	return l.weigh(ctx, cfg, v, all, pending, total, log, o)
}

// countHeld counts what the state has.
func (l *Loop) countHeld(it *item, c *change) {
	switch {
	case it.kind == kindCredential && it.stored && it.gen > 0:
		c.credentials++
	case it.kind == kindSink && it.stored:
		c.sinks++
	}
}

// candidates decides, without doing anything, what each job would destroy.
func (l *Loop) candidates(ctx context.Context, jobs []job) ([]candidate, error) {
	var out []candidate
	for _, j := range jobs {
		if j.kind == kindSink && j.cfg != nil {
			continue // it is written, not removed; and a look at its place would wait for a Vault that stalls
		}
		j.guarded, j.quiet, j.order = "", time.Time{}, nil
		j.holding, j.waiting, j.allowed = nil, false, true
		step, err := l.w.decide(ctx, j)
		if err != nil {
			return nil, err
		}
		if !step.Destructive() {
			continue
		}
		c := candidate{addr: j.addr, sink: j.kind == kindSink, digest: "removed", forget: step.Cause == causeForget, origin: step.Origin}
		if j.cfg != nil {
			dg, _ := j.cfg.Digest(spec.Address(j.addr))
			c.digest = hex.EncodeToString(dg[:])
		}
		out = append(out, c)
	}
	return out, nil
}

// weigh asks the guard about all that a change would destroy together.
func (l *Loop) weigh(ctx context.Context, cfg *spec.Config, v verdict, all []candidate, pending map[string]string, total change, log guardLog, o SetOptions) (verdict, error) {
	approved, err := l.approvals(ctx)
	if err != nil {
		return v, err
	}
	held := &HeldChange{Since: l.o.Now()}
	credentials, _ := cfg.Counts()
	c := total
	v.approved = map[string]string{}
	for _, x := range all {
		v.agreed[x.addr] = x.digest
		if approved[x.addr] == x.digest {
			v.approved[x.addr] = x.digest
		}
	}
	v.spent = len(v.approved) < len(approved)
	for _, x := range all {
		if pending[x.addr] == x.digest || approved[x.addr] == x.digest {
			if v.allowed[x.addr] = true; !x.forget {
				log.Begun = append(log.Begun, weight(x, l.o.Now()))
			}
			continue
		}
		if x.forget && credentials > 0 {
			v.allowed[x.addr] = true
			continue
		}
		if x.sink {
			c.removed++
			held.Sinks = append(held.Sinks, x.addr)
		} else {
			c.revocations++
			held.Revocations = append(held.Revocations, x.addr)
		}
	}
	c.emptied = credentials == 0 && c.credentials > 0 && c.revocations > 0
	g, err := l.strictGuard(ctx, cfg)
	if err != nil {
		return v, err
	}
	if held.Reason = judge(g, log, l.o.Now(), c); held.Reason == "" {
		held.keepOrigins(all, v.allowed)
	}
	if held.Reason == "" || o.Allow >= held.Total() && o.Allow > 0 {
		for _, x := range all {
			v.allowed[x.addr] = true
		}
		return v, nil
	}
	for _, x := range all {
		v.allowed[x.addr] = v.allowed[x.addr] || !slices.Contains(held.Revocations, x.addr) && !slices.Contains(held.Sinks, x.addr)
	}
	sort.Strings(held.Revocations)
	sort.Strings(held.Sinks)
	for _, a := range append(append([]string(nil), held.Revocations...), held.Sinks...) {
		v.blocked[a] = true
	}
	v.held = held
	return v, nil
}

// keepOrigins holds only those whose address changed, when the guard has
// nothing against the change as a whole.
func (h *HeldChange) keepOrigins(all []candidate, allowed map[string]bool) {
	var moved []string
	for _, x := range all {
		if x.origin != "" && !allowed[x.addr] {
			moved, h.Reason = append(moved, x.addr), x.origin
		}
	}
	if len(moved) > 0 {
		h.Revocations, h.Sinks = moved, nil
		h.Reason = fmt.Sprintf("%s would be asked from another address: %s", count(len(moved), "credential"), h.Reason)
	}
}

func weight(x candidate, now time.Time) begun {
	if x.sink {
		return begun{At: now, Sinks: 1}
	}
	return begun{At: now, Revocations: 1}
}

// strictGuard is the stricter of the guard last accepted and the new one.
func (l *Loop) strictGuard(ctx context.Context, cfg *spec.Config) (spec.Guard, error) {
	g := cfg.Settings().Guard
	b, err := l.o.Store.Meta(ctx, metaGuard)
	if errors.Is(err, state.ErrNotFound) {
		return g, nil
	}
	if err != nil {
		return g, fmt.Errorf("reading the guard's settings: %w", err)
	}
	var old spec.Guard
	if err := json.Unmarshal(b, &old); err != nil {
		return g, fmt.Errorf("reading the guard's settings: %w", err)
	}
	return stricter(old, g), nil
}

func (l *Loop) keepApprovals(ctx context.Context, approved map[string]string) error {
	b, err := json.Marshal(approved)
	if err != nil {
		return err
	}
	if err := l.o.Store.Commit(ctx, state.Change{MetaKey: metaApproved, Meta: b}); err != nil {
		return fmt.Errorf("recording approvals: %w", err)
	}
	return nil
}

// approvals are address -> digest of what a person let go ahead.
func (l *Loop) approvals(ctx context.Context) (map[string]string, error) {
	b, err := l.o.Store.Meta(ctx, metaApproved)
	if errors.Is(err, state.ErrNotFound) || err == nil && len(b) == 0 {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading approvals: %w", err)
	}
	m := map[string]string{}
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("reading approvals: %w", err)
	}
	return m, nil
}

// applyVerdict marks what the guard holds and what it has let go.
func (l *Loop) applyVerdict(it *item, addr string, v verdict, last *spec.Config) {
	switch {
	case v.blocked[addr]:
		x := it.ext()
		x.allowed, x.guarded = false, v.held.Reason
		l.odd[it] = true
		if it.cfg == nil {
			it.cfg = last
		}
		l.wake(it)
	case v.allowed[addr]:
		x := it.ext()
		x.allowed, x.agreed = true, v.agreed[addr]
		l.odd[it] = true
		if x.guarded != "" {
			x.guarded = ""
			l.unhold(it)
		}
		l.wake(it)
	case it.x != nil && (it.x.guarded != "" || it.x.allowed):
		it.x.allowed = false
		if it.x.guarded != "" {
			it.x.guarded = ""
			l.unhold(it)
			l.wake(it)
		}
	}
}

// unhold lets an item whose change was held follow the configuration in force.
func (l *Loop) unhold(it *item) {
	if !it.gone {
		it.cfg = nil
		l.link(l.cfg, it, nil)
	}
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
	var d delta
	err := l.do(ctx, func() {
		l.rejudging = false
		for a, it := range l.items {
			if it.kind == kindHook || !it.stored {
				continue
			}
			if it.gone {
				d.gone = append(d.gone, a)
			} else {
				d.changed = append(d.changed, a)
			}
		}
		sort.Strings(d.gone)
	})
	if err != nil {
		return err
	}
	v, err := l.judgeChange(ctx, cfg, cfg, d, SetOptions{})
	if err != nil {
		return err
	}
	return l.do(ctx, func() {
		l.held = v.held
		for a, it := range l.items {
			l.applyVerdict(it, a, v, cfg)
		}
	})
}

// began adds to the guard's log.
func (l *Loop) began(b begun) {
	b.At = l.o.Now()
	l.guard = l.guard.within(b.At)
	l.guard.Begun = append(l.guard.Begun, b)
	raw, err := json.Marshal(l.guard)
	if err != nil {
		l.log.Error("encoding the guard's log", "error", err)
		return
	}
	l.o.Store.Later(func(err error) {
		if err != nil {
			l.log.Error("recording the guard's log", "error", err)
		}
	}, state.Change{MetaKey: metaGuardLog, Meta: raw})
}

// Held is the change that the guard holds back, or nil.
func (l *Loop) Held(ctx context.Context) (*HeldChange, error) {
	var h *HeldChange
	err := l.do(ctx, func() { h = l.held })
	return h, err
}

// Approve lets the held change go ahead, at once. shown is what the person saw:
// when the change is another one by now, nothing is approved and ErrChanged is
// returned.
func (l *Loop) Approve(ctx context.Context, shown *HeldChange) error {
	l.setting.Lock()
	defer l.setting.Unlock()
	cfg := l.config.Load()
	approved := map[string]string{}
	var same bool
	err := l.do(ctx, func() {
		same = sameChange(l.held, shown)
		if !same || l.held == nil {
			return
		}
		for _, a := range append(append([]string(nil), l.held.Revocations...), l.held.Sinks...) {
			approved[a] = "removed"
			if dg, ok := cfg.Digest(spec.Address(a)); ok {
				approved[a] = hex.EncodeToString(dg[:])
			}
		}
	})
	if err != nil {
		return err
	}
	if !same {
		return ErrChanged
	}
	b, err := json.Marshal(approved)
	if err != nil {
		return err
	}
	if err := l.accept(ctx, cfg, state.Change{MetaKey: metaApproved, Meta: b}); err != nil {
		return err
	}
	return l.do(ctx, func() {
		l.held = nil
		for a := range approved {
			if it, ok := l.items[a]; ok {
				x := it.ext()
				x.allowed, x.agreed, x.guarded, x.quiet = true, approved[a], "", time.Time{}
				l.unhold(it)
				l.wake(it)
			}
		}
	})
}

// ErrChanged: the change to be approved is not the one that was shown.
var ErrChanged = errors.New("the held change is not the one that was shown any more; look at it again")

func sameChange(a, b *HeldChange) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equalStrings(a.Revocations, b.Revocations) && equalStrings(a.Sinks, b.Sinks)
}

func equalStrings(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
