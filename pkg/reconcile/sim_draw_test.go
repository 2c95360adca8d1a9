package reconcile_test

import (
	"hash/fnv"
	"hash/maphash"
	"iter"
	"sync"
	"testing"
	"time"
)

// draws gives every choice of a simulated run from its seed. A choice depends
// on what it is about and on how often that was asked, not on who asked first:
// so goroutines that overtake each other do not change the run.
type draws struct {
	seed uint64

	mu    sync.Mutex
	asked map[drawKey]uint64
}

type drawKey struct{ what, of string }

func newDraws(seed uint64) *draws { return &draws{seed: seed, asked: map[drawKey]uint64{}} }

// bits are 64 of them.
func (d *draws) bits(what, of string) uint64 {
	d.mu.Lock()
	k := drawKey{what, of}
	n := d.asked[k]
	d.asked[k] = n + 1
	d.mu.Unlock()
	h := scramble(d.seed*0x9e3779b97f4a7c15 + n + 1)
	return scramble(scramble(h^fnv64(what)) ^ fnv64(of))
}

func fnv64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func scramble(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// below is a number in [0, n).
func (d *draws) below(what, of string, n int) int { return int(d.bits(what, of) % uint64(n)) }

// chance is true with a probability.
func (d *draws) chance(what, of string, p float64) bool {
	return p > 0 && float64(d.bits(what, of)>>11)/(1<<53) < p
}

// between is a time in [lo, hi), to the nanosecond: hardly two things happen at
// once, so that their order does not depend on the scheduler.
func (d *draws) between(what, of string, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.bits(what, of)%uint64(hi-lo))
}

// always is between, and the same whenever it is asked.
func (d *draws) always(what, of string, lo, hi time.Duration) time.Duration {
	h := scramble(scramble(scramble(d.seed*0x9e3779b97f4a7c15)^fnv64(what)) ^ fnv64(of))
	return lo + time.Duration(h%uint64(hi-lo))
}

// longOrShort is a time in [lo, hi), short ones as likely as long ones.
func (d *draws) longOrShort(what, of string, lo, hi time.Duration) time.Duration {
	top := lo
	for steps := 0; top < hi; steps++ {
		top *= 2
	}
	n := 0
	for t := lo; t < top; t *= 2 {
		n++
	}
	base := lo << d.below(what, of, max(n, 1))
	return min(d.between(what, of, base, 2*base), hi)
}

// one picks from a list.
func one[T any](d *draws, what, of string, list ...T) T { return list[d.below(what, of, len(list))] }

// newSeeds are seeds that no run had before, one after the other: of what is tested,
// where somebody says what that is, so that a failure is one as long as it is the
// same, and else of nothing.
func newSeeds(tested string) iter.Seq[uint64] {
	seed := new(maphash.Hash).Sum64()
	if tested != "" {
		h := fnv.New64a()
		_, _ = h.Write([]byte(tested))
		seed = h.Sum64()
	}
	return func(yield func(uint64) bool) {
		for seed = 1e9 + seed%1e12; yield(seed); seed++ {
		}
	}
}

func TestNewSeeds(t *testing.T) {
	first := func(tested string) uint64 {
		for seed := range newSeeds(tested) {
			return seed
		}
		return 0
	}
	if a := first("a tree"); a != first("a tree") || a == first("another") || a < 1e9 {
		t.Errorf("of a tree the first is %d, then %d, of another %d", a, first("a tree"), first("another"))
	}
	if a := first(""); a == first("") || a < 1e9 {
		t.Errorf("of nothing the first is %d twice", a)
	}
}
