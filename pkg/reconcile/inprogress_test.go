package reconcile

import (
	"testing"
	"time"

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
		{"local", 0, 256}, {"local", 10 * time.Millisecond, 256}, {"local", 40 * time.Millisecond, 400}, {"local", 10 * time.Second, 1024},
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

// One commit that takes long is no slow disk; many are, and a fast one is noticed
// as soon.
func TestDiskTime(t *testing.T) {
	var d diskTime
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
