package reconcile

import (
	"context"
	"slices"
	"sync"

	"tokend/pkg/state"
)

// What stands at a place that is about to be written for the first time, and was
// not written by tokend, is replaced: the configuration says what shall be there.
// A plan says so beforehand, where this host tells, and the log when it is done. While
// very many sinks leave their places, as after a rename of all, the places are read
// once for all first writes.

// stands says what stands at a place, as far as this host tells.
func (w *worker) stands(place string) string {
	if w.o.Stands == nil || place == "" {
		return ""
	}
	return w.o.Stands(place)
}

// written lists the places that a sink has written, or was about to.
func written(rec *state.Sink) []string {
	var places []string
	for _, a := range append(slices.Clone(rec.Leaving), rec.Written) {
		if p := placeOf(a); p != "" {
			places = append(places, p)
		}
	}
	return places
}

// mostLeaving bounds how many other sinks are asked for each write whether a place
// was theirs.
const mostLeaving = 100

// leavingSinks are those that may leave a place to a sink that was never written,
// as happens when a block gets another name, or that leave theirs, too; where they are
// too many, all their places as they were when that was first asked.
func (l *Loop) leavingSinks(it *item) (out []string, crowd *leftPlaces) {
	if it.stored && !it.gone && (it.x == nil || !it.x.allowed) {
		return nil, nil
	}
	if len(l.odd) > mostLeaving && l.vacated != nil {
		return nil, l.vacated
	}
	for o := range l.odd {
		if o.kind == kindSink {
			out = append(out, o.addr)
		}
	}
	if l.vacated = nil; len(l.odd) > mostLeaving {
		l.vacated = &leftPlaces{sinks: out}
		return nil, l.vacated
	}
	return out, nil
}

// leftPlaces are the places of many sinks, by whose they are. They are read when
// somebody first asks.
type leftPlaces struct {
	sinks []string
	read  sync.Once
	by    map[string]string
}

// others says whether another sink than one has written a place.
func (p *leftPlaces) others(ctx context.Context, store state.Store, place, than string) bool {
	p.read.Do(func() {
		p.by = map[string]string{}
		for _, a := range p.sinks {
			rec, err := store.Sink(ctx, a)
			if err != nil {
				continue
			}
			for _, at := range written(&rec) {
				by := a
				if of, shared := p.by[at]; shared && of != a {
					by = "" // of several
				}
				p.by[at] = by
			}
		}
		p.sinks = nil
	})
	by, ok := p.by[place]
	return ok && by != than
}

// tellReplaced logs what a first write replaces.
func (p *sinkPerformer) tellReplaced(what string) {
	if p.inherits() {
		return
	}
	p.w.log.Warn("a sink replaces what somebody else put at its place", "address", p.j.addr, "type", p.ob.kindOf, "place", p.ob.desired.Place, "replaces", what)
}

// inherits says that another sink has written the place, or a claim of it.
func (p *sinkPerformer) inherits() bool {
	if p.j.crowd != nil {
		return p.j.crowd.others(p.ctx, p.w.store, p.ob.desired.Place, p.j.addr)
	}
	for _, a := range p.j.leaving {
		if a == p.j.addr {
			continue
		}
		if rec, err := p.w.store.Sink(p.ctx, a); err == nil && slices.Contains(written(&rec), p.ob.desired.Place) {
			return true
		}
	}
	return false
}

// replaces says in a step of a plan what stands at the place of a sink that was
// never written, unless another sink has put it there.
func (f *forecast) replaces(n *foreseen, s *Step) {
	what := n.sink.Foreign
	if s.Action != ActWrite || what == "" {
		return
	}
	if o, ok := f.wrote[n.wanted]; ok && o != n {
		return
	}
	s.Replaces = what
	s.Reason += "; it replaces " + what + " there that tokend did not write"
	if n.sink.Becomes != "" {
		s.Reason += ": " + n.sink.Becomes
	}
}
