package reconcile

import (
	"container/heap"
	"slices"
	"testing"
	"time"
)

// Of questions whether tokens are honoured the one goes first whose credential was asked
// about longest ago, and one that never was before all: not the one whose token ends
// soonest, which would be asked about again and again. What a person waits for goes
// before them, and for other work the end of the token counts.
func TestWhoWasAskedAboutLongestAgoIsAskedAboutFirst(t *testing.T) {
	credential := func(name string, asked, ends time.Duration) *item {
		m := &measured{}
		if asked > 0 {
			m.turn = t0.Add(-asked)
		}
		return &item{addr: name, kind: kindCredential, phase: ready, expires: t0.Add(ends).UnixNano(), x: &extra{measured: m}}
	}
	order := func(s side) []string {
		q := newQueue()
		l := q.lane("provider.a.default")
		l.side = s
		ordered := credential("ordered", time.Second, 4*time.Hour)
		ordered.x.orders = []*waiter{{}}
		for _, it := range []*item{credential("soonest", time.Minute, time.Minute), credential("longest", time.Hour, 3*time.Hour), credential("between", 10*time.Minute, 2*time.Hour), ordered, credential("never", 0, 5*time.Hour)} {
			q.enter(it, l)
			heap.Push(&l.waiting, it)
		}
		var names []string
		for l.waiting.Len() > 0 {
			names = append(names, heap.Pop(&l.waiting).(*item).addr)
		}
		return names
	}
	if got, want := order(questions), []string{"ordered", "never", "longest", "between", "soonest"}; !slices.Equal(got, want) {
		t.Errorf("questions go %v, want %v", got, want)
	}
	if got, want := order(0), []string{"ordered", "soonest", "between", "longest", "never"}; !slices.Equal(got, want) {
		t.Errorf("other work goes %v, want %v", got, want)
	}
}
