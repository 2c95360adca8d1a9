package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"tokend/pkg/spec"
)

// onward is by which configuration an address goes on where the one in force says
// nothing of it, or not what is done now, and why: it is gone, since a removal may
// take its time, and after a restart it still needs the hook or the Vault block that
// went in the same change; it is held back; or it is a sink that may wait for what
// only another grant has. A change decides it once ([onward.after]), records it with
// what else it makes so, and then carries it out as it was recorded.
type onward struct {
	addr string
	// kept: the state has a record of it, or has one by the time that whoever works on
	// it is done.
	kept    bool
	gone    bool         // nothing declares it
	held    string       // why the guard holds its change back; "": it does not
	by      *spec.Config // that declared it, where it is gone or held; nil: that is not known
	lost    lostConfig   // why not
	earlier *spec.Config // of a sink: extra.earlier
	before  *spec.Config // of a sink: extra.before, which says what its earlier place may hold
	// wrote is what earlier becomes where a look finds, before this is carried out,
	// that the sink waits for nothing any more by what is earlier until then.
	wrote *spec.Config
}

// turned is what a change makes of an address.
type turned struct {
	declared bool
	went     bool         // it was declared until this change
	held     string       // as onward has it
	last     *spec.Config // that declared it until this change
	lost     lostConfig   // why that is not known
	wrote    *spec.Config // of a changed sink that may name what is not there yet: that wrote it
}

// after is by what an address goes on once a change has been taken over.
func (o onward) after(c turned) onward {
	o.gone, o.held = !c.declared, c.held
	switch {
	case c.declared:
		o.lost = lostConfig{}
	case c.lost != (lostConfig{}):
		o.lost = c.lost
	}
	switch {
	case c.declared && c.held == "":
		o.by = nil // the one in force
	case o.by == nil && (c.declared || c.went):
		o.by = c.last
	}
	o.earlier, o.wrote = cmp.Or(o.earlier, c.wrote), c.wrote
	return o
}

// onwardNow is what an address goes on by as things are.
func onwardNow(it *item) onward {
	o := onward{addr: it.addr, kept: it.stored && !(it.gone && it.remains) || it.phase == running, gone: it.gone, by: it.cfg}
	if it.x != nil {
		o.held, o.lost, o.earlier, o.before = it.x.guarded, it.x.lost, it.x.earlier, it.x.before
	}
	return o
}

// goesOnNow is what goes on by earlier configurations as things are. It runs in the
// loop's goroutine.
func (l *Loop) goesOnNow() (all []onward) {
	for it := range l.odd {
		all = append(all, onwardNow(it))
	}
	return all
}

// goesOnThen is that of all addresses that a change concerns, once it has been taken
// over, by address. It runs in the loop's goroutine.
func (l *Loop) goesOnThen(cfg, last *spec.Config, d delta, v verdict) (all []onward) {
	const asBefore, changed, went = 1, 2, 3
	how := map[*item]int{}
	touch := func(addr string, as int) {
		if it, ok := l.items[addr]; ok && it.kind != kindHook {
			how[it] = max(how[it], as)
		}
	}
	for _, a := range d.changed {
		touch(a, changed)
	}
	for _, a := range d.gone {
		touch(a, went)
	}
	for _, let := range []map[string]bool{v.allowed, v.blocked} {
		for a := range let {
			touch(a, asBefore)
		}
	}
	for it := range l.odd {
		touch(it.addr, asBefore)
	}
	moved := map[string]bool{}
	for _, a := range v.moved {
		moved[a] = true
	}
	for it, as := range how {
		o := onwardNow(it)
		c := turned{declared: declares(cfg, it.addr), went: as == went, last: d.lastOf(it.addr, last), lost: d.lost[it.addr]}
		if as == asBefore {
			c.last = it.livesOnBy(c.last)
		}
		if v.blocked[it.addr] {
			c.held = v.held.Reason
		}
		if as == changed && moved[it.addr] && o.before == nil {
			o.before = c.last // its last write there may be under way, and no record tells of it yet
		}
		if as == changed && o.kept {
			if was := d.wroteBy(it.addr, last); l.mayAwait(it, cfg, was, d.first, v.blocked) {
				c.wrote = was
			}
		}
		all = append(all, o.after(c))
	}
	slices.SortFunc(all, func(a, b onward) int { return strings.Compare(a.addr, b.addr) })
	return all
}

// goOn carries out what was decided of an address, and lets go what the guard has let.
// It runs in the loop's goroutine.
func (l *Loop) goOn(o onward, v verdict) {
	it, ok := l.items[o.addr]
	if !ok {
		return // nothing was left of it by now
	}
	it.gone, it.cfg = o.gone, o.by
	if it.x != nil || o.lost != (lostConfig{}) {
		it.ext().lost = o.lost
	}
	if o.wrote != nil && (it.x == nil || it.x.earlier == nil) {
		it.ext().earlier = o.wrote
	}
	switch {
	case o.held != "":
		x := it.ext()
		x.allowed, x.guarded = false, o.held
		if it.kind == kindSink && !it.gone && it.cfg != nil {
			l.link(it.cfg, it, nil) // its place stays, with what that names
		}
		l.wake(it)
	case v.allowed[o.addr]:
		x := it.ext()
		x.allowed, x.agreed = true, v.agreed[o.addr]
		l.unhold(it)
		l.wake(it)
	case it.x != nil && it.x.guarded != "":
		it.x.allowed = false
		l.unhold(it)
		l.wake(it)
	case it.x != nil:
		it.x.allowed = false
	}
	if it.isOdd() {
		l.odd[it] = true
	}
}

// isOdd says that an item is gone, held back, let go, or may wait for a grant.
func (it *item) isOdd() bool {
	return it.gone || it.x != nil && (it.x.guarded != "" || it.x.allowed || it.x.earlier != nil)
}

// unhold lets an item whose change was held follow the configuration in force.
func (l *Loop) unhold(it *item) {
	if it.x.guarded == "" {
		return
	}
	if it.x.guarded = ""; !it.gone {
		it.cfg = nil
		l.link(l.cfg, it, nil)
	}
}

// recordGoingOn has the configurations kept that something lives on by, and returns
// the named values that say so.
func (l *Loop) recordGoingOn(ctx context.Context, all []onward) (leaving []byte, renamed renamedSince, err error) {
	named, by := map[string][]string{}, map[*spec.Config][]string{}
	for _, o := range all {
		if o.gone && o.kept && o.lost.blob != "" { // it may be readable one day, and what it declared waits
			named[o.lost.blob] = append(named[o.lost.blob], o.addr)
		}
		if (o.gone || o.held != "") && o.kept && o.by != nil {
			by[o.by] = append(by[o.by], o.addr)
		} else if was := cmp.Or(o.earlier, o.before); was != nil {
			by[was] = append(by[was], o.addr)
		}
	}
	for cfg, addrs := range by {
		blob, err := l.keepSnapshot(ctx, cfg)
		if err != nil {
			return nil, renamed, err
		}
		named[blob] = append(named[blob], addrs...)
		if steps := cfg.Renames(); len(steps) > 0 {
			slices.Sort(addrs)
			renamed.Leaving = append(renamed.Leaving, renamedIn{Blob: blob, Steps: steps, Of: addrs})
		}
	}
	for _, addrs := range named {
		slices.Sort(addrs)
	}
	slices.SortFunc(renamed.Leaving, func(a, b renamedIn) int { return strings.Compare(a.Of[0], b.Of[0]) })
	leaving, err = json.Marshal(named)
	return leaving, renamed, err
}
