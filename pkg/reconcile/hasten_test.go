package reconcile

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tokend/pkg/spec"
)

func TestLatestBegins(t *testing.T) {
	for name, c := range map[string]struct {
		ends  []int64
		every time.Duration
		want  []int64
	}{
		"none":         {nil, 10, []int64{}},
		"one":          {[]int64{1000}, 10, []int64{995}},
		"far apart":    {[]int64{1000, 2000}, 10, []int64{995, 1995}},
		"at once":      {[]int64{1000, 1000, 1000}, 10, []int64{975, 985, 995}},
		"a crowd late": {[]int64{1000, 1500, 1500, 1500}, 300, []int64{595, 895, 1195, 1495}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := latestBegins(c.ends, c.every, 5); !slices.Equal(got, c.want) {
				t.Errorf("begin at %v, want %v", got, c.want)
			}
		})
	}
}

// Whatever the ends: those who begin at their turn are all in time, one after the
// other; and nobody could begin later.
func TestLatestBeginsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ends := rapid.SliceOfN(rapid.Int64Range(1e9, 2e9), 1, 50).Draw(t, "ends")
		slices.Sort(ends)
		every, margin := rapid.Int64Range(1, 1e8).Draw(t, "every"), rapid.Int64Range(0, 1e6).Draw(t, "margin")
		begins := latestBegins(ends, time.Duration(every), time.Duration(margin))
		for i, at := range begins {
			last := i == len(begins)-1
			switch {
			case at+margin > ends[i]:
				t.Fatalf("%d begins %d after its end less the margin", i, at+margin-ends[i])
			case !last && begins[i+1]-at < every:
				t.Fatalf("%d begins %d before the next, want %d", i, begins[i+1]-at, every)
			case at+margin < ends[i] && (last || begins[i+1]-at > every):
				t.Fatalf("%d could begin later", i)
			}
		}
	})
}

// A token is due at its turn where that comes before, but not before a quarter
// of its lifetime.
func TestDueInTurn(t *testing.T) {
	for name, c := range map[string]struct {
		turn  time.Duration // after it was obtained; 0: none
		more  func(*Input)
		early bool
		want  time.Duration // 0: as ever
	}{
		"no turn":                      {0, nil, false, 0},
		"a turn after it is due":       {59 * time.Minute, nil, false, 0},
		"a turn before":                {20 * time.Minute, nil, false, 20 * time.Minute},
		"a turn in the first quarter":  {time.Minute, nil, true, 15 * time.Minute},
		"only a person could renew it": {20 * time.Minute, func(in *Input) { in.Traits.Interactive, in.Held.HasRefresh = true, false }, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(func(in *Input) {
				if c.turn > 0 {
					in.Turn = in.Record.Grant.ObtainedAt.Add(c.turn)
				}
				if c.more != nil {
					c.more(in)
				}
			})
			want := in.due()
			if c.want > 0 {
				want = in.Record.Grant.ObtainedAt.Add(c.want)
			}
			if got := in.dueInTurn(); !got.Equal(want) {
				t.Errorf("due %s after it was obtained, want %s", got.Sub(in.Record.Grant.ObtainedAt), want.Sub(in.Record.Grant.ObtainedAt))
			}
			if in.early() != c.early {
				t.Errorf("early: %v", in.early())
			}
		})
	}
}

// What a person waits for goes first, then the soonest end; a credential without
// a token before those that live for another minute.
func TestUrgency(t *testing.T) {
	q := newQueue()
	q.clock = t0
	l := laneWith(q, 0)
	add := func(addr string, expires time.Duration) *item {
		it := &item{addr: addr}
		if expires != 0 {
			it.expires = t0.Add(expires).UnixNano()
		}
		q.enter(it, l)
		q.now(it)
		return it
	}
	add("in an hour", time.Hour)
	add("none", 0)
	ordered := add("ordered", 2*time.Hour)
	add("in half a minute", 30*time.Second)
	add("ended", -time.Minute)
	ordered.ext().orders = []*waiter{{}}
	q.now(ordered) // an order wakes it
	var got []string
	for it := q.next(); it != nil; it = q.next() {
		got = append(got, it.addr)
	}
	if want := []string{"ordered", "ended", "in half a minute", "none", "in an hour"}; !slices.Equal(got, want) {
		t.Errorf("in the order %v, want %v", got, want)
	}
}

// Making turns costs no more than a thousandth of a core, however many tokens
// there are.
func TestTurnsAreMadeAsOftenAsTheyAreCheap(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: 15 * time.Second, 10 * time.Millisecond: 15 * time.Second, 40 * time.Millisecond: 40 * time.Second, time.Second: 2 * time.Minute,
	} {
		if got := turnsAgain(took); got != want {
			t.Errorf("what took %s is done again after %s, want %s", took, got, want)
		}
	}
}

func BenchmarkTurns(b *testing.B) {
	l := &Loop{q: newQueue(), items: map[string]*item{}}
	n := laneWith(l.q, 0)
	n.setLimit(spec.RateLimit{Requests: 500, Per: time.Second})
	for i := range 100_000 {
		it := &item{addr: fmt.Sprintf("credential.coinify.trader[%d]", i), kind: kindCredential, expires: t0.Add(time.Duration(i*7919%3600+60) * time.Second).UnixNano()}
		l.q.enter(it, n)
		l.q.at(it, t0.Add(30*time.Second))
		l.items[it.addr] = it
	}
	for b.Loop() {
		l.hastens, l.hastened = 0, time.Time{}
		l.hasten(t0)
	}
}
