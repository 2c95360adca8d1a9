package reconcile_test

import (
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
				if x.tokens > 6*x.n {
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
