package watch

import "strings"

// place is one directory as the paths of the groups spell it: for the path
// /run/x/token the place /run/x with the name token. A path that is a directory
// itself is a place as well, and asks for the whole of it.
type place struct {
	dir   string // as it is spelled
	way   way    // as it resolves
	names map[*group]map[string]sum
	whole map[*group]sum
	links map[string]*link // of the names, and of all entries where the whole is asked for, those that are symbolic links
	// blind says why changes here may go without an event; empty where they do not.
	blind string
}

// link is an entry of a place that leads elsewhere.
type link struct {
	place *place
	name  string
	hops  []hop // behind the entry itself
}

// real is the directory to look into; empty when there is none.
func (p *place) real() string {
	if !p.way.dir {
		return ""
	}
	return p.way.real
}

// asked reports whether some group names the entry.
func (p *place) asked(name string) bool {
	for _, names := range p.names {
		if _, ok := names[name]; ok {
			return true
		}
	}
	return false
}

// needed reports whether some group still asks for anything here.
func (p *place) needed() bool { return len(p.names) > 0 || len(p.whole) > 0 }

// placeOf returns the place, made if it is new. A new one is not armed.
func (w *Watcher) placeOf(dir string) (p *place, made bool) {
	if p, ok := w.places[dir]; ok {
		return p, false
	}
	p = &place{dir: dir, names: map[*group]map[string]sum{}, whole: map[*group]sum{}, links: map[string]*link{}}
	w.places[dir] = p
	return p, true
}

// maxRaces bounds how often a way is followed anew because it changed while it
// was being armed; whoever exchanges directories faster is caught by the rescan.
const maxRaces = 8

// arm watches everything on the place's way and reports whether it leads to
// another directory than before. An entry may come into being between following
// the way and watching it; so the way is followed again afterwards, until two
// looks agree. below, unless empty, is a path without links whose directory may
// have been exchanged: watches there and below are made anew.
func (w *Watcher) arm(p *place, below string) (moved bool) {
	before := p.way
	now := resolve("/", p.dir[1:])
	for range maxRaces {
		w.release(p)
		p.way = now
		w.hold(p, below)
		if now = resolve("/", p.dir[1:]); now.equal(p.way) {
			break
		}
	}
	w.assess(p)
	return before.real != p.way.real || before.id != p.way.id || before.dir != p.way.dir
}

func (w *Watcher) hold(p *place, below string) {
	for _, h := range p.way.hops {
		d := w.dirOf(h.dir, within(h.dir, below))
		if d.hops[h.name] == nil {
			d.hops[h.name] = map[*place]struct{}{}
		}
		d.hops[h.name][p] = struct{}{}
	}
	if real := p.real(); real != "" {
		w.dirOf(real, within(real, below)).places[p] = struct{}{}
	}
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && dir != "" && (rest == "" || rest[0] == '/')
}

func (w *Watcher) release(p *place) {
	for _, h := range p.way.hops {
		if d := w.dirs[h.dir]; d != nil {
			if delete(d.hops[h.name], p); len(d.hops[h.name]) == 0 {
				delete(d.hops, h.name)
			}
			w.unused[d] = struct{}{}
		}
	}
	if d := w.dirs[p.real()]; d != nil {
		delete(d.places, p)
		w.unused[d] = struct{}{}
	}
}

// drop forgets a place that nobody asks for.
func (w *Watcher) drop(p *place) {
	for name := range p.links {
		w.unlink(p, name)
	}
	w.release(p)
	delete(w.places, p.dir)
	w.setBlind(p, "")
}

// relink follows the entry, which is a link, and watches what it leads through.
func (w *Watcher) relink(p *place, name string) {
	if p.real() == "" {
		w.unlink(p, name)
		return
	}
	l := p.links[name]
	if l == nil {
		l = &link{place: p, name: name}
		p.links[name] = l
	}
	for range maxRaces {
		hops := resolve(p.real(), name).hops
		if len(hops) > 0 {
			hops = hops[1:] // the entry itself is seen as one of the place
		}
		if equalHops(hops, l.hops) {
			return
		}
		w.releaseLink(l)
		l.hops = hops
		for _, h := range l.hops {
			d := w.dirOf(h.dir, false)
			if d.links[h.name] == nil {
				d.links[h.name] = map[*link]struct{}{}
			}
			d.links[h.name][l] = struct{}{}
		}
	}
}

func (w *Watcher) unlink(p *place, name string) {
	if l := p.links[name]; l != nil {
		w.releaseLink(l)
		delete(p.links, name)
	}
}

func (w *Watcher) releaseLink(l *link) {
	for _, h := range l.hops {
		if d := w.dirs[h.dir]; d != nil {
			if delete(d.links[h.name], l); len(d.links[h.name]) == 0 {
				delete(d.links, h.name)
			}
			w.unused[d] = struct{}{}
		}
	}
	l.hops = nil
}

func equalHops(a, b []hop) bool { return way{hops: a}.equal(way{hops: b}) }
