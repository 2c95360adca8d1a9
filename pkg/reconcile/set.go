package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Names of the values that the loop keeps in the store beside the records.
const (
	metaGuardLog = "guard.log"      // destructive steps that may go ahead, and those of the last hour
	metaGuard    = "guard.settings" // as last accepted
	metaApproved = "guard.approved" // what a person let go ahead
	metaAccepted = "accepted"       // blob of the configuration in force
	metaHeld     = "guard.held"     // since when what is held back
	metaRenamed  = "renamed"        // by which names the two below, and above, are read by now
	metaLeaving  = "leaving"        // blob -> addresses that it was the last to declare and that are not gone yet, or live on by it
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

// delta is how a configuration differs from the one in force.
type delta struct {
	changed []string // new or said differently
	gone    []string
	holds   map[string]map[string]uint64 // of changed and gone sinks: what their places hold
	first   bool
	last    map[string]*spec.Config // of addresses that were gone before, also before the start: what declared them last
	lost    map[string]lostConfig   // likewise, where that cannot be read back
	wrote   map[string][16]byte     // of the first: the digests that changed sinks were written by
	all     []spec.Declared         // of the first: everything declared
	met     []met                   // likewise: what is known of each
	drops   int                     // likewise: Loop.drops, at that time
}

// lastOf is the configuration that declared a gone address last: the one before
// this change, unless its removal has been under way since an earlier one.
func (d delta) lastOf(addr string, before *spec.Config) *spec.Config {
	if c, ok := d.last[addr]; ok {
		return c
	}
	if _, ok := d.lost[addr]; ok {
		return nil
	}
	return before
}

// keepLast notes which configurations addresses live on by that were gone and are
// declared again: the one before this change does not say anything of them.
func (l *Loop) keepLast(d *delta) {
	d.last = map[string]*spec.Config{}
	for _, a := range d.changed {
		if it, ok := l.items[a]; ok && it.gone && it.cfg != nil {
			d.last[a] = it.cfg
		}
	}
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
	moves, parked, err := l.follow(ctx, cfg, o.Dry)
	defer func() { l.unpark(ctx, parked) }()
	if err != nil {
		return nil, err
	}
	d, err := l.compare(ctx, prev, cfg, o)
	if err != nil {
		return nil, err
	}
	d.afterMoves(moves)
	last := l.config.Load() // prev, as it reads since the moves
	if d.first {
		last = l.recall(ctx, &d)
	}
	v, err := l.judgeChange(ctx, cfg, last, d, o)
	if err != nil {
		return nil, err
	}
	if last == nil && (v.held != nil || len(v.moved) > 0 || d.rewritten(cfg)) {
		// What is held lives on by the configuration before, also when this is
		// the first one since the start; what is about to leave a place may have
		// left there what only that configuration tells; and a sink may name what
		// is not there yet.
		last, _ = l.recalled(ctx)
	}
	if o.Dry {
		return v.held, l.do(ctx, func() { l.take(cfg, last, d, v, l.goesOnThen(cfg, last, d, v), o) })
	}
	// What is recorded as in force begins to act, also where tokend is told to stop.
	ctx = context.WithoutCancel(ctx)
	a := acceptance{held: v.held, unseen: v.unseen}
	if err := l.do(ctx, func() { a.goesOn = l.goesOnThen(cfg, last, d, v) }); err != nil {
		return nil, err
	}
	goes, err := v.goes()
	if err != nil {
		return nil, err
	}
	if err := l.accept(ctx, cfg, a, goes...); err != nil {
		return nil, err
	}
	if err := l.do(ctx, func() { l.take(cfg, last, d, v, a.goesOn, o) }); err != nil {
		return nil, err
	}
	l.w.endpoints.keep(cfg)
	return v.held, nil
}

// recall reads back, at the first configuration since the start, by which ones
// what is leaving or held was declared last.
func (l *Loop) recall(ctx context.Context, d *delta) *spec.Config {
	var err error
	if d.last, d.lost, err = l.leaving(ctx); err != nil {
		l.log.Warn("what declared addresses last that are being removed or held cannot be read back; they wait for a person", "error", err)
	}
	wrote := l.writtenBy(ctx, d.last)
	if len(d.gone) == 0 && len(wrote) == 0 {
		return nil
	}
	last, lost := l.recalled(ctx)
	d.outlived(wrote, last)
	if len(d.gone) == 0 {
		return nil
	}
	for _, a := range d.gone {
		if _, known := d.last[a]; !known && lost != (lostConfig{}) {
			if d.lost == nil {
				d.lost = map[string]lostConfig{}
			}
			d.lost[a] = lost
		}
	}
	return last
}

// recalled is the configuration that was last in force, or nil, and why it
// cannot be read back.
func (l *Loop) recalled(ctx context.Context) (*spec.Config, lostConfig) {
	last, err := l.accepted(ctx)
	if err == nil || errors.Is(err, ErrNoneAccepted) {
		return last, lostConfig{}
	}
	l.log.Warn("the configuration that was last in force cannot be read back; what is removed waits for a person", "error", err)
	blob, _ := l.o.Store.Meta(ctx, metaAccepted)
	return nil, lostConfig{blob: string(blob), why: err.Error()}
}

// acceptance is how a configuration came to be the one in force.
type acceptance struct {
	held     *HeldChange // what of it is held back
	unseen   bool        // not all of it could be looked at
	goesOn   []onward    // and what lives on by earlier ones
	approved bool        // a person has approved what was held of it
}

// accept records a configuration as the one in force, with what else goes with
// that. What is held back of it lives on by an earlier one, which is kept too,
// and the guard gets no looser until the whole of it was seen and let go.
func (l *Loop) accept(ctx context.Context, cfg *spec.Config, a acceptance, more ...state.Change) error {
	before, err := snapshotNames(ctx, l.o.Store)
	if err != nil {
		return err
	}
	// What cannot be read keeps its parts until a sweep that can read it.
	before, _ = l.w.blobs.withParts(ctx, before)
	blob, err := l.keepSnapshot(ctx, cfg)
	if err != nil {
		return err
	}
	leaving, renamed, err := l.recordGoingOn(ctx, a.goesOn)
	if err != nil {
		return err
	}
	if steps := cfg.Renames(); len(steps) > 0 {
		renamed.Accepted = &renamedIn{Blob: blob, Steps: steps}
	}
	since, err := renamed.packed()
	if err != nil {
		return err
	}
	holding, err := heldNow(a.held)
	if err != nil {
		return err
	}
	guard, err := l.guardAccepted(ctx, cfg.Settings().Guard, a)
	if err != nil {
		return err
	}
	changes := append([]state.Change{{MetaKey: metaAccepted, Meta: []byte(blob)}, {MetaKey: metaLeaving, Meta: leaving}, {MetaKey: metaRenamed, Meta: since}, holding, guard}, more...)
	if changes, err = l.news(ctx, changes); err != nil {
		return err
	}
	if err := l.o.Store.Commit(ctx, changes...); err != nil && l.tidies(ctx, cfg, blob, changes) {
		l.log.Warn("what has come to its end since the configuration was recorded could not be struck off; it stays in force, and that is done with the next one", "error", err)
		return nil
	} else if err != nil {
		return fmt.Errorf("recording the accepted configuration: %w", err)
	}
	return l.dropSnapshots(ctx, before)
}

// news leaves named values out that the state holds already: a start with the
// configuration of before writes nothing, so a full disk does not keep tokend
// from looking after what it has delivered.
func (l *Loop) news(ctx context.Context, changes []state.Change) ([]state.Change, error) {
	var out []state.Change
	for _, c := range changes {
		if c.MetaKey != "" {
			held, err := l.o.Store.Meta(ctx, c.MetaKey)
			if err != nil && !errors.Is(err, state.ErrNotFound) {
				return nil, fmt.Errorf("reading what is recorded of the configuration: %w", err)
			}
			if (err != nil) == (c.Meta == nil) && bytes.Equal(held, c.Meta) {
				continue
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// dropSnapshots drops the configurations that the state referred to before and
// no longer does.
func (l *Loop) dropSnapshots(ctx context.Context, before []string) error {
	now, err := snapshotNames(ctx, l.o.Store)
	if err != nil {
		return err
	}
	if now, err = l.w.blobs.withParts(ctx, now); err != nil {
		l.log.Warn("a configuration in the state cannot be read; what it may need is kept", "error", err)
		return nil
	}
	left := slices.DeleteFunc(before, func(n string) bool { return n == "" || slices.Contains(now, n) })
	if err := l.w.blobs.drop(ctx, left); err != nil {
		l.log.Warn("dropping configurations that are no longer needed failed; it is tried again after a restart", "error", err)
	}
	l.sweepBlobs()
	return nil
}

// compare says what is new, different and gone.
func (l *Loop) compare(ctx context.Context, prev, cfg *spec.Config, o SetOptions) (delta, error) {
	d := delta{first: prev == nil, holds: map[string]map[string]uint64{}}
	if prev != nil {
		changed, gone := cfg.Changed(prev)
		for _, a := range changed {
			d.changed = append(d.changed, string(a))
		}
		for _, a := range gone {
			d.gone = append(d.gone, string(a))
		}
		return d, l.do(ctx, func() { l.keepLast(&d) })
	}
	err := l.compareFirst(ctx, cfg, &d, o)
	return d, err
}

// compareFirst is compare of the first configuration since the start, beside what is
// recorded.
func (l *Loop) compareFirst(ctx context.Context, cfg *spec.Config, d *delta, o SetOptions) error {
	d.all = declared(cfg)
	if l.restored.serial != l.o.Store.Info().Serial { // an order was carried out before
		if err := l.restoreAgain(ctx); err != nil {
			return err
		}
	}
	var stored []string
	if err := l.do(ctx, func() { stored = l.meet(d) }); err != nil {
		return err
	}
	if !o.Dry && !l.o.Paused {
		// Whoever is to be asked first may take an hour, in which places change.
		credentials, _ := cfg.Counts()
		if err := l.w.lookFirst(ctx, d.all[credentials:], d.met[credentials:]); err != nil {
			return fmt.Errorf("reading what the sinks hold: %w", err)
		}
	}
	sort.Strings(d.gone)
	return l.readHoldings(ctx, d, append(stored, d.gone...))
}

// readHoldings reads what the places of changed and gone sinks hold: this is
// the first configuration since the start, and the index does not know yet.
func (l *Loop) readHoldings(ctx context.Context, d *delta, stored []string) error {
	for _, a := range stored {
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
		d.holds[a] = holdings(&rec)
	}
	return nil
}

func declares(c *spec.Config, addr string) bool {
	return c.Declares(spec.Address(addr))
}

// take makes the configuration the one in force, and carries out what was decided
// of who goes on by an earlier one. It runs in the loop's goroutine.
func (l *Loop) take(cfg, last *spec.Config, d delta, v verdict, all []onward, o SetOptions) {
	prev := l.cfg
	l.vacated = nil
	l.cfg, l.changed, l.dry, l.settle = cfg, o.Changed, o.Dry, v.settle
	l.takeLog(v.log)
	l.holdBack(v.held)
	l.config.Store(cfg)
	if l.o.Taken != nil && (prev == nil || !prev.SameSources(cfg)) {
		l.o.Taken(cfg)
	}
	if prev != nil {
		l.unshut(func(lane string) bool { return saidDifferently(prev, cfg, lane) })
	} else {
		l.begun = l.o.Now()
		l.declareAll(d)
	}
	for _, a := range d.changed {
		l.overtake(a, prev)
		if it, ok := l.items[a]; ok && prev == nil && len(d.holds[a]) == 0 {
			l.begin(it) // declared already, and linked
			continue
		}
		l.declare(a, d.holds[a])
	}
	for _, a := range v.moved {
		if it, ok := l.items[a]; ok && (it.x == nil || it.x.before == nil) {
			it.ext().before = d.lastOf(a, last)
		}
	}
	for _, x := range all {
		l.goOn(x, v)
	}
	maps.DeleteFunc(l.odd, func(it *item, _ bool) bool { return !it.isOdd() })
	quiet := o.Changed.Add(v.settle)
	if o.NoSettle {
		quiet = time.Time{}
	}
	for _, a := range d.gone {
		l.undeclare(a, quiet, d.holds[a])
	}
	for _, x := range all {
		l.disturb(x.addr, quiet)
	}
	l.declareHooks(cfg, prev)
	for _, n := range l.q.order {
		l.askLimit(n) // the next change may take its provider away
	}
	for _, it := range l.hooks {
		l.recount(it)
	}
	if prev == nil {
		l.beginFirst()
		return
	}
	l.wakeUnmade()
	for _, a := range d.changed {
		l.recount(l.items[a])
	}
	for _, x := range all {
		if it, ok := l.items[x.addr]; ok {
			l.recount(it)
		}
	}
}

// disturb has a removal that waits for quiet wait anew, or no longer where quiet is
// zero: a person watches, and sees those of earlier changes, too.
func (l *Loop) disturb(addr string, quiet time.Time) {
	it, ok := l.items[addr]
	switch {
	case !ok || !it.gone || it.x == nil || it.x.quiet.IsZero():
	case quiet.IsZero():
		it.x.quiet = quiet
		l.wake(it)
	case it.x.quiet.Before(quiet):
		it.x.quiet = quiet
	}
}

// beginFirst counts what the first pass is to look at.
func (l *Loop) beginFirst() {
	now := l.o.Now().UnixNano()
	for _, it := range l.items {
		if it.phase == ready || it.phase == timed && it.due <= now { // or it came due while nobody looked
			it.first = true
			l.firstLeft++
		}
		l.recount(it)
	}
}

// Disturbed says that the configuration's files were written at a time, though to
// nothing that can be taken over, or that is not in force already: removals that
// wait for quiet wait on.
func (l *Loop) Disturbed(ctx context.Context, at time.Time) error {
	return l.do(ctx, func() {
		now, quiet := l.o.Now(), at.Add(l.settle)
		if l.cfg == nil || !quiet.After(now) {
			return
		}
		for _, it := range l.items {
			if it.gone && it.x != nil && it.x.quiet.After(now) && it.x.quiet.Before(quiet) {
				it.x.quiet = quiet
			}
		}
	})
}
