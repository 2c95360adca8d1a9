package reconcile

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Hooks that are proven have places that no other hook takes, and go first; a run that
// was cut off while it waited takes no place, and all come back.
func TestPlacesOfPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p programs
		all := func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.all
		}
		run := func(ctx context.Context, hook string, takes time.Duration) chan time.Duration {
			began, waited := time.Now(), make(chan time.Duration, 1)
			go func() {
				end, err := p.begin(ctx, hook, time.Minute)
				if err != nil {
					return
				}
				defer end()
				waited <- time.Since(began)
				time.Sleep(takes)
			}()
			synctest.Wait()
			return waited
		}
		run(t.Context(), "good", time.Second)
		time.Sleep(2 * time.Second)
		cut, cancel := context.WithCancel(t.Context())
		for i := range 600 {
			ctx := t.Context()
			if i >= 500 {
				ctx = cut
			}
			run(ctx, fmt.Sprint("bad", i), time.Minute)
		}
		if n := all(); n != programLimit {
			t.Errorf("%d begin at once, want %d", n, programLimit)
		}
		time.Sleep(20 * time.Second)
		if want := programMost - programKept; all() != want || len(p.waiting()) != 600-want {
			t.Errorf("%d run and %d wait", all(), len(p.waiting()))
		}
		if waited := <-run(t.Context(), "good", 0); waited != 0 {
			t.Errorf("a proven hook waited for %s", waited)
		}
		synctest.Wait()
		if why, _ := p.words("bad0"); why != "" {
			t.Errorf("of one that runs for 20s it is said: %s", why)
		}
		time.Sleep(20 * time.Second)
		if why, waits := p.words("bad0"); waits || why != "it has been running for 40s, its timeout is 1m" {
			t.Errorf("of one that hangs it is said: %s", why)
		}
		cancel()
		synctest.Wait()
		if n := len(p.waiting()); n != 500-(programMost-programKept) {
			t.Errorf("%d wait once the others were cut off", n)
		}
		time.Sleep(5 * time.Minute)
		waiting := len(p.waiting())
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.all+p.young+p.doubtful+waiting+len(p.of) != 0 {
			t.Errorf("places are left over: %d, %d young, %d doubtful", p.all, p.young, p.doubtful)
		}
		if p.proven["bad0"] || !p.proven["good"] {
			t.Error("it is not known which of them hang")
		}
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{40 * time.Second: "40s", 2 * time.Minute: "2m", 90 * time.Second: "1m30s", 2 * time.Hour: "2h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s"} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
