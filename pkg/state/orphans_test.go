package state

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Orphans are counted for as long as one of them may live, and told apart as long as
// they are few.
func TestOrphans(t *testing.T) {
	t0 := time.Unix(1790000000, 0).UTC()
	at := func(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }
	var o Orphans
	o = o.With(at(0), at(60))
	o = o.With(at(10), at(40))
	o = o.With(at(20), time.Time{})
	for _, c := range []struct {
		now    int
		living int
		since  time.Time
	}{{20, 3, at(0)}, {39, 3, at(0)}, {40, 2, at(0)}, {60, 1, at(20)}, {10_000, 1, at(20)}} {
		if n, since := o.Living(at(c.now)), o.Since(at(c.now)); n != c.living || !since.Equal(c.since) {
			t.Errorf("after %d minutes there are %d since %s, want %d since %s", c.now, n, since, c.living, c.since)
		}
	}
	if o.Total() != 3 || !o.Until().IsZero() {
		t.Errorf("%d until %s", o.Total(), o.Until())
	}
	if known := o[:2]; !known.Until().Equal(at(60)) {
		t.Errorf("the last ends at %s", known.Until())
	}
	// One more drops those that have ended.
	if d := cmp.Diff(Orphans{o[2], {Count: 1, Since: at(70)}}, o.With(at(70), time.Time{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	// One that is none is taken off where that makes the count fall too soon for no other.
	for _, c := range []struct{ o, want Orphans }{
		{nil, nil},
		{Orphans{{Count: 1}}, Orphans{}},
		{Orphans{{Count: 2}}, Orphans{{Count: 1}}},
		{o, Orphans{o[0], o[2]}},
		{Orphans{{Count: 1, Since: at(1)}, {Count: 1, Since: at(2)}}, Orphans{{Count: 1, Since: at(1)}}},
	} {
		if d := cmp.Diff(c.want, c.o.Without()); d != "" {
			t.Errorf("%v (-want +got)\n%s", c.o, d)
		}
	}
}

// One that is known by now is taken off, and another where it is not told apart.
func TestAnOrphanThatIsKnownByNow(t *testing.T) {
	t0 := time.Unix(1790000000, 0).UTC()
	at := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Minute) }
	o := Orphans{{Count: 1, Since: at(1), Until: at(60)}, {Count: 2, Since: at(2)}, {Count: 1, Since: at(3), Until: at(90)}}
	for name, c := range map[string]struct {
		until time.Time
		want  Orphans
	}{
		"that one":       {at(90), o[:2]},
		"of nobody":      {time.Time{}, Orphans{o[0], {Count: 1, Since: at(2)}, o[2]}},
		"not told apart": {at(80), o[1:]},
	} {
		if d := cmp.Diff(c.want, o.WithoutOne(c.until)); d != "" || o.Total() != 4 {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// Those of two records are counted together, oldest first.
func TestOrphansOfTwoRecords(t *testing.T) {
	t0 := time.Unix(1790000000, 0).UTC()
	at := func(n int) Orphan { return Orphan{Count: 1, Since: t0.Add(time.Duration(n) * time.Minute)} }
	a, b := Orphans{at(1), at(4)}, Orphans{{Count: 3}, at(2)}
	if d := cmp.Diff(Orphans{{Count: 3}, at(1), at(2), at(4)}, a.And(b)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff(Orphans{at(1), at(4)}, a); d != "" || len(a.And(nil)) != 2 || len(Orphans(nil).And(a)) != 2 {
		t.Errorf("(-want +got)\n%s", d)
	}
	var many Orphans
	for i := range orphanEntries {
		many = append(many, at(i))
	}
	if all := many.And(many); len(all) != orphanEntries || all.Total() != 2*orphanEntries {
		t.Errorf("%d in %d entries", all.Total(), len(all))
	}
}

// However many there are, few are told apart, none is lost, and none is counted for a
// shorter time than it may live.
func TestManyOrphansAreCountedTogether(t *testing.T) {
	t0 := time.Unix(1790000000, 0).UTC()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var o Orphans
		var ends []time.Time
		now := t0
		for range r.IntN(60) {
			now = now.Add(time.Duration(r.IntN(30)) * time.Minute)
			until := now.Add(time.Duration(r.IntN(600)) * time.Minute)
			if r.IntN(3) == 0 {
				until = time.Time{}
			}
			before, was := o, o.Total()
			if o, ends = o.With(now, until), append(ends, until); before.Total() != was {
				t.Fatalf("seed %d: what was there before has changed", seed)
			}
			live := 0
			for _, e := range ends {
				if e.IsZero() || e.After(now) {
					live++
				}
			}
			if n := o.Living(now); len(o) > orphanEntries || n < live || n > len(ends) {
				t.Fatalf("seed %d: %d of %d are living in %d entries, %d do", seed, n, len(ends), len(o), live)
			}
		}
	}
}

// A head tells how many may live, as far as it can.
func TestAHeadTellsOfOrphans(t *testing.T) {
	t0 := time.Unix(1790000000, 0).UTC()
	for name, c := range map[string]struct {
		o           Orphans
		now, beyond int // living at once, and in two hours
	}{
		"none":              {nil, 0, 0},
		"of another time":   {Orphans{{Count: 2}}, 2, 2},
		"all of them end":   {Orphans{{Count: 2, Until: t0.Add(time.Hour)}, {Count: 1, Until: t0.Add(time.Minute)}}, 3, 0},
		"one may live ever": {Orphans{{Count: 2, Until: t0.Add(time.Hour)}, {Count: 1}}, 3, 3},
	} {
		h := Head{Address: "credential.x.a", Kind: KindCredential, Orphans: c.o.head()}
		b := appendHead(nil, &h)
		got, err := decodeHead(b)
		if err != nil || (Orphans{got.Orphans}).Living(t0) != c.now || (Orphans{got.Orphans}).Living(t0.Add(2*time.Hour)) != c.beyond || string(headAddress(b)) != h.Address {
			t.Errorf("%s: %+v (%v)", name, got.Orphans, err)
		}
	}
}
