package reconcile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"tokend/pkg/spec"
)

// most is the greatest number of times within any window, the end not counted.
func most(times []time.Time, window time.Duration) int {
	slices.SortFunc(times, time.Time.Compare)
	greatest, from := 0, 0
	for i, at := range times {
		for at.Sub(times[from]) >= window {
			from++
		}
		greatest = max(greatest, i-from+1)
	}
	return greatest
}

// TestTheLimitHoldsWhereItIsCounted: however long requests are on their way, up
// to the limit's length, the provider never sees more than the limit in any
// window; and they are not much rarer than allowed.
func TestTheLimitHoldsWhereItIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		limit    spec.RateLimit
		requests int
		way      time.Duration // of a request, at most
		back     time.Duration // of its reply, at most
		within   float64       // of the time that the limit alone would take
	}{
		"near":              {spec.RateLimit{Requests: 500, Per: time.Second, Concurrency: 64}, 5000, time.Millisecond, time.Millisecond, 1.15},
		"a busy machine":    {spec.RateLimit{Requests: 500, Per: time.Second, Concurrency: 64}, 5000, 300 * time.Millisecond, 10 * time.Millisecond, 1.3},
		"far":               {spec.RateLimit{Requests: 50, Per: time.Second, Concurrency: 64}, 500, 200 * time.Millisecond, 600 * time.Millisecond, 1.6},
		"one a minute":      {spec.RateLimit{Requests: 1, Per: time.Minute, Concurrency: 4}, 10, time.Second, time.Second, 1.15},
		"more than is kept": {spec.RateLimit{Requests: 20_000, Per: time.Second, Concurrency: 1000}, 50_000, time.Millisecond, time.Millisecond, 1.4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					random  = rand.New(rand.NewPCG(1, 2))
					p       = newPace(c.limit)
					began   = time.Now()
					calls   = make(chan struct{}, c.limit.Concurrency)
					mu      sync.Mutex
					arrived []time.Time
					all     sync.WaitGroup
				)
				some := func(d time.Duration) time.Duration {
					mu.Lock()
					defer mu.Unlock()
					return time.Duration(random.Int64N(int64(d)))
				}
				for range c.requests {
					calls <- struct{}{} // before it begins: the race detector keeps memory for as many as ever were at once
					all.Go(func() {
						end, ok := p.pass(time.Now, nil)
						if !ok {
							t.Error("turned away")
							return
						}
						<-time.After(some(c.way))
						mu.Lock()
						arrived = append(arrived, time.Now())
						mu.Unlock()
						<-time.After(some(c.back))
						end()
						<-calls
					})
				}
				all.Wait()
				if n := most(arrived, c.limit.Per); n > c.limit.Requests {
					t.Errorf("%d arrived within %s, the limit is %d", n, c.limit.Per, c.limit.Requests)
				}
				ideal := float64(c.limit.Per) * float64(c.requests-1) / float64(c.limit.Requests)
				if took := time.Since(began); float64(took) > c.within*ideal+float64(c.way+c.back) {
					t.Errorf("took %s, the limit alone takes %s", took, time.Duration(ideal))
				}
			})
		})
	}
}

// Whatever the limit and the times, a request waits for no longer than twice the
// limit's length and its margin, and no window of sent requests has too many.
func TestPaceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := spec.RateLimit{Requests: rapid.IntRange(1, 40).Draw(t, "requests"), Per: time.Duration(rapid.Int64Range(int64(10*time.Millisecond), int64(time.Hour)).Draw(t, "per"))}
		p, now := newPace(limit), time.Unix(1_000_000_000, 0)
		var sent []time.Time
		var open []uint64
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(limit.Per)/4).Draw(t, "goes by")))
			if rapid.Bool().Draw(t, "a reply") && len(open) > 0 {
				p.end(open[0], now)
				open = open[1:]
				continue
			}
			number, wait := p.try(now)
			if number > 0 {
				sent, open = append(sent, now), append(open, number)
			} else if wait <= 0 || wait > p.per+p.grace {
				t.Fatalf("has to wait %s, under a limit of %s", wait, limit.Per)
			}
		}
		if n := most(sent, limit.Per); n > limit.Requests {
			t.Fatalf("%d sent within %s, the limit is %d", n, limit.Per, limit.Requests)
		}
	})
}

func TestPaceDelaysNobodyBelowTheLimit(t *testing.T) {
	p, now := newPace(spec.RateLimit{Requests: 5, Per: time.Second}), time.Unix(1_000_000_000, 0)
	for i := range 50 {
		number, wait := p.try(now)
		if number == 0 {
			t.Fatalf("request %d waits %s", i, wait)
		}
		p.end(number, now)
		now = now.Add(p.every)
	}
}

// A clock that is set back by a day holds nobody up for a day.
func TestPaceAfterTheClockWasSetBack(t *testing.T) {
	p, now := newPace(spec.RateLimit{Requests: 2, Per: time.Second}), time.Unix(1_000_000_000, 0)
	for range 2 {
		if number, wait := p.try(now); number == 0 {
			t.Fatalf("waits %s", wait)
		}
		now = now.Add(time.Second)
	}
	now = now.Add(-24 * time.Hour)
	_, wait := p.try(now)
	if wait > 3*time.Second {
		t.Fatalf("waits %s", wait)
	}
	if d := p.until(now, 0); d > 3*time.Second {
		t.Errorf("nothing is taken up for %s", d)
	}
}

// A lane takes up no more than can be sent soon, so that what is more urgent and
// comes later still goes first.
func TestALaneTakesUpWhatCanBeSentSoon(t *testing.T) {
	for _, c := range []struct {
		requests int
		per      time.Duration
		want     int
	}{{10, time.Second, 5}, {1, time.Minute, 1}, {500, time.Second, 246}} {
		t.Run(fmt.Sprintf("%d in %s", c.requests, c.per), func(t *testing.T) {
			q := newQueue()
			q.clock = t0
			l := laneWith(q, 1000)
			l.setLimit(spec.RateLimit{Requests: c.requests, Per: c.per, Concurrency: 32})
			var seats []*seat
			for q.next() != nil {
				seats = append(seats, l.pace.take())
			}
			if d := len(seats) - c.want; d < -1 || d > 1 {
				t.Fatalf("%d are taken up at once, want about %d", len(seats), c.want)
			}
			if d := q.untilProbe(); d <= 0 || d > c.per {
				t.Errorf("the loop would sleep %s", d)
			}
			// One that needs no request gives its place to another.
			seats[0].leave()
			seats[0].leave()
			if q.next() == nil || l.pace.seated != len(seats)-1 {
				t.Errorf("%d seats are taken", l.pace.seated)
			}
		})
	}
}

// A stop makes nobody wait, and nothing is sent that has not been.
func TestAStopDoesNotWaitForThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stopped := newPace(spec.RateLimit{Requests: 1, Per: time.Hour}), make(chan struct{})
		if _, ok := p.pass(time.Now, stopped); !ok {
			t.Fatal("the first is turned away")
		}
		began, turned := time.Now(), make(chan bool, 2)
		for range 2 {
			go func() {
				_, ok := p.pass(time.Now, stopped)
				turned <- !ok
			}()
		}
		synctest.Wait()
		close(stopped)
		for range 2 {
			if !<-turned {
				t.Error("it was sent")
			}
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("the stop waited %s", d)
		}
	})
}

// What is taken up can be sent soon, also where the limit is used up for long.
func TestNothingIsTakenUpThatWaitsForLong(t *testing.T) {
	p := newPace(spec.RateLimit{Requests: 100, Per: time.Hour})
	now := time.Unix(1_000_000, 0)
	for sent := 0; sent < 300; {
		if d := p.until(now, 0); d > 0 {
			now = now.Add(d)
			continue
		}
		number, wait := p.try(now)
		if number == 0 {
			if wait > paceLong {
				t.Fatalf("after %d requests, one that was taken up waits for %s", sent, wait)
			}
			now = now.Add(wait)
			continue
		}
		sent++
		p.end(number, now)
	}
}
