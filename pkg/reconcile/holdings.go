package reconcile

import (
	"maps"
	"slices"

	"tokend/pkg/state"
)

// A sink that was moved has several places for a while: its own, and those that it
// has still to leave. The record says of each which tokens it may hold, the oldest
// where it may hold several, since a place can hold on to an old token long after
// another got the new one. The daemon and a plan keep these books by what is here.

// holdings are the oldest tokens that any of a sink's places may hold.
func holdings(rec *state.Sink) map[string]uint64 {
	all := rec.Delivered
	for _, left := range rec.Left {
		all = bothHold(left, all)
	}
	return nonNil(all)
}

// bothHold are the oldest tokens that two places, or one place at two times, may
// hold.
func bothHold(a, b map[string]uint64) map[string]uint64 {
	out := maps.Clone(b)
	for c, gen := range a {
		if of, ok := out[c]; gen > 0 && (!ok || gen < of) {
			if out == nil {
				out = map[string]uint64{}
			}
			out[c] = gen
		}
	}
	return out
}

// goesTo has a sink's record say what its places hold once it is about to write some
// tokens to a place, which may be another than its own: that one is left then.
func goesTo(rec *state.Sink, place string, gens map[string]uint64) {
	if own := placeOf(rec.Written); rec.Written != nil && own != place {
		left := maps.Clone(rec.Left)
		if left == nil {
			left = map[string]map[string]uint64{}
		}
		left[own] = bothHold(left[own], rec.Delivered)
		rec.Delivered = left[place] // it may come back to one that it has not left yet
		delete(left, place)
		rec.Left = left
	}
	rec.Delivered = bothHold(rec.Delivered, gens)
}

// keepsLeft has a sink's record say of its earlier places only what those hold that
// are still to be left.
func keepsLeft(rec *state.Sink) {
	others := elsewhere(rec.Leaving, placeOf(rec.Written))
	left := maps.Clone(rec.Left)
	maps.DeleteFunc(left, func(place string, _ map[string]uint64) bool {
		if place == "" {
			return len(others) == 0
		}
		return !slices.ContainsFunc(others, func(a []byte) bool { return placeOf(a) == place })
	})
	if rec.Left = left; len(left) == 0 {
		rec.Left = nil
	}
}

// leftSome has a sink's record say what its places hold once some of its earlier
// ones are clean. In a record of a former tokend, which did not tell its places
// apart, its own counts for what it does not name, too.
func leftSome(rec *state.Sink, names func(credential string) bool) {
	if _, mixed := rec.Left[""]; mixed {
		rec.Delivered = maps.Clone(rec.Delivered)
		maps.DeleteFunc(rec.Delivered, func(c string, _ uint64) bool { return !names(c) })
	}
	keepsLeft(rec)
}

// renameHoldings calls the credentials by their new names whose tokens a sink's
// places hold; back says them the other way round.
func renameHoldings(rec *state.Sink, names, back map[string]string) {
	rec.Delivered = renamed(rec.Delivered, names, back)
	if rec.Left == nil {
		return
	}
	left := make(map[string]map[string]uint64, len(rec.Left))
	for place, holds := range rec.Left {
		left[place] = renamed(holds, names, back)
	}
	rec.Left = left
}
