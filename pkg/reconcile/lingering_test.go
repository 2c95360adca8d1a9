package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// withOverlap gives one of the credentials of a configuration an overlap of ten minutes.
func withOverlap(config, typ, name string) string {
	head := "credential \"" + typ + "\" \"" + name + "\" {\n"
	return strings.Replace(config, head, head+"  lifecycle { overlap = \"10m\" }\n", 1)
}

// A token that was replaced lives for its overlap also where another one has replaced the
// second within that: the removal of a credential that has the first one, too, waits.
func TestAnOverlapHoldsThoughItsTokenWasReplacedTwice(t *testing.T) {
	for _, replaced := range []int{1, 2, 3} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			x := &cached{dead: map[string]bool{}}
			w.serveAlso(x, "cached.localhost")
			config := func(names ...string) string {
				c := withOverlap(cachedConfig(names...), "cached", "b")
				return strings.Replace(c, "expires_in   = body.expires_in", "expires_in = 86400", 1)
			}
			w.set(config("a", "b"))
			time.Sleep(time.Second)
			for range replaced {
				x.mu.Lock()
				x.until = time.Now() // it gives another from now on
				x.mu.Unlock()
				if err := w.loop.Do(t.Context(), "credential.cached.b", reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
			}
			w.set(config("b"))
			time.Sleep(10*time.Minute - time.Duration(replaced)*10*time.Second - time.Second)
			if got := x.revocations(); got != "" {
				t.Errorf("replaced %d times: revoked %q within b's overlap", replaced, got)
			}
			if why := w.line("credential.cached.a").Next; !strings.Contains(why, "credential.cached.b had a token until a moment ago which the revocation would end") {
				t.Errorf("replaced %d times: it waits for %q: %+v", replaced, why, w.line("credential.cached.a"))
			}
			time.Sleep(2 * time.Minute)
			want := []string{"at1", "at2", "at3"}[:replaced]
			if got := slices.Compact(slices.Sorted(strings.FieldsSeq(x.revocations()))); !slices.Equal(got, want) { // at1 by both
				t.Errorf("replaced %d times: revoked %q after b's overlap, want %q", replaced, got, want)
			}
		})
	}
}

// A revocation waits for the overlap of whatever it ends: also of an old token that is of
// the same account, or has the same refresh token.
func TestARevocationWaitsForTheOverlapOfWhatItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		one, crash bool
	}{
		"of one account":                {},
		"of one account, after a start": {crash: true},
		"one refresh token":             {one: true},
		"one refresh token, a start":    {one: true, crash: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				x := &together{one: c.one, live: map[string]string{}, until: map[string]time.Time{}, refresh: map[string]string{}}
				w.serveAlso(x, "cached.localhost")
				config := func(of ...string) string { return withOverlap(togetherConfig(c.one, of...), "cached", "b") }
				w.set(config("a=me", "b=me"))
				time.Sleep(time.Second)
				old := w.places.get("b")
				w.set(config("a=me", "b=you"))
				time.Sleep(10 * time.Second)
				w.set(config("b=you"))
				if c.crash {
					time.Sleep(time.Minute)
					w.crash()
					w.set(config("b=you") + "\n# after it\n")
				}
				for range 8 {
					time.Sleep(time.Minute)
					if now := w.places.get("b"); now == old || !x.works(now) {
						t.Fatalf("b holds %q, had %q: %+v", now, old, w.line("credential.cached.b"))
					}
					if !x.works(old) {
						t.Fatalf("b's old token is dead within its overlap; revoked %q", x.revocations())
					}
				}
				time.Sleep(3 * time.Minute)
				if x.works(old) {
					t.Errorf("b's old token lives on after its overlap; revoked %q", x.revocations())
				}
				if now := w.places.get("b"); !x.works(now) {
					t.Errorf("b holds %q, which does not work", now)
				}
				if l := w.line("credential.cached.b"); l.Retiring != 0 {
					t.Errorf("b has not revoked what it had: %+v", l)
				}
			})
		})
	}
}
