package reconcile

import (
	"encoding/json"
	"testing"
	"time"

	"tokend/pkg/spec"
)

// What the state keeps of a limit, read back by a start: the provider counts no more
// than the limit, whatever the clocks did meanwhile, and nobody waits for longer than
// one length of it.
func TestALimitIsReadBack(t *testing.T) {
	const boot, up = "a boot", 30 * time.Hour
	limit := spec.RateLimit{Requests: 3, Per: time.Minute}
	one := spec.RateLimit{Requests: 1, Per: time.Minute}
	written := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	length := newPace(limit).per
	for name, c := range map[string]struct {
		down  time.Duration // from when it was written until the start
		wall  time.Duration // by how much the wall clock was set meanwhile
		boot  string        // at the start
		up    time.Duration // at the start
		limit spec.RateLimit
		wait  time.Duration // until the next one can be sent
	}{
		// Three were sent: 40, 20 and no seconds before it was written.
		"at once":                        {0, 0, boot, up, limit, length - 40*time.Second},
		"later":                          {15 * time.Second, 0, boot, up + 15*time.Second, limit, length - 55*time.Second},
		"as all is over":                 {2 * time.Minute, 0, boot, up + 2*time.Minute, limit, 0},
		"the clock was set forward":      {15 * time.Second, time.Hour, boot, up + 15*time.Second, limit, length - 55*time.Second},
		"the clock was set back":         {15 * time.Second, -time.Hour, boot, up + 15*time.Second, limit, length - 55*time.Second},
		"booted anew":                    {45 * time.Second, 0, "another", 20 * time.Second, limit, 0},
		"booted anew, the clock behind":  {45 * time.Second, -time.Hour, "another", 20 * time.Second, limit, length - time.Minute},
		"no uptime":                      {45 * time.Second, 0, "", 0, limit, 0},
		"no uptime, the clock behind":    {45 * time.Second, -time.Hour, "", 0, limit, length - 40*time.Second},
		"another machine, up for longer": {15 * time.Second, 0, "another", 1000 * time.Hour, limit, length - 55*time.Second},
		"a tighter limit":                {0, 0, boot, up, one, length},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []time.Time
			p := newPace(limit)
			for _, ago := range []time.Duration{40 * time.Second, 20 * time.Second, 0} {
				at := written.Add(-ago)
				n, wait := p.try(at)
				if wait > 0 {
					t.Fatalf("%s before it is written a request waits for %s", ago, wait)
				}
				p.end(n, at)
				sent = append(sent, at)
			}
			var rec sentBefore
			if err := json.Unmarshal(p.sent(written, boot, up), &rec); err != nil {
				t.Fatal(err)
			}
			p = newPace(c.limit)
			start := written.Add(c.down + c.wall)
			p.recall(rec, start, c.boot, c.up)
			_, wait := p.try(start)
			if wait != c.wait {
				t.Errorf("the next one waits for %s, want %s", wait, c.wait)
			}
			at := start.Add(wait)
			if wait == 0 {
				p.end(p.count, at)
				sent = append(sent, at.Add(-c.wall))
			}
			for range 10 {
				n, wait := p.try(at)
				for wait > 0 {
					at = at.Add(wait)
					n, wait = p.try(at)
				}
				p.end(n, at)
				sent = append(sent, at.Add(-c.wall)) // as the provider counts
			}
			if c.limit == one {
				sent = sent[2:]
			}
			if n := most(sent, c.limit.Per); n > c.limit.Requests {
				t.Errorf("%d requests within %s: %s", n, c.limit.Per, sent)
			}
		})
	}
}

// Of what is about to be sent as the state is written, the latest time counts at which
// it may have been sent; at a start that comes soon it is taken for sent just now, and
// the next one moves that no further.
func TestWhatWasAboutToBeSentCounts(t *testing.T) {
	limit := spec.RateLimit{Requests: 1, Per: time.Minute}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	p := newPace(limit)
	s := p.take()
	s.reserve(now)
	var rec sentBefore
	if err := json.Unmarshal(p.sent(now.Add(time.Second), "a boot", time.Hour), &rec); err != nil {
		t.Fatal(err)
	}
	for down, want := range map[time.Duration]time.Duration{0: p.per, 4 * time.Second: p.per, time.Minute: p.per + reservedFor - time.Minute - time.Second, 2 * time.Minute: 0} {
		p := newPace(limit)
		p.recall(rec, now.Add(time.Second+down), "a boot", time.Hour+down)
		if _, wait := p.try(now.Add(time.Second + down)); wait != want {
			t.Errorf("%s later a request waits for %s, want %s", down, wait, want)
		}
	}
	if s.leave(); p.sent(now, "a boot", time.Hour) != nil {
		t.Error("what was never sent is kept")
	}
}

// What is kept is small, however great the limit is, and what stands for many counts
// for all of them.
func TestWhatIsKeptOfAGreatLimitIsSmall(t *testing.T) {
	limit := spec.RateLimit{Requests: 4000, Per: time.Hour}
	p, now := newPace(limit), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 4000 {
		n, wait := p.try(now)
		for wait > 0 {
			now = now.Add(wait)
			n, wait = p.try(now)
		}
		p.end(n, now.Add(100*time.Millisecond))
	}
	b := p.sent(now, "7a1c1d5e-9d4b-4f0e-8b0e-0d1d6c1b8a3e", time.Hour)
	var rec sentBefore
	if err := json.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	all := int64(0)
	for _, s := range rec.Sent {
		all += s[1]
	}
	if len(b) > 2000 || all != 4000 {
		t.Errorf("%d bytes tell of %d requests", len(b), all)
	}
	// Nor is each of them looked at again for each request: what was answered is in the sums.
	if p.settled != 4000 || len(p.grains) > sentGrains+2 {
		t.Errorf("%d requests of 4000 are summed up in %d sums", p.settled, len(p.grains))
	}
	// A whole length later nothing is left of them.
	if later := now.Add(p.per + time.Second); p.sent(later, "", 0) != nil || len(p.grains) != 0 {
		t.Errorf("%d sums are left of requests that nobody counts any more", len(p.grains))
	}
}

// One that has no reply is summed up once it is taken for arrived, and keeps those after
// it from being forgotten no longer than that.
func TestARequestWithoutAReplyIsSummedUp(t *testing.T) {
	p, now := newPace(spec.RateLimit{Requests: 100, Per: time.Minute}), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 10 {
		n, wait := p.try(now)
		for wait > 0 {
			now = now.Add(wait)
			n, wait = p.try(now)
		}
		if i > 0 {
			p.end(n, now)
		}
	}
	count := func(now time.Time) (n int64) {
		var rec sentBefore
		if err := json.Unmarshal(p.sent(now, "", 0), &rec); err != nil {
			t.Fatal(err)
		}
		for _, s := range rec.Sent {
			n += s[1]
		}
		return n
	}
	if n := count(now); n != 10 || p.settled != 0 {
		t.Errorf("%d counted, %d summed up", n, p.settled)
	}
	if n := count(now.Add(p.grace)); n != 10 || p.settled != 10 {
		t.Errorf("after the grace: %d counted, %d summed up", n, p.settled)
	}
}

func BenchmarkWhatIsKeptOfALimit(b *testing.B) {
	p, now := newPace(spec.RateLimit{Requests: 4000, Per: time.Hour}), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 4000 {
		n, wait := p.try(now)
		for wait > 0 {
			now = now.Add(wait)
			n, wait = p.try(now)
		}
		p.end(n, now)
	}
	for b.Loop() {
		p.sent(now, "7a1c1d5e-9d4b-4f0e-8b0e-0d1d6c1b8a3e", time.Hour)
	}
}
