package reconcile

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// eligible is what may be worked on when only some addresses may: those, while
// something is ordered of them, the sinks that name them, and the hooks that these
// have to tell. So a command about one address carries no change of the
// configuration out.
func (l *Loop) eligible() []*item {
	var out []*item
	told := map[string]bool{} // sinks whose hooks may run
	for _, a := range l.only {
		it, ok := l.items[a]
		if !ok {
			continue
		}
		if it.x != nil && (len(it.x.orders) > 0 || it.x.follow) {
			out = append(out, it)
		}
		told[a] = true
		for _, u := range it.users {
			if u.kind == kindSink && !u.gone {
				out = append(out, u)
				told[u.addr] = true
			}
		}
	}
	return append(out, l.tells(told)...)
}

// tells lists the hooks that have not run since some of these sinks changed.
func (l *Loop) tells(sinks map[string]bool) []*item {
	var out []*item
	for _, h := range l.hooks {
		if h.x != nil && anyOf(maps.Keys(h.x.pending), sinks) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b *item) int { return strings.Compare(a.addr, b.addr) })
	return out
}

func anyOf(names iter.Seq[string], set map[string]bool) bool {
	for n := range names {
		if set[n] {
			return true
		}
	}
	return false
}
