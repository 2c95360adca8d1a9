package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// The slower the disk, the more is in progress; never without bound.
func TestWhatIsInProgress(t *testing.T) {
	limits := map[string]spec.RateLimit{
		"local": {}, "64 calls": {Concurrency: 64}, "500 in a second": {Concurrency: 64, Requests: 500, Per: time.Second},
		"1 in a minute": {Concurrency: 2, Requests: 1, Per: time.Minute},
	}
	for _, c := range []struct {
		lane string
		disk time.Duration
		want int
	}{
		{"local", 0, 256}, {"local", 10 * time.Millisecond, 256}, {"local", 10 * time.Second, 256}, // more wait for the disk, see below
		{"64 calls", 0, 128}, {"64 calls", 10 * time.Millisecond, 128}, {"64 calls", 100 * time.Millisecond, 320}, {"64 calls", 10 * time.Second, 512},
		{"500 in a second", 0, 128 + 245}, {"500 in a second", 600 * time.Millisecond, 512 + 588}, {"500 in a second", 10 * time.Second, 512 + 1024},
		{"1 in a minute", 0, 4}, {"1 in a minute", 10 * time.Second, 16},
	} {
		l := newQueue().lane("")
		if c.lane != "local" {
			l = newQueue().lane(c.lane)
			l.setLimit(limits[c.lane])
		}
		if n := l.room(c.disk); n != c.want {
			t.Errorf("%s, a commit takes %s: %d are in progress, want %d", c.lane, c.disk, n, c.want)
		}
	}
}

// The sooner a provider answers, the more of its calls fit into a commit.
func TestAFastProviderHasMoreInProgress(t *testing.T) {
	for _, c := range []struct {
		call, disk time.Duration
		want       int
	}{
		{0, 0, 128}, {10 * time.Millisecond, 20 * time.Millisecond, 320}, {10 * time.Millisecond, 100 * time.Millisecond, 512},
		{0, 4 * time.Millisecond, 320},             // no faster than shortestCall
		{time.Minute, 100 * time.Millisecond, 320}, // nor slower than usualCall
	} {
		l := newQueue().lane("x")
		l.setLimit(spec.RateLimit{Concurrency: 64})
		for range 200 {
			l.took.took(c.call)
		}
		if n := l.room(c.disk); n < c.want-2 || n > c.want+2 {
			t.Errorf("a call takes %s, a commit %s: %d are in progress, want %d", c.call, c.disk, n, c.want)
		}
	}
}

// What only has to be recorded takes no room, but is not without bound either.
func TestWhatWasCalledTakesNoRoom(t *testing.T) {
	for _, c := range []struct {
		calls, running, called int
		full                   bool
	}{
		{64, 127, 0, false}, {64, 128, 0, true}, {64, 128, 1, false}, {64, 129, 1, true}, {64, 1023, 896, false}, {64, 1024, 1000, true}, {64, 1025, 1024, true},
		{4, 63, 56, false}, {4, 64, 60, true}, // progressMost for each, and as many that have called
		{256, 1023, 512, false}, {256, 1024, 600, true}, // calledMost
		{512, 1023, 10, false}, {512, 1024, 10, true}, {600, 1199, 10, false}, {600, 1200, 10, true}, // room
	} {
		l := newQueue().lane("x")
		l.setLimit(spec.RateLimit{Concurrency: c.calls})
		l.running = c.running
		l.called.Store(int64(c.called))
		if got := l.full(0); got != c.full {
			t.Errorf("%d calls, %d in progress of which %d have called: full is %v", c.calls, c.running, c.called, got)
		}
	}
}

// Of local work, those that wait for the disk take no room, the more of them the
// slower it is.
func TestWhatWaitsForTheDiskTakesNoRoom(t *testing.T) {
	for _, c := range []struct {
		disk             time.Duration
		running, waiting int
		full             bool
	}{
		{0, 255, 0, false}, {0, 256, 0, true}, {0, 256, 200, true}, {10 * time.Millisecond, 256, 256, true},
		{40 * time.Millisecond, 256, 0, true}, {40 * time.Millisecond, 256, 1, false}, {40 * time.Millisecond, 399, 144, false}, {40 * time.Millisecond, 400, 400, true},
		{10 * time.Second, 1023, 1000, false}, {10 * time.Second, 1024, 1024, true},
	} {
		l := newQueue().lane(localLane)
		l.running = c.running
		l.called.Store(int64(c.waiting))
		if got := l.full(c.disk); got != c.full {
			t.Errorf("a commit takes %s, %d in progress of which %d wait for it: full is %v", c.disk, c.running, c.waiting, got)
		}
	}
}

// A job counts once, however often it calls, and in no lane once it is over.
func TestCalledCountsOnce(t *testing.T) {
	l := newQueue().lane("x")
	var c called
	for range 3 {
		c.again()
		c.over(l)
		c.over(l)
	}
	if n := l.called.Load(); n != 1 {
		t.Errorf("it counts %d times", n)
	}
	c.again()
	c.again()
	if n := l.called.Load(); n != 0 {
		t.Errorf("after its end it counts %d times", n)
	}
	var none *called // of a request that no job makes
	none.over(l)
	none.again()
}

// A call makes room for others once it is answered, whatever was answered; one that
// nobody answered does not, before the breaker knows of it.
func TestOnlyAnAnsweredCallMakesRoom(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int64
	}{
		{"answered", nil, 1},
		{"refused", &providers.Error{Class: providers.ClassPermanent, Status: 400}, 1},
		{"no connection", &providers.Error{Class: providers.ClassTransient}, 0},
		{"a failing server", &providers.Error{Class: providers.ClassTransient, Status: 503}, 0},
		{"lost", &providers.Error{Class: providers.ClassUnknown}, 0},
		{"throttled", &providers.Error{Class: providers.ClassThrottled, Status: 429}, 0},
	} {
		l := newQueue().lane("x")
		l.setLimit(spec.RateLimit{Concurrency: 2})
		j := job{lane: l, calls: l.calls, called: new(called)}
		_, err := j.inFlight(time.Now, nil, func() (*providers.Reply, error) { return nil, c.err })
		if got := l.called.Load(); err != c.err || got != c.want || len(l.calls) != 0 {
			t.Errorf("%s: %d have called, want %d; %d in flight; error %v", c.name, got, c.want, len(l.calls), err)
		}
	}
}

// One commit that takes long is no slow disk; many are, and a fast one is noticed
// as soon.
func TestDiskTime(t *testing.T) {
	var d average
	d.took(8 * time.Second)
	if each := d.each(); each > time.Second {
		t.Errorf("after one slow commit each is thought to take %s", each)
	}
	for range 100 {
		d.took(300 * time.Millisecond)
	}
	if each := d.each(); each < 290*time.Millisecond || each > 310*time.Millisecond {
		t.Errorf("each commit takes 300ms, and is thought to take %s", each)
	}
	for range 100 {
		d.took(0)
	}
	if each := d.each(); each > 5*time.Millisecond {
		t.Errorf("the disk is fast again, and each commit is thought to take %s", each)
	}
}
