package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What is promised of the time from an event until what it brought was done.
const (
	sinceLast  = 2 * time.Second
	sinceFirst = 5 * time.Second
)

// tries is how often a promise of time is measured before it counts as broken: a
// machine that stood still for a moment is no fault of the daemon's.
const tries = 4

// wroteAt is when a file was written, by the kernel's clock.
func wroteAt(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// unrest is something that is done again and again.
type unrest struct {
	t     *testing.T
	stop  chan struct{}
	ended chan error

	mu      sync.Mutex
	times   int
	last    time.Time     // when it was done last: just before
	longest time.Duration // between two times, from before the one until after the other
}

func newUnrest(t *testing.T, every time.Duration, do func(i int) error) *unrest {
	u := &unrest{t: t, stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			before := time.Now()
			if err := do(i); err != nil {
				u.ended <- err
				return
			}
			u.done(before)
			select {
			case <-tick.C:
			case <-u.stop:
				u.ended <- nil
				return
			}
		}
	}()
	return u
}

func (u *unrest) done(before time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.times++; u.times > 1 {
		u.longest = max(u.longest, time.Since(u.last))
	}
	u.last = before
}

// so reports how often it was done, and the longest time between two.
func (u *unrest) so() (times int, longest time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.times, u.longest
}

// end ends it, and returns when it was done last.
func (u *unrest) end() time.Time {
	u.t.Helper()
	close(u.stop)
	if err := <-u.ended; err != nil {
		u.t.Fatal(err)
	}
	return u.last
}

// An addition acts within two seconds of the last event and within five of the
// first: at once in a directory where nothing else happens, while files in it never
// hold still, and while a git's lock is there, be it at work or killed.
func TestAnAdditionIsInTime(t *testing.T) {
	const (
		quietBetween = 3 * configQuiet
		lock         = ".git/index.lock"
	)
	for name, c := range map[string]struct {
		locked   bool
		restless string        // a file that is rewritten all the while
		every    time.Duration // how often
		most     time.Duration
	}{
		"alone": {most: sinceLast},
		"beside a file that changes now and then":            {restless: "notes.txt", every: quietBetween, most: sinceFirst},
		"beside a file that never holds still":               {restless: "notes.txt", every: configQuiet / 5, most: sinceFirst},
		"beside a block that never holds still":              {restless: "restless.hcl", every: configQuiet / 5, most: sinceFirst},
		"beside a lock that comes and goes":                  {locked: true, restless: lock, every: configQuiet / 5, most: sinceLast},
		"beside a lock":                                      {locked: true, most: sinceLast},
		"beside a lock and a file that changes now and then": {locked: true, restless: "notes.txt", every: quietBetween, most: sinceFirst},
		"beside a lock and a block that never holds still":   {locked: true, restless: "restless.hcl", every: configQuiet / 5, most: sinceFirst},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := settleLab(t)
			if c.locked {
				l.git("init", "--quiet")
				l.write(lock, "")
			}
			l.start()
			l.untilReady(1)
			var took []time.Duration
			for i := range tries {
				sink := fmt.Sprintf("added%d", i)
				begun := time.Now() // before the first event, and where nothing else happens before the last
				l.write(sink+".hcl", sinkFile(sink, "new"))
				if c.restless != "" {
					u := newUnrest(t, c.every, func(i int) error {
						if c.restless == lock && i%2 == 1 {
							return os.Remove(filepath.Join(l.config, lock))
						}
						return os.WriteFile(filepath.Join(l.config, c.restless), fmt.Appendf(nil, "locals { restless = %d }\n", i), 0o600)
					})
					l.untilContent(sink, "new")
					u.end()
				}
				l.untilContent(sink, "new")
				d := wroteAt(t, filepath.Join(l.out, sink)).Sub(begun)
				if took = append(took, d); d <= c.most {
					t.Logf("it took %v", took)
					return
				}
			}
			t.Errorf("of %d additions none was in time: %v, and at most %v is promised", tries, took, c.most)
		})
	}
}

// A removal waits until the configuration's files, and what they read, were quiet
// for settle: whatever is written to them meanwhile, the same again included.
func TestARemovalWaitsForQuiet(t *testing.T) {
	same := func(text string) func(int) string { return func(int) string { return text } }
	const whole = "locals { restless = 1 }\n"
	for name, c := range map[string]struct {
		file    string
		content func(i int) string
	}{
		"a block that changes":                  {"restless.hcl", func(i int) string { return fmt.Sprintf("locals { restless = %d }\n", i) }},
		"a block that stays as it was":          {"restless.hcl", same(whole)},
		"a block that is broken":                {"restless.hcl", func(i int) string { return fmt.Sprintf("locals { restless = %d\n", i) }},
		"a file that a block reads":             {"read.txt", func(i int) string { return fmt.Sprint(i) }},
		"the same in a file that a block reads": {"read.txt", same(whole)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := settleLab(t)
			const settle = 2 * time.Second // more than what an event may wait to be told
			l.edit("main.hcl", `"300ms"`, `"2s"`)
			l.write("restless.hcl", whole)
			l.write("read.txt", whole)
			l.write("reads.hcl", "locals { read = file(\"${path.config}/read.txt\") }\n")
			l.start()
			path, gone := filepath.Join(l.config, c.file), filepath.Join(l.out, "gone")
			write := func(text string) error { return os.WriteFile(path, []byte(text), 0o600) }
			var found []string
			for range tries {
				l.write("gone.hcl", sinkFile("gone", "here"))
				l.untilContent("gone", "here")
				l.remove("gone.hcl")
				u := newUnrest(t, 150*time.Millisecond, func(i int) error { return write(c.content(i)) })
				var longest time.Duration
				l.until("there was unrest for long", func() (bool, string) {
					var times int
					times, longest = u.so()
					return times > 26, fmt.Sprint(times)
				})
				_, early := os.Stat(gone)
				last := u.end()
				if c.content(0) != whole {
					last = time.Now()
					if err := write(whole); err != nil {
						t.Fatal(err)
					}
				}
				l.untilContent("gone", "")
				after := wroteAt(t, l.out).Sub(last) // when the last thing changed there
				if early == nil && after >= settle-tick {
					return
				}
				found = append(found, fmt.Sprintf("it was removed %v after the last event; the longest time between two was %v", after, longest))
			}
			t.Errorf("in none of %d tries did it wait until all was quiet for %v:\n%s", tries, settle, strings.Join(found, "\n"))
		})
	}
}
