package reconcile

import (
	"context"
	"slices"

	"tokend/pkg/state"
)

// leftPlace is a place that a sink leaves: which other sink claims it, "" for
// none, and whether that has written it. Until then the place is left as it is, and
// after that there is nothing to do there; a place that nobody claims is cleaned.
type leftPlace struct {
	place, heir string
	taken       bool
}

// leaving are the earlier places of a sink.
func (w *worker) leaving(ctx context.Context, j *job, rec *state.Sink) []leftPlace {
	var out []leftPlace
	for _, of := range byPlace(elsewhere(rec.Leaving, placeOf(rec.Written))) {
		out = append(out, w.leftPlace(ctx, j, placeOf(of[0])))
	}
	return out
}

func (w *worker) leftPlace(ctx context.Context, j *job, place string) leftPlace {
	l := leftPlace{place: place}
	if l.heir, l.taken = w.claimed(ctx, j.force, place); l.heir == j.addr {
		l.heir = "" // but for a change that is held it would have it itself
	}
	return l
}

// leftTo says to whom a sink leaves its earlier places.
func (in *SinkInput) leftTo(places []leftPlace) {
	in.LeftTo, in.Left, in.Heirs = nil, "", len(places) > 0
	for _, l := range places {
		switch {
		case l.taken:
		case l.heir == "":
			in.LeftTo, in.Left, in.Heirs = nil, "", false
			return
		default:
			in.LeftTo, in.Left, in.Heirs = append(in.LeftTo, l.heir), l.place, false
		}
	}
}

// leaves brings the places that a sink leaves in line with what other sinks will
// have written.
func (f *forecast) leaves(n *foreseen) {
	for i := range n.left {
		l := &n.left[i]
		l.taken = l.taken || f.takes(l.heir)
	}
	n.sink.leftTo(n.left)
}

// takes says whether a sink will have written the place that the configuration in
// force gives it, which it will not while that is held.
func (f *forecast) takes(heir string) bool {
	h := f.byAddr[heir]
	return h != nil && h.wrote && h.cause == ""
}

// goesOn is what a write, or the record of one, leaves of a sink's places.
func (n *foreseen) goesOn() {
	rec, place := &n.sink.Record, n.place
	switch {
	case n.sink.Moved && untouched(rec): // see intend: nothing is there to clean
		place = n.wanted
		rec.Leaving = elsewhere(rec.Leaving, placeOf(rec.Written))
	case n.sink.Moved:
		place = n.wanted
		rec.Leaving = append(slices.Clone(rec.Leaving), rec.Written)
		n.left = append(slices.Clone(n.left), n.leaves)
	}
	goesTo(rec, place, nil)
	rec.Written, rec.Leaving = withPlace(nil, place), elsewhere(rec.Leaving, place)
	n.holdsAll()
	keepsLeft(rec)
	n.left, n.place = slices.DeleteFunc(slices.Clone(n.left), func(l leftPlace) bool { return l.place == place }), place
}

// cleans is what is left of them once the earlier ones are clean that wait for
// nobody.
func (n *foreseen) cleans() {
	rec := &n.sink.Record
	own := placeOf(rec.Written)
	n.left = slices.DeleteFunc(slices.Clone(n.left), func(l leftPlace) bool { return l.taken || l.heir == "" })
	rec.Leaving, rec.Failure = slices.DeleteFunc(slices.Clone(rec.Leaving), func(a []byte) bool {
		return placeOf(a) != own && !slices.ContainsFunc(n.left, func(l leftPlace) bool { return l.place == placeOf(a) })
	}), nil
	leftSome(rec, func(c string) bool { return slices.Contains(n.names, c) })
}
