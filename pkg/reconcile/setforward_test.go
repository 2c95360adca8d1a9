package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// overlapping declares credentials that get the same token, which lives for a day, and each
// of which keeps an old one for its overlap.
func overlapping(overlap string, names ...string) string {
	out := strings.Replace(cachedConfig(names...), "expires_in   = body.expires_in", "expires_in = 86400", 1)
	for _, n := range names {
		head := "credential \"cached\" \"" + n + "\" {"
		out = strings.Replace(out, head, head+"\n  lifecycle { overlap = \""+overlap+"\" }\n", 1)
	}
	return out
}

// another has the API give another token from now on.
func (x *cached) another() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.until = time.Now()
}

// answersSlowly has its answers to requests for a token take so long.
func (x *cached) answersSlowly(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.slowly = func(path string) (before, after time.Duration) {
		if path == "/revoke" {
			return 0, 0
		}
		return 0, d
	}
}

// The machine's clock is set forward: an old token lives on for its overlap, also through
// a restart soon after, and where the record was being written while the clock was set.
func TestAClockThatIsSetForwardCutsNoOverlap(t *testing.T) {
	const overlap = 20 * time.Minute
	for name, c := range map[string]struct {
		by      time.Duration
		slow    time.Duration // the clock is set while the next token is on its way for so long
		crash   bool
		removed bool // another credential that had the same token is removed, which is to revoke that
	}{
		"by less":                      {by: 5 * time.Minute},
		"by more":                      {by: time.Hour},
		"before a crash":               {by: 5 * time.Minute, crash: true},
		"by more, before a crash":      {by: time.Hour, crash: true},
		"during a call":                {by: 5 * time.Minute, slow: 10 * time.Second},
		"by more, during a call":       {by: time.Hour, slow: 10 * time.Second},
		"during a call before a crash": {by: time.Hour, slow: 10 * time.Second, crash: true},
		"another one's token":          {by: time.Hour, removed: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.restartBySteppedClock()
				x := &cached{dead: map[string]bool{}}
				w.serveAlso(x, "cached.localhost")
				taint := func() {
					x.another()
					if err := w.loop.Do(t.Context(), "credential.cached.a", reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
						t.Error(err)
					}
				}
				if c.removed {
					w.set(overlapping(overlap.String(), "a", "b"))
					time.Sleep(time.Second)
				}
				config := overlapping(overlap.String(), "a")
				if !c.removed {
					w.set(config)
				}
				time.Sleep(time.Second)
				taint()
				time.Sleep(time.Second)
				replaced := map[string]time.Time{"at1": time.Now()}
				if w.places.get("a") != "at2" {
					t.Fatalf("a holds %q", w.places.get("a"))
				}
				if c.removed {
					w.set(config)
				}
				time.Sleep(10 * time.Second)
				done := make(chan bool)
				go func() {
					defer close(done)
					if c.slow > 0 {
						x.answersSlowly(c.slow)
						taint()
						time.Sleep(time.Second)
						replaced["at2"] = time.Now()
					}
				}()
				time.Sleep(2 * time.Second)
				w.wrong.Add(int64(c.by))
				w.clockSet <- struct{}{}
				<-done
				time.Sleep(10 * time.Second)
				if c.crash {
					w.crash()
					w.set(config)
				}
				w.pass(overlap+2*time.Minute, time.Second, func() {
					for _, token := range strings.Fields(x.revocations()) {
						since, first := replaced[token]
						if lived := time.Since(since); first && (lived < overlap-2*time.Second || lived > overlap+sharedLookTime) {
							t.Fatalf("%s is revoked %s after it was replaced, by an overlap of %s", token, lived, overlap)
						}
						delete(replaced, token)
					}
				})
				if len(replaced) > 0 {
					t.Errorf("not revoked: %v", replaced)
				}
			})
		})
	}
}

// sharedLookTime is within what time of its being possible a revocation is made that
// waited for another credential.
const sharedLookTime = 31 * time.Second

// What few records a step forward concerns are brought in line at once, however many others
// there are: a crash a moment later cuts no overlap.
func TestAStepForwardIsOnRecordSoonAmongThousands(t *testing.T) {
	const overlap = 20 * time.Minute
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.restartBySteppedClock()
		x := &cached{dead: map[string]bool{}}
		w.serveAlso(x, "cached.localhost")
		config := overlapping(overlap.String(), "a") + `
secret "mem" "pw" { value = "a-password" }
` + crowd(1, "")
		w.set(config)
		time.Sleep(30 * time.Second)
		x.another()
		if err := w.loop.Do(t.Context(), "credential.cached.a", reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
			t.Fatal(err)
		}
		w.until("a has another token", func() bool { return w.places.get("a") == "at2" })
		time.Sleep(10 * time.Second)
		w.wrong.Add(int64(5 * time.Minute)) // by so much that its overlap is not over by the clock
		w.clockSet <- struct{}{}
		time.Sleep(200 * time.Millisecond)
		w.crash()
		w.set(config)
		time.Sleep(overlap - time.Minute)
		if got := x.revocations(); got != "" {
			t.Errorf("revoked %q within its overlap", got)
		}
		time.Sleep(2 * time.Minute)
		if got := x.revocations(); got != "at1" {
			t.Errorf("revoked %q after its overlap, want at1", got)
		}
	})
}
