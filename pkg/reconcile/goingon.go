package reconcile

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"tokend/pkg/spec"
)

// goingOn is what lives on by an earlier configuration: a removal may take its time,
// and after a restart it still needs the hook or the Vault block that went in the
// same change; and what is held, or waits for a grant, goes on by it.
type goingOn struct {
	by   map[*spec.Config][]string
	lost map[string][]string // by the content that cannot be read: it may be one day, and what it declared waits
}

// add takes an item in: gone or held by on, or with earlier in reserve.
func (x *goingOn) add(it *item, gone, held bool, on, earlier *spec.Config, lost string) {
	if x.by == nil {
		x.by, x.lost = map[*spec.Config][]string{}, map[string][]string{}
	}
	if gone && it.stored && lost != "" {
		x.lost[lost] = append(x.lost[lost], it.addr)
	}
	if (gone || held) && it.stored && on != nil {
		x.by[on] = append(x.by[on], it.addr)
	} else if earlier != nil {
		x.by[earlier] = append(x.by[earlier], it.addr)
	}
}

// goesOnNow is what does as things are. It runs in the loop's goroutine.
func (l *Loop) goesOnNow() goingOn {
	var x goingOn
	for it := range l.odd {
		if it.x == nil {
			x.add(it, it.gone, false, it.cfg, nil, "")
			continue
		}
		x.add(it, it.gone, it.x.guarded != "", it.cfg, it.x.earlier, it.x.lost.blob)
	}
	return x
}

// goesOnThen is what will once [Loop.take] has taken a configuration over. It runs
// in the loop's goroutine.
func (l *Loop) goesOnThen(cfg, last *spec.Config, d delta, v verdict) goingOn {
	var x goingOn
	d.last = maps.Clone(d.last) // what leaves until it is taken over is not to be in it
	for _, a := range d.changed {
		if it, ok := l.items[a]; ok && !d.first {
			d.keepLast(it) // as take does
		}
	}
	seen := map[*item]bool{}
	one := func(it *item, changed bool) {
		if it == nil || seen[it] || it.kind == kindHook {
			return
		}
		seen[it] = true
		a := it.addr
		gone, held := !declares(cfg, a), v.blocked[a]
		on, lost := it.cfg, ""
		var earlier *spec.Config
		if it.x != nil {
			earlier, lost = it.x.earlier, it.x.lost.blob
		}
		if now, ok := d.lost[a]; ok {
			lost = now.blob
		}
		switch {
		case gone && on == nil, held && on == nil:
			on = d.lastOf(a, last)
		case !gone && !held:
			on = nil
		}
		if changed && earlier == nil {
			if was := d.wroteBy(a, last); l.mayAwait(it, cfg, was, d.first, v.blocked) {
				earlier = was
			}
		}
		x.add(it, gone, held, on, earlier, lost)
	}
	for _, a := range d.changed {
		one(l.items[a], true)
	}
	for _, a := range d.gone {
		one(l.items[a], false)
	}
	for a := range v.blocked {
		one(l.items[a], false)
	}
	for it := range l.odd {
		one(it, false)
	}
	return x
}

// mayAwait says that a sink, written by an earlier configuration, may name what only
// a grant will have that is not there yet.
func (l *Loop) mayAwait(it *item, cfg, was *spec.Config, first bool, held map[string]bool) bool {
	if it.kind != kindSink || !it.stored || was == nil || !declares(was, it.addr) {
		return false
	}
	named, _ := cfg.Uses(spec.Address(it.addr)) // what cannot be told is the look's to say
	for _, e := range it.uses {
		named = append(slices.Clip(named), spec.Address(e.to.addr))
	}
	for _, a := range named {
		if a.Kind() != "credential" {
			continue
		}
		c := l.items[string(a)]
		unsettled := first || held[string(a)] || c != nil && c.x != nil && (c.x.guarded != "" || c.x.standing != nil)
		if cfg.GivesMore(a, was) || unsettled && cfg.HasOutputs(a) {
			return true
		}
	}
	return false
}

// recordGoingOn has the configurations kept that something lives on by, and returns
// the named values that say so.
func (l *Loop) recordGoingOn(ctx context.Context, x goingOn) (leaving []byte, renamed renamedSince, err error) {
	named := map[string][]string{}
	for blob, addrs := range x.lost {
		named[blob] = slices.Clone(addrs)
	}
	for cfg, addrs := range x.by {
		blob, err := l.keepSnapshot(ctx, cfg)
		if err != nil {
			return nil, renamed, err
		}
		named[blob] = append(named[blob], addrs...)
		if names := cfg.Names(); len(names) > 0 {
			slices.Sort(addrs)
			renamed.Leaving = append(renamed.Leaving, renamedIn{Blob: blob, Names: names, Of: addrs})
		}
	}
	for _, addrs := range named {
		slices.Sort(addrs)
	}
	slices.SortFunc(renamed.Leaving, func(a, b renamedIn) int { return strings.Compare(a.Of[0], b.Of[0]) })
	leaving, err = json.Marshal(named)
	return leaving, renamed, err
}
