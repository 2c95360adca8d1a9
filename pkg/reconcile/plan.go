package reconcile

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sort"
	"sync"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Plan is what will be done, as far as that can be known before it is: every
// call is taken to succeed.
type Plan struct {
	// Steps are what one pass does, by address, and in their order for each.
	Steps []Step
	// Later is what waits for its time: old tokens that live on until every
	// sink has let go of them and their overlap is over.
	Later []Step
	// Unknown are addresses of which only a look at a secret tells whether there
	// is something to do: known at apply.
	Unknown []string
	// Now are the decisions of this moment, one for each address that was looked
	// at.
	Now []Step
	// Credentials and Sinks are the numbers of addresses that were considered.
	Credentials int
	Sinks       int
}

// PlanOptions say what a plan is to take for granted.
type PlanOptions struct {
	// NoSecrets has no secret read.
	NoSecrets bool
	// NoSettle plans what a person does who waits for no settle.
	NoSettle bool
	// Allow lets a held change go ahead as SetOptions.Allow would.
	Allow int
	// Unwatched says that nobody tells of what others do to the files of sinks,
	// so that each is looked at.
	Unwatched bool
}

// planHorizon is how far ahead a plan looks for the next try of what failed: an
// apply gives failing steps that long.
const planHorizon = 30 * time.Second

// Plan says what will be done now with everything that is declared and with
// what is left of what no longer is. It decides by the table by which the loop
// decides, again and again on what each step would leave behind, until nothing
// is left to decide. It asks no provider and changes nothing.
func (l *Loop) Plan(ctx context.Context, o PlanOptions) (Plan, error) {
	var p Plan
	f, err := l.look(ctx, o, &p)
	if err != nil {
		return p, err
	}
	f.run()
	f.report(&p)
	return p, nil
}

// look gathers what is to be decided about, and counts what there is.
func (l *Loop) look(ctx context.Context, o PlanOptions, p *Plan) (*forecast, error) {
	var jobs []*job
	f := &forecast{hooks: map[string]*foreseenHook{}}
	err := l.do(ctx, func() {
		f.moves = l.shownMoves()
		now := l.o.Now().UnixNano()
		lifted := l.held != nil && o.Allow > 0 && o.Allow >= l.held.Total()
		for _, it := range l.items {
			switch it.kind {
			case kindCredential:
				p.Credentials++
			case kindSink:
				p.Sinks++
			default:
				f.tell(it)
				continue
			}
			if it.settled(now) && !(o.Unwatched && it.kind == kindSink && l.touched(it)) {
				continue
			}
			jobs = append(jobs, l.planned(it, o, lifted))
		}
	})
	if err != nil {
		return nil, err
	}
	err = l.w.look(ctx, f, jobs)
	for _, n := range f.nodes {
		if n != nil && n.stands.State == Removed {
			p.Credentials--
			f.removed++
		}
	}
	return f, err
}

// planned is what a plan is told of one address.
func (l *Loop) planned(it *item, o PlanOptions, lifted bool) *job {
	j := l.job(it)
	j.order, j.noSecrets, j.dry = nil, o.NoSecrets, true
	if o.NoSettle {
		j.quiet = time.Time{}
	}
	if lifted && j.guarded != "" {
		if j.guarded, j.allowed, j.cfg = "", true, l.cfg; it.gone {
			j.cfg, j.last = nil, it.cfg
		}
	}
	return j
}

// touched says that the file of a sink is not as it was left.
func (l *Loop) touched(it *item) bool {
	w, ok := l.byPath[it.path]
	return !ok || w.it != it || w.stamp != stampOf(it.path)
}

// settled says that a look at the item would find nothing to do, since nothing
// has happened that could be the reason: a credential that is as the
// configuration says sleeps until it is due, and a file that was compared, and
// is watched, holds the tokens in force.
func (it *item) settled(now int64) bool {
	if !it.stored || it.gone || it.cfg != nil || it.again || it.retiring > 0 || it.secret || it.phase == ready || it.phase == running {
		return false
	}
	if x := it.x; x != nil && (x.standing != nil || x.guarded != "" || x.allowed || len(x.orders) > 0) {
		return false
	}
	if it.kind == kindCredential {
		return it.phase == timed && it.due > now && (it.expires == 0 || it.expires > now)
	}
	for _, e := range it.uses {
		if e.holds != e.to.gen || !e.to.settled(now) {
			return false
		}
	}
	return it.looked && it.path != "" && !it.remote
}

// look observes many addresses, on all cores, and keeps of each what deciding
// about it again needs.
func (w *worker) look(ctx context.Context, f *forecast, jobs []*job) error {
	f.nodes = make([]*foreseen, len(jobs))
	ctx = withLook(ctx, &secretLook{waits: true}) // a secret that fails fails once, and not for each
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				f.nodes[i] = w.foresee(ctx, jobs[i])
			}
		}()
	}
	for i := range jobs {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	sort.Slice(f.nodes, func(i, j int) bool { return f.nodes[i].addr < f.nodes[j].addr })
	return nil
}

// foresee looks at one address as a worker does before it acts.
func (w *worker) foresee(ctx context.Context, j *job) *foreseen {
	n := &foreseen{addr: j.addr, kind: j.kind, now: j.now, cause: j.guarded}
	if j.kind == kindSink {
		w.foreseeSink(ctx, j, n)
		return n
	}
	ob, err := w.observe(ctx, j)
	if err != nil {
		n.fails(err)
		return n
	}
	if n.first = Decide(ob.in); n.first.Action == ActVerify {
		n.first.Action = ActNone // it changes nothing, and a plan asks nobody
	}
	n.revokes = !ob.in.revokesAt(n.first).IsZero()
	n.stand(ob.in.since(n.first.State), ob.failing(), func(f *state.Failure) string { return mendFailure(&ob.in, f) })
	n.gen, n.has, n.unsure = ob.in.Record.Head.Generation, ob.in.Record.Grant != nil && !unspent(ob.in.Record.Grant), len(ob.unsure) > 0
	if n.first.Action == ActNone && n.first.State == Ready && len(ob.in.Record.Retiring) == 0 {
		n.rest = n.first
		return n // at rest: nothing that another address does changes that
	}
	in := ob.in
	n.cred, n.failed = &in, []*state.Failure{ob.failing(), in.RefreshFailure}
	if ob.in.Want != nil {
		for _, u := range ob.in.Want.Uses {
			if u.Kind() == "credential" {
				n.names = append(n.names, string(u))
			}
		}
	}
	if n.broken = w.unreadable(ctx, j, n.first); n.first.Action == ActStatic && n.broken == nil {
		n.key = w.foreseenKey(j, ob)
	}
	return n
}

// unreadable says why a grant would fail that is about to be run: an input
// cannot be read. Nothing is asked but the secret's own source.
func (w *worker) unreadable(ctx context.Context, j *job, s Step) error {
	switch s.Action {
	case ActObtain, ActReplace, ActStatic:
	default:
		return nil
	}
	if j.cfg == nil || j.noSecrets {
		return nil
	}
	_, err := j.cfg.Inputs(spec.Address(j.addr), nil, w.scope(ctx, j.cfg))
	if err == nil || missingToken(err) != "" {
		return nil
	}
	return err
}

func (w *worker) foreseeSink(ctx context.Context, j *job, n *foreseen) {
	ob, err := w.observeSink(ctx, j)
	if err != nil {
		n.names, n.known, n.unseen = j.uses, j.holds, j.first && j.stored
		n.fails(err)
		return
	}
	if ob.in.Declared && !ob.in.Checked && ob.held == nil && ob.in.Record.Written != nil && placeOf(ob.in.Record.Written) != "" {
		// Where it shall be is known without its tokens.
		place := placeWanted(j, ob)
		ob.in.Moved = place != "" && place != placeOf(ob.in.Record.Written)
	}
	n.first = DecideSink(ob.in)
	if n.place = placeOf(ob.in.Record.Written); n.place == "" && ob.in.Declared {
		n.place = placeWanted(j, ob)
	}
	n.stand(ob.in.since(n.first.State), ob.in.failing(), func(f *state.Failure) string { return mendSink(&ob.in, f) })
	n.left = ob.left
	n.leaves = w.leftPlace(ctx, j, placeOf(ob.in.Record.Written))
	left := ob.in.Record.Leaving
	n.again = j.first && !ob.recorded() && (ob.in.Another || len(ob.in.Newer) > 0 || ob.in.Changed || len(elsewhere(left, ob.desired.Place)) < len(left)) // as mayBeAnother has it
	notifies := j.cfg
	if notifies == nil {
		notifies = j.last
	}
	if ob.held != nil {
		x, recorded := w.exported()
		n.names, n.notify = ob.held, x.sink(recorded(j.addr)).Hooks
		for _, c := range n.names {
			n.seen = append(n.seen, ob.gens[c])
		}
		notifies = nil
	} else if by := cmp.Or(ob.keptBy(), j.cfg); by != nil {
		uses, _ := by.Uses(spec.Address(j.addr)) // it was declared a moment ago
		for _, u := range uses {
			n.unsure = n.unsure || u.Kind() == "secret" && ob.in.Deferred
			if u.Kind() == "credential" {
				n.names = append(n.names, string(u))
				n.seen = append(n.seen, generationOf(j, string(u)))
			}
		}
	}
	if notifies != nil {
		if s, err := notifies.Sink(spec.Address(j.addr)); err == nil {
			for _, h := range s.Notify {
				n.notify = append(n.notify, string(h))
			}
		}
	}
	if ob.in.Keeps {
		n.notify = nil
		for _, h := range ob.want.Notify {
			n.notify = append(n.notify, string(h))
		}
	}
	if j.first && ob.in.Stored {
		n.untold = declaredHooks(ob.in.Record.Notify, j.force, notifies)
	}
	if !ob.in.Declared {
		n.notify = append(n.notify, declaredHooks(ob.in.Record.Notify, j.force, notifies)...)
		if x, _ := w.exported(); x != nil {
			n.notify = append(n.notify, x.sink(j.addr).Hooks...) // whatever the checkout says of them
		}
	}
	n.unsure = n.unsure || ob.unsure
	if in := &ob.in; in.Declared && !w.o.Away {
		n.wanted = n.place
		if in.Moved {
			n.wanted = placeWanted(j, ob)
		}
		if in.Record.Written == nil || in.Moved {
			if in.Foreign = w.stands(n.wanted); in.Foreign != "" {
				in.Becomes = becomes(j, ob)
			}
		}
	}
	if len(ob.in.Awaits) > 0 {
		n.next = placeWanted(j, ob)
	}
	n.written, n.had, n.with, n.away = written(&ob.in.Record), slices.Clone(n.seen), w.comparedWith(ctx, j, ob), w.o.Away || j.noSecrets
	in := ob.in
	n.sink = &in
}

// placeWanted is where a sink shall be, as far as that is known without the
// tokens and secrets that it names.
func placeWanted(j *job, ob *observedSink) string {
	s, err := j.cfg.Sink(spec.Address(j.addr))
	if err != nil {
		return ""
	}
	d, _ := ob.kind.Render(s.Static) // what it shall hold is not known
	return d.Place
}

// becomes is how what somebody else put at a sink's place changes when it is written,
// as far as this host tells.
func becomes(j *job, ob *observedSink) string {
	s, err := j.cfg.Sink(spec.Address(j.addr))
	if err != nil {
		return ""
	}
	d, _ := ob.kind.Render(s.Static)
	return sinks.Becomes(ob.kind, d)
}

// declaredHooks are those of some hooks that a configuration declares: of what
// is declared nowhere any more there is nothing to run.
func declaredHooks(names []string, in ...*spec.Config) []string {
	return slices.DeleteFunc(slices.Clone(names), func(h string) bool {
		return !slices.ContainsFunc(in, func(c *spec.Config) bool { return c != nil && declares(c, h) })
	})
}

// generationOf is the generation in force of a credential that a sink names.
func generationOf(j *job, credential string) uint64 {
	if i := slices.Index(j.uses, credential); i >= 0 {
		return j.gens[i]
	}
	return 0
}
