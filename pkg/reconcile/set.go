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

// Names of the values that the loop keeps in the store beside the records.
const (
	metaGuardLog = "guard.log"      // destructive steps of the last hour
	metaGuard    = "guard.settings" // as last accepted
	metaApproved = "guard.approved" // what a person let go ahead
	metaAccepted = "accepted"       // blob of the configuration in force
	metaLeaving  = "leaving"        // blob -> addresses that it was the last to declare and that are not gone yet
)

// SetOptions say how a configuration is taken over.
type SetOptions struct {
	// Changed is when its files were last touched; zero: now.
	Changed time.Time
	// NoSettle lets removals act at once: a person is watching.
	NoSettle bool
	// Allow is the number of revocations and removed sinks that a person
	// agreed to; the guard lets that many go ahead.
	Allow int
	// Dry takes it over in memory only: for a plan.
	Dry bool
}

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
	origin string // its address changed, which needs a person whatever the guard says
}

// delta is how a configuration differs from the one in force.
type delta struct {
	changed []string // new or said differently
	gone    []string
	holds   map[string]map[string]uint64 // of changed and gone sinks: what their places hold
	first   bool
	last    map[string]*spec.Config // of addresses that were gone before the start already: what declared them last
}

// lastOf is the configuration that declared a gone address last: the one before
// this change, unless its removal has been under way since an earlier one.
func (d delta) lastOf(addr string, before *spec.Config) *spec.Config {
	if c, ok := d.last[addr]; ok {
		return c
	}
	return before
}

// Set takes a configuration over. What the change would destroy is judged by
// the guard before any of it can happen; what is held back stays as it was,
// and the rest goes ahead. It returns the held change, nil when there is none.
func (l *Loop) Set(ctx context.Context, cfg *spec.Config, o SetOptions) (*HeldChange, error) {
	l.setting.Lock()
	defer l.setting.Unlock()
	return l.set(ctx, cfg, o)
}

func (l *Loop) set(ctx context.Context, cfg *spec.Config, o SetOptions) (*HeldChange, error) {
	now := l.o.Now()
	if o.Changed.IsZero() {
		o.Changed = now
	}
	prev := l.config.Load()
	d, err := l.compare(ctx, prev, cfg)
	if err != nil {
		return nil, err
	}
	last := prev
	if d.first && len(d.gone) > 0 {
		if last, err = l.accepted(ctx); err != nil {
			l.log.Warn("the configuration that was last in force cannot be read back; removals do without it", "error", err)
		}
		if d.last, err = l.leaving(ctx); err != nil {
			l.log.Warn("what declared the addresses that are being removed cannot be read back; their removals do without it", "error", err)
		}
	}
	v, err := l.judgeChange(ctx, cfg, last, d, o)
	if err != nil {
		return nil, err
	}
	if err := l.do(ctx, func() { l.take(cfg, last, d, v, o) }); err != nil {
		return nil, err
	}
	if v.spent && !o.Dry {
		// An approval is for the change that was shown, once: the next one like
		// it is judged anew.
		if err := l.keepApprovals(ctx, v.approved); err != nil {
			return nil, err
		}
	}
	if v.held != nil || o.Dry {
		return v.held, nil
	}
	return nil, l.accept(ctx, cfg)
}

// accept records a configuration as the one in force, with what else goes with
// that.
func (l *Loop) accept(ctx context.Context, cfg *spec.Config, more ...state.Change) error {
	blob, err := l.keepSnapshot(ctx, cfg)
	if err != nil {
		return err
	}
	g, err := json.Marshal(cfg.Settings().Guard)
	if err != nil {
		return err
	}
	leaving, err := l.keepLeaving(ctx)
	if err != nil {
		return err
	}
	changes := append([]state.Change{{MetaKey: metaAccepted, Meta: []byte(blob)}, {MetaKey: metaGuard, Meta: g}, {MetaKey: metaLeaving, Meta: leaving}}, more...)
	if err := l.o.Store.Commit(ctx, changes...); err != nil {
		return fmt.Errorf("recording the accepted configuration: %w", err)
	}
	return nil
}

func (l *Loop) keepSnapshot(ctx context.Context, cfg *spec.Config) (string, error) {
	b, err := l.o.Snapshot(cfg)
	if err != nil {
		return "", fmt.Errorf("packing the configuration: %w", err)
	}
	name, err := l.o.Store.PutBlob(ctx, b)
	if err != nil {
		return "", fmt.Errorf("recording the configuration: %w", err)
	}
	return name, nil
}

// keepLeaving packs what declared the gone addresses last: a removal may take
// its time, and after a restart it still needs the hook or the Vault block that
// went in the same change.
func (l *Loop) keepLeaving(ctx context.Context) ([]byte, error) {
	by := map[*spec.Config][]string{}
	err := l.do(ctx, func() {
		for a, it := range l.items {
			if it.gone && it.stored && it.cfg != nil {
				by[it.cfg] = append(by[it.cfg], a)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	named := map[string][]string{}
	for cfg, addrs := range by {
		blob, err := l.keepSnapshot(ctx, cfg)
		if err != nil {
			return nil, err
		}
		named[blob] = append(named[blob], addrs...)
	}
	return json.Marshal(named)
}

// leaving reads back what keepLeaving packed, by address.
func (l *Loop) leaving(ctx context.Context) (map[string]*spec.Config, error) {
	b, err := l.o.Store.Meta(ctx, metaLeaving)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var named map[string][]string
	if err := json.Unmarshal(b, &named); err != nil {
		return nil, err
	}
	out := map[string]*spec.Config{}
	for blob, addrs := range named {
		cfg, err := l.snapshot(ctx, blob)
		if err != nil {
			return out, err
		}
		for _, a := range addrs {
			out[a] = cfg
		}
	}
	return out, nil
}

// accepted reads the configuration that was last in force back.
func (l *Loop) accepted(ctx context.Context) (*spec.Config, error) {
	name, err := l.o.Store.Meta(ctx, metaAccepted)
	if err != nil {
		return nil, err
	}
	return l.snapshot(ctx, string(name))
}

func (l *Loop) snapshot(ctx context.Context, blob string) (*spec.Config, error) {
	b, err := l.o.Store.Blob(ctx, blob)
	if err != nil {
		return nil, err
	}
	return l.o.LoadSnapshot(b)
}

// Accepted is the configuration that was last in force, as the state keeps it;
// for a start whose directory is broken.
func (l *Loop) Accepted(ctx context.Context) (*spec.Config, error) { return l.accepted(ctx) }

// compare says what is new, different and gone.
func (l *Loop) compare(ctx context.Context, prev, cfg *spec.Config) (delta, error) {
	d := delta{first: prev == nil, holds: map[string]map[string]uint64{}}
	known := map[string][16]byte{}
	if prev == nil {
		err := l.o.Store.Heads(ctx, func(h state.Head) error { known[h.Address] = h.Digest; return nil })
		if err != nil {
			return d, fmt.Errorf("reading the state: %w", err)
		}
	} else {
		for _, a := range declared(prev) {
			known[string(a)], _ = prev.Digest(a)
		}
	}
	for _, a := range declared(cfg) {
		now, _ := cfg.Digest(a)
		was, ok := known[string(a)]
		if !ok || was != now {
			d.changed = append(d.changed, string(a))
		}
		delete(known, string(a))
	}
	for a := range known {
		d.gone = append(d.gone, a)
	}
	sort.Strings(d.gone)
	return d, l.readHoldings(ctx, &d)
}

func declared(c *spec.Config) []spec.Address {
	return append(append([]spec.Address(nil), c.Credentials()...), c.Sinks()...)
}

// readHoldings reads what the places of changed and gone sinks hold, when this
// is the first configuration since the start and the index does not know yet.
func (l *Loop) readHoldings(ctx context.Context, d *delta) error {
	if !d.first {
		return nil
	}
	for _, a := range append(append([]string(nil), d.changed...), d.gone...) {
		if spec.Address(a).Kind() != "sink" {
			continue
		}
		rec, err := l.o.Store.Sink(ctx, a)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the record of %s: %w", a, err)
		}
		d.holds[a] = rec.Delivered
	}
	return nil
}

// verdict is what the guard says of a change.
type verdict struct {
	held    *HeldChange
	allowed map[string]bool // destructive steps that may go ahead
	blocked map[string]bool
	// approved are the approvals that still are for something; spent says that
	// others are on record, whose change was carried out or taken back.
	approved map[string]string
	spent    bool
}

// judgeChange finds what the change would destroy and asks the guard.
func (l *Loop) judgeChange(ctx context.Context, cfg, last *spec.Config, d delta, o SetOptions) (verdict, error) {
	v := verdict{allowed: map[string]bool{}, blocked: map[string]bool{}}
	var jobs []job
	var total change
	var log guardLog
	pending := map[string]bool{}
	err := l.do(ctx, func() {
		log = l.guard
		for _, a := range append(append([]string(nil), d.changed...), d.gone...) {
			if it, ok := l.items[a]; ok && it.stored {
				j := l.job(it)
				j.cfg, j.last, j.force = cfg, d.lastOf(a, last), cfg
				if !declares(cfg, a) {
					j.cfg = nil
				}
				jobs = append(jobs, j)
			}
		}
		for a, it := range l.items {
			l.countHeld(it, &total)
			if it.x != nil && it.x.allowed {
				pending[a] = true
			}
			// What was gone or held before is judged again with the rest, but
			// for what is allowed already.
			if (it.gone || it.x != nil && it.x.guarded != "") && it.stored && !inSorted(d.gone, a) {
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
	return l.weigh(ctx, cfg, v, all, pending, total, log, o)
}

func declares(c *spec.Config, addr string) bool {
	_, ok := c.Digest(spec.Address(addr))
	return ok
}

func inSorted(sorted []string, s string) bool {
	i := sort.SearchStrings(sorted, s)
	return i < len(sorted) && sorted[i] == s
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
		c := candidate{addr: j.addr, sink: j.kind == kindSink, digest: "removed", origin: step.Origin}
		if j.cfg != nil {
			dg, _ := j.cfg.Digest(spec.Address(j.addr))
			c.digest = hex.EncodeToString(dg[:])
		}
		out = append(out, c)
	}
	return out, nil
}

// weigh asks the guard about all that a change would destroy together.
func (l *Loop) weigh(ctx context.Context, cfg *spec.Config, v verdict, all []candidate, pending map[string]bool, total change, log guardLog, o SetOptions) (verdict, error) {
	approved, err := l.approvals(ctx)
	if err != nil {
		return v, err
	}
	held := &HeldChange{Since: l.o.Now()}
	c := total
	v.approved = map[string]string{}
	for _, x := range all {
		if approved[x.addr] == x.digest {
			v.approved[x.addr] = x.digest
		}
	}
	v.spent = len(v.approved) < len(approved)
	for _, x := range all {
		if pending[x.addr] || approved[x.addr] == x.digest {
			v.allowed[x.addr] = true
			log.Begun = append(log.Begun, weight(x, l.o.Now()))
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
	c.emptied = len(cfg.Credentials()) == 0 && c.credentials > 0 && c.revocations > 0
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

// take makes the configuration the one in force. It runs in the loop's
// goroutine.
func (l *Loop) take(cfg, last *spec.Config, d delta, v verdict, o SetOptions) {
	prev := l.cfg
	l.cfg, l.changed, l.held = cfg, o.Changed, v.held
	l.config.Store(cfg)
	if l.o.Taken != nil {
		l.o.Taken(cfg)
	}
	quiet := o.Changed.Add(cfg.Settings().Guard.Settle)
	if o.NoSettle {
		quiet = time.Time{}
	}
	if prev == nil {
		l.declareAll(cfg)
	}
	for _, a := range d.changed {
		l.declare(a, d.holds[a])
	}
	for _, a := range d.gone {
		l.undeclare(a, d.lastOf(a, last), quiet, d.holds[a])
	}
	for a, it := range l.items {
		l.applyVerdict(it, a, v, last)
	}
	l.declareHooks(cfg)
	for _, it := range l.items {
		l.recount(it)
		if prev == nil && it.phase == ready {
			it.first = true
			l.firstLeft++
		}
	}
}

// declareAll makes an item of everything declared, at the first configuration:
// unchanged credentials sleep until they are due, sinks are looked at.
func (l *Loop) declareAll(cfg *spec.Config) {
	for _, a := range cfg.Credentials() {
		it := l.item(string(a), kindCredential)
		it.gone, it.cfg = false, nil
		if it.due == 0 || !it.stored {
			l.wake(it)
		} else {
			l.q.at(it, fromNanos(it.due))
		}
	}
	for _, a := range cfg.Sinks() {
		it := l.item(string(a), kindSink)
		it.gone, it.cfg = false, nil
		l.link(cfg, it, nil)
		l.wake(it)
	}
	for _, a := range cfg.Credentials() {
		l.link(cfg, l.items[string(a)], nil)
	}
}

// declare brings an item in line with what the configuration says of it now.
func (l *Loop) declare(addr string, holds map[string]uint64) {
	kind := kindCredential
	if spec.Address(addr).Kind() == "sink" {
		kind = kindSink
	}
	it := l.item(addr, kind)
	it.gone = false
	if it.x == nil || it.x.guarded == "" {
		it.cfg = nil // what is held keeps the configuration that it lives on by
	}
	l.link(l.cfg, it, holds)
	l.wake(it)
}

// link makes the index edges of an item: to the credentials that it names and
// to those whose token its place still holds.
func (l *Loop) link(cfg *spec.Config, it *item, holds map[string]uint64) {
	var names []spec.Address
	if it.kind == kindSink {
		if s, err := cfg.Sink(spec.Address(it.addr)); err == nil {
			names = s.Uses
		}
	} else if c, err := cfg.Credential(spec.Address(it.addr)); err == nil {
		names = c.Uses
	}
	want := map[*item]uint64{}
	var uses []*item
	add := func(u *item, gen uint64) {
		if _, ok := want[u]; !ok {
			want[u] = gen
			uses = append(uses, u)
		}
	}
	for _, n := range names {
		if n.Kind() == "credential" {
			if u, ok := l.items[string(n)]; ok && u != it {
				add(u, it.holdsOf(u))
			}
		}
	}
	for i, u := range it.uses {
		if i < len(it.holds) && it.holds[i] > 0 {
			add(u, it.holds[i])
		}
	}
	for a, gen := range holds {
		if u, ok := l.items[a]; ok {
			if _, have := want[u]; !have {
				uses = append(uses, u)
			}
			want[u] = gen
		}
	}
	l.relink(it, uses, want)
}

func (l *Loop) relink(it *item, uses []*item, gens map[*item]uint64) {
	for _, u := range it.uses {
		if _, ok := gens[u]; !ok {
			u.users = without(u.users, it)
		}
	}
	had := it.uses
	it.uses, it.holds = uses, nil
	if it.kind == kindSink && len(uses) > 0 {
		it.holds = make([]uint64, len(uses))
	}
	for i, u := range uses {
		if it.holds != nil {
			it.holds[i] = gens[u]
		}
		if !contains(had, u) {
			u.users = append(u.users, it)
		}
	}
}

func contains(list []*item, it *item) bool {
	for _, x := range list {
		if x == it {
			return true
		}
	}
	return false
}

// undeclare begins the end of an item that the configuration no longer
// declares.
func (l *Loop) undeclare(addr string, last *spec.Config, quiet time.Time, holds map[string]uint64) {
	it, ok := l.items[addr]
	if !ok {
		return
	}
	it.gone = true
	if it.cfg == nil {
		it.cfg = last
	}
	it.ext().quiet = quiet
	if holds != nil && last != nil {
		l.link(last, it, holds)
	}
	l.wake(it)
}

// applyVerdict marks what the guard holds and what it has let go.
func (l *Loop) applyVerdict(it *item, addr string, v verdict, last *spec.Config) {
	switch {
	case v.blocked[addr]:
		x := it.ext()
		x.allowed, x.guarded = false, v.held.Reason
		if it.cfg == nil {
			it.cfg = last
		}
		l.wake(it)
	case v.allowed[addr]:
		x := it.ext()
		x.allowed = true
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
		}
	}()
}

func (l *Loop) judgeAgain(ctx context.Context) error {
	l.setting.Lock()
	defer l.setting.Unlock()
	cfg := l.config.Load()
	var d delta
	var changed time.Time
	err := l.do(ctx, func() {
		l.rejudging = false
		changed = l.changed
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
		_ = changed
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
				x.allowed, x.guarded, x.quiet = true, "", time.Time{}
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
