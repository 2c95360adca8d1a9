package watch

import (
	"maps"
	"slices"
	"time"
)

// chunk is how many entries are compared before events get their turn again.
const chunk = 512

// scan compares the metadata of paths with those remembered, a chunk at a time
// between the events: of all of them as a net below the events, and of those
// in blind places in the events' stead.
type scan struct {
	due     time.Time       // the next one
	full    time.Time       // the next one of all places
	stepC   <-chan struct{} // ready while there is something to compare
	places  []*place
	names   []string      // of places[0] that are still to be compared for groups[0]
	groups  []*group      // of places[0] whose names are still to be compared
	entered bool          // places[0]'s way was followed
	cost    time.Duration // of what was compared so far
	whole   bool          // it is the net, of all places, on which full waits
}

// schedule sets when the next one is due.
func (s *scan) schedule(w *Watcher, now time.Time) {
	s.due = s.full
	if len(w.blind) > 0 {
		// At most 2 % of a core, and not more often than asked for.
		if poll := now.Add(max(w.opts.Poll, 50*s.cost)); poll.Before(s.due) {
			s.due = poll
		}
	}
}

// begin starts what is due; if one still runs, it is left to finish.
func (s *scan) begin(w *Watcher, now time.Time) {
	if s.stepC != nil {
		s.due = now.Add(w.opts.Poll)
		return
	}
	places, whole := slices.Collect(maps.Keys(w.blind)), !s.full.After(now)
	if whole {
		s.full = now.Add(w.opts.Rescan)
		w.forgetMoved(now)
		w.newInotify()
		w.renew()
		places = w.allPlaces()
	}
	s.start(w, places)
	s.whole = whole
	s.schedule(w, now)
}

// start compares places from now on, whatever was going on.
func (s *scan) start(w *Watcher, places []*place) {
	*s = scan{due: s.due, full: s.full, places: places}
	if len(places) > 0 {
		s.stepC = w.always
	}
}

// step compares a chunk.
func (s *scan) step(w *Watcher) {
	begin := time.Now()
	s.compare(w, begin)
	s.cost += time.Since(begin)
	if len(s.places) == 0 {
		now := time.Now()
		// A third of a percent of a core. Only for the net itself: looking at the
		// blind places comes more often than that, and would put it off for ever.
		if rested := now.Add(300 * s.cost); s.whole && s.full.Before(rested) {
			s.full = rested
		}
		s.stepC = nil
		s.schedule(w, now)
	}
}

func (s *scan) compare(w *Watcher, now time.Time) {
	p := s.places[0]
	if w.places[p.dir] != p {
		s.leave() // dropped meanwhile
		return
	}
	if !s.entered {
		s.enter(w, p, now)
	}
	for len(s.groups) > 0 && len(s.names) == 0 {
		s.groups = s.groups[1:]
		s.load(p)
	}
	if len(s.groups) == 0 {
		s.leave()
		return
	}
	g := s.groups[0]
	n := min(chunk, len(s.names))
	w.compare(p, g, s.names[:n], func(path string) { g.batch.add(path, now) })
	s.names = s.names[n:]
	w.assess(p)
}

// enter follows the place's way anew and compares what is one look.
func (s *scan) enter(w *Watcher, p *place, now time.Time) {
	s.entered = true
	w.touched(p, "", now)
	w.compareWhole(p, func(g *group) { g.batch.add(p.dir, now) })
	w.assess(p)
	for g := range p.names {
		s.groups = append(s.groups, g)
	}
	s.load(p)
}

func (s *scan) load(p *place) {
	s.names = nil
	if len(s.groups) > 0 {
		for name := range p.names[s.groups[0]] {
			s.names = append(s.names, name)
		}
	}
}

func (s *scan) leave() {
	s.places = s.places[1:]
	s.names, s.groups, s.entered = nil, nil, false
}
