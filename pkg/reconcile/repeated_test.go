package reconcile_test

import (
	"fmt"
	"testing"
	"time"
)

// An API that gives one token again until that ends is asked a few times as the end comes
// near, not ever faster, and a new token is at its place within a moment of it.
func TestATokenThatIsGivenAgainUntilItsEnd(t *testing.T) {
	for name, early := range map[string]time.Duration{"to the second": 0, "for dead, in its last seconds": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &cached{dead: map[string]bool{}, early: early}
				w.serveAlso(x, "cached.localhost")
				w.set(cachedConfig("a"))
				time.Sleep(time.Second)
				dead, since := time.Duration(0), time.Now()
				w.pass(time.Hour, 500*time.Millisecond, func() {
					if x.works(w.places.get("a")) {
						since = time.Now()
					}
					dead = max(dead, time.Since(since))
				})
				x.mu.Lock()
				defer x.mu.Unlock()
				if x.n < 5 || x.n > 7 {
					t.Errorf("%d tokens in an hour, of ten minutes each: %+v", x.n, w.line("credential.cached.a"))
				}
				if x.tokens > 7*x.n { // five as the halves go by, one shortly before the end, one after it
					t.Errorf("%d requests for %d tokens", x.tokens, x.n)
				}
				if dead > 5*time.Second {
					t.Errorf("for %s the place held a token that has ended", dead)
				}
				if l := w.line("credential.cached.a"); l.Orphans > 0 {
					t.Errorf("%d tokens are taken to live on somewhere", l.Orphans)
				}
			})
		})
	}
}

// One that is given again until shortly before its end is never left at its place dead.
func TestATokenWhoseSuccessorComesShortlyBeforeItsEnd(t *testing.T) {
	for _, before := range []time.Duration{12 * time.Second, 20 * time.Second, 55 * time.Second, 70 * time.Second, 2 * time.Minute} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &cached{dead: map[string]bool{}, before: before}
				w.serveAlso(x, "cached.localhost")
				w.set(cachedConfig("a"))
				time.Sleep(time.Second)
				w.pass(2*time.Hour, 500*time.Millisecond, func() {
					if at := w.places.get("a"); !x.lives(at) {
						t.Fatalf("%s is at its place and has ended: %+v", at, w.line("credential.cached.a"))
					}
				})
				x.mu.Lock()
				defer x.mu.Unlock()
				if x.n < 12 || x.tokens > 7*x.n {
					t.Errorf("%d requests for %d tokens in two hours, of ten minutes each", x.tokens, x.n)
				}
			})
		})
	}
}
