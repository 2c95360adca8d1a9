package reconcile

import (
	"slices"
	"time"

	"tokend/pkg/spec"
)

// declareAll makes an item of everything declared, at the first configuration:
// unchanged credentials sleep until they are due, sinks are looked at.
func (l *Loop) declareAll(d delta) {
	if by := l.o.Written.Sub(l.o.Now()); by >= setBackNoticed && !l.dry {
		l.log.Warn("the clock was set back since the state was written last; what was recorded by the clock of then is looked at soon", "by_at_least", by.Round(time.Second))
	}
	if d.drops != l.drops {
		for i := range d.met {
			d.met[i] = met{} // what they led to may be something else now
		}
	}
	for i := range d.met {
		m, a := &d.met[i], string(d.all[i].Addr)
		if m.it == nil {
			m.it = l.item(a, kindOf(a))
		}
		m.it.gone, m.it.cfg, m.it.row = false, nil, 0
	}
	var paths []string
	if len(l.byPath) == 0 {
		l.byPath = make(map[string]watched, countIntact(d.met))
	}
	for i := range d.met {
		m := &d.met[i]
		it := m.it
		l.linkMet(m, &d.all[i])
		switch {
		case m.intact != nil && it.x == nil:
			paths = l.takeIntact(it, m.intact, paths)
		case it.kind == kindSink:
			l.begin(it)
		case it.due == 0 || !it.stored || it.phase == running: // it is being moved: then it is looked at anyway
			l.wake(it)
		default:
			at := l.firstLookAt(it)
			it.glances = nanos(at) < it.due
			l.q.at(it, at)
		}
	}
	if len(paths) > 0 && l.o.PathsChanged != nil {
		l.o.PathsChanged(paths, nil)
	}
	l.restored = restored{}
}

func countIntact(found []met) (n int) {
	for i := range found {
		if found[i].intact != nil {
			n++
		}
	}
	return n
}

// linkMet is linkTo of what was met, with the edges that were found then.
func (l *Loop) linkMet(m *met, row *spec.Declared) {
	it := m.it
	if len(m.uses) == 0 || len(it.uses) > 0 {
		l.linkTo(it, namingOf(row), nil)
		return
	}
	it.secret, it.uses = false, m.uses // they are credentials, all of them
	for i := range it.uses {
		it.uses[i].holds = 0
		it.uses[i].to.users = append(it.uses[i].to.users, it)
	}
}

// firstLookAt is when a credential whose token is still fresh is looked at after
// a start: when it is due, but soon where the API is to be asked about it, or
// where the clock was set back while tokend did not run.
func (l *Loop) firstLookAt(it *item) time.Time {
	at := fromNanos(it.due)
	if it.x != nil && it.x.measured != nil {
		at = earlier(at, l.o.Now().Add(time.Duration(fraction(it.addr, l.o.Host)*float64(maxSleep))))
	}
	if now := l.o.Now(); l.o.Written.Sub(now) >= setBackNoticed {
		at = earlier(at, now.Add(l.lookStepped(it, len(l.items))))
	}
	return at
}

func kindOf(addr string) itemKind {
	if spec.Address(addr).Kind() == "sink" {
		return kindSink
	}
	return kindCredential
}

// declare brings an item in line with what the configuration says of it now; see
// [Loop.goOn] for what is held of that.
func (l *Loop) declare(addr string, holds map[string]uint64) {
	it := l.item(addr, kindOf(addr))
	it.gone, it.removing = false, false
	it.returns(l.o.Now())
	l.link(l.cfg, it, holds)
	l.begin(it)
}

// overtake notes by which configuration a sink is being worked on that the new one
// says differently: it may just get its first place, which nobody could judge yet.
func (l *Loop) overtake(addr string, prev *spec.Config) {
	if it, ok := l.items[addr]; ok && it.kind == kindSink && it.phase == running && it.cfg == nil && prev != nil && (it.x == nil || it.x.before == nil) {
		it.ext().before = prev
	}
}

// overtaken forgets by what a sink was at another place, once a look that knew of
// the change has left nothing to be done for that.
func (it *item) overtaken(r *result) {
	if it.x != nil && r.record && !r.unjudged && !it.again && r.standing == nil {
		it.x.before = nil
	}
}

// livesOnBy is the configuration that declared a sink at its place, where the one
// in force has another place for it.
func (it *item) livesOnBy(cfg *spec.Config) *spec.Config {
	if it.x != nil && it.x.before != nil {
		return it.x.before
	}
	return cfg
}

// begin has a declared item looked at, but for a sink that was never written
// and names a credential without a token: that one's first token wakes it.
func (l *Loop) begin(it *item) {
	lacks := it.lacks()
	if lacks == nil {
		l.wake(it)
	} else if lacks.stored {
		l.wake(lacks) // it may have what it needs to get one, and wait for somebody to need it
	}
}

// link makes the index edges of an item: to the credentials that it names and
// to those whose token its place still holds. A credential gets into its
// provider's lane.
func (l *Loop) link(cfg *spec.Config, it *item, holds map[string]uint64) {
	n, _ := names(cfg, spec.Address(it.addr), usesOf(cfg, it))
	l.linkTo(it, n, holds)
}

// usesOf is what a sink names; what is not declared names nothing.
func usesOf(cfg *spec.Config, it *item) []spec.Address {
	if it.kind != kindSink {
		return nil // it comes with what else is to be known of a credential
	}
	uses, _ := cfg.Uses(spec.Address(it.addr))
	return uses
}

// linkTo is link to what is known already.
func (l *Loop) linkTo(it *item, n naming, holds map[string]uint64) {
	names := n.names
	if it.kind == kindSink || n.lane != "" {
		it.secret = n.secret
	}
	if n.lane != "" {
		l.q.move(it, l.q.lane(n.lane))
	}
	if len(it.uses) == 0 && len(holds) == 0 {
		l.linkFirst(it, names)
		return
	}
	had := map[*item]uint64{}
	for _, e := range it.uses {
		had[e.to] = e.holds
	}
	var uses []edge
	at := map[*item]int{}
	put := func(u *item, gen uint64) {
		if _, ok := at[u]; !ok {
			at[u] = len(uses)
			uses = append(uses, edge{u, gen})
		}
	}
	for _, n := range names {
		if n.Kind() == "credential" {
			if u, ok := l.items[string(n)]; ok && u != it {
				put(u, had[u])
			}
		}
	}
	for _, e := range it.uses {
		if e.holds > 0 {
			put(e.to, e.holds)
		}
	}
	for a, gen := range holds {
		if u, ok := l.items[a]; ok {
			put(u, gen)
			uses[at[u]].holds = gen
		}
	}
	for _, e := range it.uses {
		if _, ok := at[e.to]; !ok {
			e.to.users = without(e.to.users, it)
		}
	}
	for _, e := range uses {
		if _, ok := had[e.to]; !ok {
			e.to.users = append(e.to.users, it)
		}
	}
	it.uses = uses
}

// linkFirst is link of an item that has no edges yet, as most have at a start.
func (l *Loop) linkFirst(it *item, names []spec.Address) {
	for _, n := range names {
		if n.Kind() != "credential" {
			continue
		}
		if u, ok := l.items[string(n)]; ok && u != it {
			it.uses = append(it.uses, edge{to: u})
			u.users = append(u.users, it)
		}
	}
}

func leads(uses []edge, u *item) bool {
	return slices.ContainsFunc(uses, func(e edge) bool { return e.to == u })
}

// undeclare begins the end of an item that the configuration no longer declares,
// and that goes on by the one that did.
func (l *Loop) undeclare(addr string, quiet time.Time, holds map[string]uint64) {
	it, ok := l.items[addr]
	if !ok {
		return
	}
	it.ext().quiet = quiet
	if holds != nil && it.cfg != nil {
		l.link(it.cfg, it, holds)
	}
	l.wake(it)
}
