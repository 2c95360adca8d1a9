package watch

import (
	"maps"
	"slices"
	"time"
)

// Tick says that paths of a group may have changed.
type Tick struct {
	Group string
	// Paths of the group's set, sorted, each once. Nil: look at all of them.
	Paths []string
	// At is when the last of the events came that this tick stands for.
	At time.Time
}

// merge makes one tick of two that nobody has received yet.
func (t Tick) merge(later Tick) Tick {
	if t.Paths == nil || later.Paths == nil {
		later.Paths = nil
		return later
	}
	later.Paths = slices.Concat(t.Paths, later.Paths)
	slices.Sort(later.Paths)
	later.Paths = slices.Compact(later.Paths)
	return later
}

// batch collects the events of a group until it was quiet for a while, or for
// so long that waiting further would be late.
type batch struct {
	quiet, most time.Duration
	paths       map[string]struct{}
	all         bool
	first, last time.Time
}

func (b *batch) add(path string, now time.Time) {
	if b.paths == nil {
		b.paths = map[string]struct{}{}
	}
	b.paths[path] = struct{}{}
	b.touch(now)
}

func (b *batch) addAll(now time.Time) {
	b.all = true
	b.touch(now)
}

func (b *batch) touch(now time.Time) {
	if b.first.IsZero() {
		b.first = now
	}
	b.last = now
}

// due is when the batch is to be handed out; zero: nothing is in it.
func (b *batch) due() time.Time {
	if b.first.IsZero() {
		return time.Time{}
	}
	quiet, most := b.last.Add(b.quiet), b.first.Add(b.most)
	if quiet.Before(most) {
		return quiet
	}
	return most
}

// take empties the batch.
func (b *batch) take(group string) Tick {
	t := Tick{Group: group, At: b.last}
	if !b.all {
		t.Paths = slices.Sorted(maps.Keys(b.paths))
	}
	*b = batch{quiet: b.quiet, most: b.most}
	return t
}
