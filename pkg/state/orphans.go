package state

import (
	"slices"
	"time"
)

// Orphans are tokens that may have been issued and were never seen, or that a person
// has forgotten: they may live, and nobody knows them. Oldest first; those of long ago
// may be counted together.
type Orphans []Orphan

// Orphan is one such token, or several that are counted together.
type Orphan struct {
	Count int
	Since time.Time // when it was lost, the first of several; zero: a tokend counted it that kept no times
	Until time.Time // when it has certainly ended by itself, the last of several; zero: not known
}

// orphanEntries is how many orphans are told apart.
const orphanEntries = 16

// Total is how many there are, ended or not.
func (o Orphans) Total() int {
	n := 0
	for i := range o {
		n += o[i].Count
	}
	return n
}

// Living is how many of them may live still.
func (o Orphans) Living(now time.Time) int { return o.Left(now).Total() }

// Since is when the first of those was lost that may live still; zero: there is none,
// or it is not known.
func (o Orphans) Since(now time.Time) time.Time {
	if left := o.Left(now); len(left) > 0 {
		return left[0].Since
	}
	return time.Time{}
}

// Until is when all of them have certainly ended by themselves; zero: not known, or
// there is none.
func (o Orphans) Until() time.Time {
	var until time.Time
	for _, x := range o {
		if x.Until.IsZero() {
			return time.Time{}
		}
		if x.Until.After(until) {
			until = x.Until
		}
	}
	return until
}

// Left are those that may live still.
func (o Orphans) Left(now time.Time) Orphans {
	ended := func(x Orphan) bool { return !x.Until.IsZero() && !now.Before(x.Until) }
	if !slices.ContainsFunc(o, ended) {
		return o
	}
	return slices.DeleteFunc(slices.Clone(o), ended)
}

// With is o with one more that was lost just now, and that has ended by until at the
// latest (zero: nobody knows). Those that have ended are counted no more. o itself
// stays as it is.
func (o Orphans) With(now, until time.Time) Orphans {
	all := append(slices.Clone(o.Left(now)), Orphan{Count: 1, Since: utc(now), Until: utc(until)})
	return all.few()
}

// And is o with those of another record beside them. o itself stays as it is.
func (o Orphans) And(more Orphans) Orphans {
	if len(more) == 0 {
		return o
	}
	all := append(slices.Clone(o), more...)
	slices.SortStableFunc(all, func(a, b Orphan) int { return a.Since.Compare(b.Since) })
	return all.few()
}

// Without is o without one that is known by now to be none. Which of them it was is not
// told: the one that ends first is taken, so that the others are not counted too short.
func (o Orphans) Without() Orphans {
	if len(o) == 0 {
		return o
	}
	first := 0
	for i, x := range o {
		if was := o[first].Until; !x.Until.IsZero() && (was.IsZero() || x.Until.Before(was)) || x.Until.IsZero() && was.IsZero() {
			first = i
		}
	}
	all := slices.Clone(o)
	if all[first].Count--; all[first].Count <= 0 {
		all = slices.Delete(all, first, first+1)
	}
	return all
}

// WithoutOne is o without one that is known by now, and that was to have ended by until
// (zero: nobody knew): that one, if it is told apart.
func (o Orphans) WithoutOne(until time.Time) Orphans {
	i := slices.IndexFunc(o, func(x Orphan) bool { return x.Until.Equal(until) })
	if i < 0 {
		return o.Without()
	}
	all := slices.Clone(o)
	if all[i].Count--; all[i].Count <= 0 {
		all = slices.Delete(all, i, i+1)
	}
	return all
}

// few counts together what is more than a record tells apart.
func (o Orphans) few() Orphans {
	for len(o) > orphanEntries {
		o = o.joined()
	}
	return o
}

// joined counts the first two together of which the same is known: when they end, or
// that it is not known.
func (o Orphans) joined() Orphans {
	var seen [2]int
	for i, x := range o {
		kind := 0
		if x.Until.IsZero() {
			kind = 1
		}
		if j := seen[kind] - 1; j >= 0 {
			o[j].Count += x.Count
			if x.Until.After(o[j].Until) {
				o[j].Until = x.Until
			}
			return slices.Delete(o, i, i+1)
		}
		seen[kind] = i + 1
	}
	return o
}

// utc is a time as a record keeps it; zero stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Round(0)
}

// head is what a head says of them.
func (o Orphans) head() Orphan {
	h := Orphan{Count: o.Total(), Until: o.Until()}
	if len(o) > 0 {
		h.Since = o[0].Since
	}
	return h
}
