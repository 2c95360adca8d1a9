package reconcile

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"tokend/pkg/spec"
)

// besides are the lanes beside a provider's, by name in [sides].
func besides(limit spec.RateLimit) (q *queue, base *lane, of map[side]*lane) {
	const provider = "provider.a.default"
	q, of = newQueue(), map[side]*lane{}
	q.clock = t0
	base = q.lane(provider)
	base.items++
	base.setLimit(limit)
	for _, s := range []side{revocations, questions, unheard} {
		of[s] = q.lane(s.lane(provider))
		of[s].items++ // or it is dropped
		of[s].share()
	}
	return q, base, of
}

func (l *lane) waits(n int) {
	for i := range n {
		it := &item{addr: fmt.Sprint(l.name, i), phase: ready, lane: l}
		heap.Push(&l.waiting, it)
	}
}

// Who goes first where lanes beside their provider's share what it lets through.
func TestLanesBesideTheirProvidersTakeTurns(t *testing.T) {
	const most = 32
	for name, c := range map[string]struct {
		at               int
		running, waiting map[side]int
		behind           map[side]time.Duration
		rate             bool
		want             map[side]bool // of those that wait, whether it yields
	}{
		"questions alone":                       {at: most, waiting: map[side]int{questions: 9}, want: map[side]bool{questions: false}},
		"half is for those without an answer":   {at: most, running: map[side]int{questions: 4, unheard: 4}, waiting: map[side]int{questions: 1, unheard: 1}, want: map[side]bool{questions: true, unheard: true}},
		"the rest is for others":                {at: most, running: map[side]int{questions: 3, unheard: 4}, waiting: map[side]int{questions: 1}, want: map[side]bool{questions: false}},
		"one is for those without an answer":    {at: most, running: map[side]int{questions: 7}, waiting: map[side]int{questions: 1, unheard: 1}, want: map[side]bool{questions: true, unheard: false}},
		"where any waits":                       {at: most, running: map[side]int{questions: 7}, waiting: map[side]int{questions: 1}, want: map[side]bool{questions: false}},
		"one place, none had it":                {at: 4, waiting: map[side]int{questions: 1, unheard: 1}, want: map[side]bool{questions: false, unheard: true}},
		"one place, questions had it":           {at: 4, waiting: map[side]int{questions: 1, unheard: 1}, behind: map[side]time.Duration{questions: time.Second}, want: map[side]bool{questions: true, unheard: false}},
		"one place, both had it":                {at: 4, waiting: map[side]int{questions: 1, unheard: 1}, behind: map[side]time.Duration{questions: time.Second, unheard: 10 * time.Second}, want: map[side]bool{questions: false, unheard: true}},
		"one place is taken":                    {at: 4, running: map[side]int{unheard: 1}, waiting: map[side]int{questions: 1}, want: map[side]bool{questions: true}},
		"few, revocations first":                {at: 2, waiting: map[side]int{revocations: 1, questions: 1, unheard: 1}, want: map[side]bool{revocations: false, questions: true, unheard: true}},
		"few, a revocation had it":              {at: 2, waiting: map[side]int{revocations: 1, questions: 1}, behind: map[side]time.Duration{revocations: 10 * time.Second}, want: map[side]bool{revocations: true, questions: false}},
		"few, a clock was set back":             {at: 2, waiting: map[side]int{revocations: 1, questions: 1}, behind: map[side]time.Duration{revocations: time.Hour, questions: time.Second}, want: map[side]bool{revocations: false, questions: true}},
		"few and a rate":                        {at: 2, rate: true, waiting: map[side]int{revocations: 1, questions: 1}, behind: map[side]time.Duration{revocations: 10 * time.Second}, want: map[side]bool{revocations: true, questions: false}},
		"a rate, revocations first":             {at: most, rate: true, waiting: map[side]int{revocations: 1, questions: 1}, behind: map[side]time.Duration{revocations: 10 * time.Second}, want: map[side]bool{revocations: false, questions: true}},
		"a rate, as many revocations as may be": {at: most, rate: true, running: map[side]int{revocations: 8}, waiting: map[side]int{revocations: 1, questions: 1}, want: map[side]bool{questions: false}},
	} {
		t.Run(name, func(t *testing.T) {
			limit := spec.RateLimit{Concurrency: c.at}
			if c.rate {
				limit.Requests, limit.Per = 10, time.Second
			}
			_, _, of := besides(limit)
			for s, n := range c.running {
				of[s].running = n
			}
			for s, n := range c.waiting {
				of[s].waits(n)
			}
			for s, d := range c.behind {
				of[s].place.behind = t0.Add(d)
			}
			for s, want := range c.want {
				if got := of[s].yields(t0); got != want {
					t.Errorf("%s yields: %v, want %v", of[s].name, got, want)
				}
			}
		})
	}
}

// Whatever waits, and whoever was served last, one that waits may go where nothing runs.
func TestLanesBesideTheirProvidersDoNotWaitForEachOther(t *testing.T) {
	all := []side{revocations, questions, unheard}
	for at := 1; at <= 12; at++ {
		for mask := 1; mask < 1<<10; mask++ {
			limit := spec.RateLimit{Concurrency: at}
			if mask>>9 == 1 {
				limit.Requests, limit.Per = 10, time.Second
			}
			_, _, of := besides(limit)
			goes := false
			for i, s := range all {
				if mask>>i&1 == 1 {
					of[s].waits(1)
				}
				of[s].place.behind = t0.Add(time.Duration(mask>>(3+2*i)&3) * time.Second)
			}
			if mask&7 == 0 {
				continue
			}
			for _, s := range all {
				goes = goes || len(of[s].waiting.items) > 0 && !of[s].yields(t0)
			}
			if !goes {
				t.Fatalf("%d at a time, %b: none goes", at, mask)
			}
		}
	}
}

// Whatever waits and runs, one that waits may go where a place is free: of its own, and for
// questions of those that they have together.
func TestLanesBesideTheirProvidersDoNotWaitForWhatRuns(t *testing.T) {
	all := []side{revocations, questions, unheard}
	states, free := 0, 0
	for at := 1; at <= 12; at++ {
		for mask := range 1 << 10 { // who waits, how many of each run, and whether there is a rate
			limit := spec.RateLimit{Concurrency: at}
			if mask>>9 == 1 {
				limit.Requests, limit.Per = 10, time.Second
			}
			_, base, of := besides(limit)
			possible, run := true, 0
			for i, s := range all {
				if mask>>i&1 == 1 {
					of[s].waits(1)
				}
				of[s].running = mask >> (3 + 2*i) & 3
				possible, run = possible && of[s].running <= cap(of[s].calls), run+of[s].running
			}
			asking := of[questions].running + of[unheard].running
			if !possible || asking > base.part() || base.part() == 1 && at <= 2 && run > 1 {
				continue
			}
			states++
			could, goes := false, false
			for _, s := range all {
				l := of[s]
				if len(l.waiting.items) == 0 || l.running == cap(l.calls) {
					continue
				}
				could = could || (s == revocations || asking < base.part()) && (at > 2 || run == 0)
				goes = goes || !l.yields(t0)
			}
			if could {
				free++
			}
			if could && !goes {
				t.Errorf("%d at a time, %b: none goes", at, mask)
			}
		}
	}
	if states < 1000 || free < states/4 {
		t.Errorf("%d states, in %d of which one could go", states, free)
	}
}

// A question that had no answer is asked later than after its period, by no more than
// another, then two, and never more than a minute.
func TestAQuestionWithoutAnAnswerIsPutOff(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		n     int
		drawn float64
		want  time.Duration
	}{
		{5 * time.Second, 1, 0, 0},
		{5 * time.Second, 1, 1, 5 * time.Second},
		{5 * time.Second, 2, 1, 10 * time.Second},
		{5 * time.Second, 2, 0.5, 5 * time.Second},
		{5 * time.Second, 100, 1, 10 * time.Second},
		{time.Hour, 1, 1, time.Minute},
		{time.Hour, 9, 0.5, 30 * time.Second},
	} {
		if got := silenceWait(c.every, c.n, c.drawn); got != c.want {
			t.Errorf("every %s, %d in a row, %v drawn: %s, want %s", c.every, c.n, c.drawn, got, c.want)
		}
	}
}
