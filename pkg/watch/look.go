package watch

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// addNames asks, for a group, for entries of directories; those that it asks
// for already cost nothing.
func (w *Watcher) addNames(g *group, places map[string][]string) {
	for dir, names := range places {
		p, made := w.placeOf(dir)
		if made {
			w.arm(p, "")
		}
		has := p.names[g]
		if has == nil {
			has = make(map[string]sum, len(names))
			p.names[g] = has
		}
		fresh := make([]string, 0, len(names)-min(len(names), len(has)))
		for _, name := range names {
			if _, ok := has[name]; !ok {
				has[name] = 0
				fresh = append(fresh, name)
			}
		}
		w.compare(p, g, fresh, nil)
		w.assess(p)
	}
}

// forget is the end of a group's interest in an entry.
func (w *Watcher) forget(p *place, g *group, name string) {
	if _, ok := p.names[g][name]; !ok {
		return
	}
	if delete(p.names[g], name); len(p.names[g]) == 0 {
		delete(p.names, g)
	}
	if q := w.places[join(p.dir, name)]; q != nil {
		delete(q.whole, g)
		w.dropUnneeded(q)
	}
	if !p.asked(name) && len(p.whole) == 0 {
		w.unlink(p, name)
	}
	w.dropUnneeded(p)
}

func (w *Watcher) dropUnneeded(p *place) {
	if !p.needed() {
		w.drop(p)
	}
}

// compare looks at entries that a group asked for, remembers how they are now,
// and calls changed, if it is given, with those that are not as they were.
func (w *Watcher) compare(p *place, g *group, names []string, changed func(path string)) {
	if len(names) == 0 {
		return
	}
	has := p.names[g]
	fd := -1
	if real := p.real(); real != "" {
		var err error
		if fd, err = openDir(real); err == nil {
			defer unix.Close(fd)
		}
	}
	for _, name := range names {
		before, ok := has[name]
		if !ok {
			continue // forgotten meanwhile
		}
		now, k := sum(0), kind{}
		if fd >= 0 {
			now, k = w.summer.of(fd, name)
		}
		w.follow(p, g, name, k)
		if now != before {
			has[name] = now
			if changed != nil {
				changed(join(p.dir, name))
			}
		}
	}
}

// follow keeps up with what an entry is: a link is followed, and of a directory
// the whole is watched.
func (w *Watcher) follow(p *place, g *group, name string, k kind) {
	switch {
	case k.link:
		w.relink(p, name)
	case p.links[name] != nil:
		w.unlink(p, name)
	}
	if !k.dir {
		return
	}
	q, made := w.placeOf(join(p.dir, name))
	if made {
		w.arm(q, "")
	}
	if _, ok := q.whole[g]; !ok {
		q.whole[g] = 0
		w.compareWhole(q, nil)
		w.assess(q)
	}
}

// compareWhole is compare for a directory of which all is asked for.
func (w *Watcher) compareWhole(p *place, changed func(g *group)) {
	if len(p.whole) == 0 {
		return
	}
	now, links := sum(0), []string(nil)
	if real := p.real(); real != "" {
		now, links = w.summer.ofDir(real)
	}
	slices.Sort(links)
	for name := range p.links {
		if _, found := slices.BinarySearch(links, name); !found {
			w.unlink(p, name)
		}
	}
	for _, name := range links {
		w.relink(p, name)
	}
	for g, before := range p.whole {
		if now != before {
			p.whole[g] = now
			if changed != nil {
				changed(g)
			}
		}
	}
}

// accept looks at the paths that a tick is about to be sent for: links and
// directories among them that are new are watched from now on, and the rescan
// will not find them once more. It comes before the tick, so that what changes
// afterwards is seen.
func (w *Watcher) accept(g *group, paths []string) {
	for len(paths) > 0 {
		dir, _ := split(paths[0])
		n := 0
		names := []string{}
		for n < len(paths) {
			d, name := split(paths[n])
			if d != dir {
				break
			}
			names = append(names, name)
			if q := w.places[paths[n]]; q != nil {
				w.compareWhole(q, nil)
				w.assess(q)
			}
			n++
		}
		if p := w.places[dir]; p != nil {
			w.compare(p, g, names, nil)
			w.assess(p)
		}
		paths = paths[n:]
	}
}

// lookAgain ticks all that is asked for in a place which leads elsewhere now.
func (w *Watcher) lookAgain(p *place, now time.Time) {
	for g, names := range p.names {
		for name := range names {
			g.batch.add(join(p.dir, name), now)
		}
	}
	for g := range p.whole {
		g.batch.add(p.dir, now)
	}
}

// touched is what has to happen when an entry on a place's way was. below is
// its path if it was created, moved or deleted.
func (w *Watcher) touched(p *place, below string, now time.Time) {
	if w.arm(p, below) || below != "" {
		w.lookAgain(p, now)
	}
}

// onEvents handles one event and those that came with it.
func (w *Watcher) onEvents(ev fsnotify.Event) {
	now := time.Now()
	displaced := w.onEvent(ev, now)
	for range 256 {
		select {
		case ev, ok := <-w.events:
			if !ok {
				w.events = nil
				return
			}
			displaced = w.onEvent(ev, now) || displaced
			continue
		default:
		}
		break
	}
	if displaced {
		// inotify watches a directory and not a path. Where one that moved to
		// another watched path was added there before the old path was given up,
		// both share a watch, which goes with the old path: so that goes first.
		w.renew()
		w.scan.start(w, w.allPlaces())
	}
}

// onEvent finds who is concerned. Nothing is concluded from an event but that
// it is worth looking. displaced: a directory that was watched has moved.
func (w *Watcher) onEvent(ev fsnotify.Event, now time.Time) (displaced bool) {
	parent, name := split(ev.Name)
	d := w.dirs[parent]
	if ev.Op == 0 || d == nil {
		return false
	}
	displaced = ev.Has(fsnotify.Rename) && w.displaces(ev.Name, now)
	below := ""
	if ev.Has(fsnotify.Create) || ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
		below = ev.Name
	}
	// A copy, because the set changes while it is gone through.
	for _, p := range slices.Collect(maps.Keys(d.hops[name])) {
		w.touched(p, below, now)
	}
	for l := range d.links[name] {
		w.tickEntry(l.place, l.name, ev.Op, now)
	}
	for p := range d.places {
		w.tickEntry(p, name, ev.Op, now)
	}
	return displaced
}

// displaces says whether a path that was renamed is that of a directory which is
// watched, or was lately: inotify tells of it twice, from the directory above
// and from itself, and only with the second, which may come when nobody needs
// the old path any more, does the watch go.
func (w *Watcher) displaces(path string, now time.Time) bool {
	_, lately := w.moved[path]
	if !lately && w.dirs[path] == nil {
		return false
	}
	w.moved[path] = now
	return true
}

// forgetMoved ends the memory of displaces, long after the second event came.
func (w *Watcher) forgetMoved(now time.Time) {
	for path, at := range w.moved {
		if now.Sub(at) > time.Minute {
			delete(w.moved, path)
		}
	}
}

// tickEntry ticks the groups that ask for an entry, or for all of them.
func (w *Watcher) tickEntry(p *place, name string, op fsnotify.Op, now time.Time) {
	for g, names := range p.names {
		if _, ok := names[name]; ok && !(g.ignoreChmod && op == fsnotify.Chmod) {
			g.batch.add(join(p.dir, name), now)
		}
	}
	for g := range p.whole {
		if !(g.ignoreChmod && op == fsnotify.Chmod) {
			g.batch.add(p.dir, now)
		}
	}
}

// renew adds all directories to inotify again, which costs a system call each
// and changes nothing for those that are watched.
func (w *Watcher) renew() {
	for path := range w.dirs {
		w.dirOf(path, true)
	}
}

// onError handles what fsnotify says beside events: in all cases events may be
// missing, and everything is worth looking at.
func (w *Watcher) onError(err error) {
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		w.log.Info("more changes than inotify's queue holds: looking at everything")
	} else {
		w.log.Warn("watching by inotify", "error", err)
	}
	w.lookAtAll(time.Now())
}

func (w *Watcher) lookAtAll(now time.Time) {
	w.renew()
	for _, g := range w.groups {
		g.batch.addAll(now)
	}
	w.scan.start(w, w.allPlaces()) // follows all ways, too
}

func (w *Watcher) allPlaces() []*place { return slices.Collect(maps.Values(w.places)) }
