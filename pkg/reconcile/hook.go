package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"tokend/pkg/hooks"
	"tokend/pkg/spec"
)

// declareHooks makes an item of every hook, and takes up what a sink's record
// says has not run yet. A hook that is gone is forgotten once nothing waits
// for it.
func (l *Loop) declareHooks(cfg, before *spec.Config) {
	for _, a := range cfg.Hooks() {
		it := l.item(string(a), kindHook)
		it.gone, it.cfg = false, nil
		l.q.move(it, l.q.lane("hook:"+string(a)))
		l.hooks[string(a)] = it
	}
	for a, it := range l.hooks {
		if _, ok := cfg.Digest(spec.Address(a)); ok {
			continue
		}
		if len(it.ext().pending) == 0 && it.phase != running {
			l.forget(it)
			l.w.programs.forget(a)
			it.counted = l.uncount(it)
			continue
		}
		if it.cfg == nil {
			it.cfg = before // what it has to tell still, it tells as it was declared
		}
		// Its last run does not wait for minutes; its sinks are looked at before it.
		if soon := l.o.Now().Add(lookAgain); !it.gone && it.phase == timed && it.x.failures > 0 && soon.Before(fromNanos(it.due)) {
			l.q.at(it, soon)
		}
		it.gone = true
	}
}

// notify has a hook run soon because a sink changed, also where it failed before
// and is to be tried again later. More changes within its debounce are one run.
func (l *Loop) notify(hook, sink string) {
	it := l.item(hook, kindHook)
	l.hooks[hook] = it
	l.q.move(it, l.q.lane("hook:"+hook))
	x := it.ext()
	if x.pending == nil {
		x.pending = map[string][]*item{}
	}
	// What it named at an earlier change waits for the same run.
	named := x.pending[sink]
	if s, ok := l.items[sink]; ok {
		for _, c := range s.named() {
			if !slices.Contains(named, c) {
				named = append(named, c)
			}
		}
	}
	x.pending[sink] = named
	if it.cfg == nil {
		if _, ok := l.digestOf(hook); !ok {
			it.cfg = l.lastOf(sink)
			it.gone = true
		}
	}
	if it.phase == running {
		// The run under way may have looked before this change.
		if it.again = true; x.anew == nil {
			x.anew = map[string]bool{}
		}
		x.anew[sink] = true
		return
	}
	// One that failed may do with what is new now: it does not wait for its turn
	// to be tried again.
	at := l.o.Now().Add(l.debounce(it))
	if it.phase == idle || it.phase == timed && x.failures > 0 && at.Before(fromNanos(it.due)) {
		l.q.at(it, at)
	}
}

// waitsFor says that a hook is about to run for a sink, or runs for it.
func (l *Loop) waitsFor(hook, sink string) bool {
	h := l.hooks[hook]
	if h == nil || h.x == nil {
		return false
	}
	_, waits := h.x.pending[sink]
	return waits
}

// telling lists the hooks that are about to tell consumers of what changed in
// the sinks of a credential. One that fails holds nothing up.
func (l *Loop) telling(c *item) []string {
	var names []string
	for a, h := range l.hooks {
		if h.x == nil || h.x.failures > 0 {
			continue
		}
		for _, uses := range h.x.pending {
			if slices.Contains(uses, c) {
				names = append(names, a)
				break
			}
		}
	}
	return names
}

func (l *Loop) digestOf(addr string) ([16]byte, bool) {
	if l.cfg == nil {
		return [16]byte{}, false
	}
	return l.cfg.Digest(spec.Address(addr))
}

// lastOf is the configuration that last declared an item.
func (l *Loop) lastOf(addr string) *spec.Config {
	if it, ok := l.items[addr]; ok {
		return it.cfg
	}
	return nil
}

func (l *Loop) debounce(it *item) time.Duration {
	cfg := l.configOf(it)
	if cfg == nil {
		cfg = it.cfg
	}
	if cfg == nil || l.o.HookDebounce == nil {
		return 0
	}
	b, err := cfg.Hook(spec.Address(it.addr), spec.Scope{})
	if err != nil {
		return 0
	}
	return l.o.HookDebounce(b.Args)
}

// takeHook takes over which sinks' changes a hook has answered.
func (l *Loop) takeHook(it *item, r *result) {
	if it.x == nil {
		return
	}
	it.x.failures = r.failures
	answered := r.ran
	if r.failed {
		answered = slices.Collect(maps.Keys(it.x.pending))
	}
	for _, s := range answered {
		for _, c := range it.x.pending[s] {
			if c.gone || c.retiring > 0 {
				l.wake(c)
			}
		}
	}
	for _, s := range r.ran {
		if !it.x.anew[s] {
			delete(it.x.pending, s)
		}
		l.wakeUntold(s)
	}
	for _, s := range r.tried {
		l.wakeUntold(s) // those tries that follow need no record
	}
	it.x.anew = nil
	if len(it.x.pending) == 0 {
		it.again = false
	} else if !r.failed && len(r.waits) == 0 {
		it.again = true
	}
}

// wakeUntold has a removed sink looked at whose record was kept for a hook. One that
// lives on because its removal is held back has nothing to do for that: where the
// disk takes nothing it would be written again, and run its hook again.
func (l *Loop) wakeUntold(addr string) {
	if s := l.items[addr]; s != nil && s.gone && (s.x == nil || s.x.guarded == "") {
		l.wake(s)
	}
}

const (
	hookRetryInitial = time.Second
	hookRetryMax     = 5 * time.Minute
)

// errHookGone: a hook has failed that went from the configuration with its sinks. What
// it would tell may have gone too, so that was its last run.
var errHookGone = errors.New("it is no longer declared, and is not run again")

// workHook runs one hook for the sinks that changed. At least once: what it
// has answered is written down only after it succeeded, and a start takes up
// what was not.
func (w *worker) workHook(ctx context.Context, j *job) *result {
	r := &result{item: j.item, lane: j.lane}
	if len(j.pending) == 0 {
		j.order.finish(nil)
		r.order = j.order
		return r
	}
	sort.Strings(j.pending)
	w.runs.begin(j.addr)
	defer w.runs.end(j.addr)
	if untold := j.untold(); len(untold) > 0 {
		return w.dropHook(ctx, j, untold)
	}
	if sinks := w.toBeTold(ctx, j); len(sinks) > 0 {
		return w.waitsForRemoval(j, sinks)
	}
	began := w.now()
	err := w.runHook(ctx, j)
	if rd := pendingOf(err); rd != nil {
		return j.waitsForSecret(rd)
	}
	if err != nil && w.isStopped() {
		// Cut short by the stop: the sinks' records keep it for the next start.
		j.order.finish(errStopping)
		r.order = j.order
		return r
	}
	if w.o.Observe != nil {
		class := "ok"
		if err != nil {
			class = "failed"
		}
		w.o.Observe(Event{Address: j.addr, Type: typeOf(j.addr), Op: "hook", Class: class, Took: w.now().Sub(began)})
	}
	n := j.failures + 1
	var last error // of its last run
	if err != nil && j.cfg == nil {
		w.log.Error("a hook that is no longer declared has failed and is not run again", "address", j.addr, "error", err)
		last, err = fmt.Errorf("%w; %w", err, errHookGone), nil
	}
	if err == nil {
		err = w.answered(ctx, j)
	}
	r.order = j.order
	j.order.finish(cmp.Or(err, last))
	if err != nil {
		r.failed, r.tried = true, w.tried(ctx, j)
		wait := backoff(spec.RetryPolicy{Initial: hookRetryInitial, Max: hookRetryMax}, n, draw(fraction(j.addr, w.o.Host), n, w.now()))
		r.failures = n
		r.next = w.now().Add(wait)
		r.standing = &Standing{State: Failing, Why: err.Error(), Next: "run again at " + r.next.UTC().Format(time.RFC3339), Mend: "tokend retry " + ShellAddress(j.addr)}
		w.log.Warn("a hook failed", "address", j.addr, "error", err, "again_at", r.next)
		return r
	}
	if last == nil {
		w.log.Info("hook", "address", j.addr, "sinks", list(j.pending))
	}
	r.ran = j.pending
	return r
}

// untold lists the sinks of whose change a hook that is declared no longer is not run:
// once it failed, those that are declared, and so name it no longer; and all where it is
// not known what it did. What else it had to tell it tells as it was declared.
func (j *job) untold() []string {
	if j.cfg != nil || j.force == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(j.pending), func(sink string) bool {
		return j.last != nil && (j.failures == 0 || !declares(j.force, sink))
	})
}

// toBeTold lists the sinks whose removal a hook is still to tell: one that failed and
// went with them has its last run then.
func (w *worker) toBeTold(ctx context.Context, j *job) []string {
	if j.cfg != nil || j.failures == 0 || j.order != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(j.pending), func(sink string) bool {
		rec, err := w.store.Sink(ctx, sink)
		return (err != nil || rec.Written == nil) && !slices.Contains(j.leaving, sink)
	})
}

// waitsForRemoval is the result of a look at a hook whose last run comes once its sinks
// are removed.
func (w *worker) waitsForRemoval(j *job, sinks []string) *result {
	why := "it failed, and is no longer declared: it is run once more when " + list(sinks) + " is removed"
	return &result{item: j.item, lane: j.lane, failed: true, failures: j.failures, next: w.now().Add(lookAgain),
		standing: &Standing{State: Waiting, Why: why, Next: why, Mend: "tokend retry " + ShellAddress(j.addr)}}
}

// dropHook strikes out what a hook was still to tell of sinks, without a run. What is
// left for it to tell has a run of its own after that.
func (w *worker) dropHook(ctx context.Context, j *job, sinks []string) *result {
	r := &result{item: j.item, lane: j.lane, order: j.order}
	j.pending = sinks
	if err := w.answered(ctx, j); err != nil {
		r.failed, r.failures = true, j.failures+1
		r.next = w.now().Add(backoff(spec.RetryPolicy{Initial: hookRetryInitial, Max: hookRetryMax}, r.failures, draw(fraction(j.addr, w.o.Host), r.failures, w.now())))
		j.order.finish(err)
		return r
	}
	w.log.Info("a hook that is no longer declared is not run", "address", j.addr, "sinks", list(sinks))
	r.ran = sinks
	j.order.finish(nil)
	return r
}

func (w *worker) runHook(ctx context.Context, j *job) error {
	ctx, cancel := w.untilStop(ctx)
	defer cancel()
	cfg := j.cfg
	if cfg == nil {
		cfg = j.last
	}
	b, err := cfg.Hook(spec.Address(j.addr), w.scope(ctx, cfg))
	if err != nil {
		return err
	}
	kind, ok := w.o.Hooks[b.Kind]
	if !ok {
		return fmt.Errorf("there is no kind of hook %q", b.Kind)
	}
	changed := make([]spec.Address, len(j.pending))
	for i, s := range j.pending {
		changed[i] = spec.Address(s)
	}
	end, err := w.programs.begin(ctx, j.addr, hooks.Timeout(b.Kind, b.Args))
	if err != nil {
		return err
	}
	defer end()
	return kind.Run(hooks.WithAddress(ctx, spec.Address(j.addr)), b.Args, changed)
}

func without1(list []string, s string) []string {
	out := make([]string, 0, len(list))
	for _, x := range list {
		if x != s {
			out = append(out, x)
		}
	}
	return out
}
