package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// A place was given something else for no other token (a secret that it holds, too,
// changed), and a crash came before that was recorded. Once the sink is removed, with
// all that would tell what it holds, the place is cleaned all the same.
func TestWhatACrashLeftUnrecordedIsCleaned(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		first, second := "one", "two"
		w.values.Store(&first)
		hcl := strings.Replace(trader("a@example.com", `secret "mem" "s" { value = "from-the-loop" }`), "credential.coinify.trader.access_token", `"${credential.coinify.trader.access_token} ${secret.mem.s.value}"`, 1)
		w.set(hcl)
		w.wait(time.Minute)
		w.values.Store(&second)
		if err := w.loop.Touched(t.Context(), nil, true); err != nil {
			t.Fatal(err)
		}
		w.wait(100 * time.Millisecond)
		if got := w.places.get("trader"); !strings.HasSuffix(got, " two") {
			t.Fatalf("it holds %q", got)
		}
		w.crash()
		w.set(hcl)
		w.wait(5 * time.Minute)
		w.unreadable.Store(true)
		w.set("")
		if h, err := w.loop.Held(t.Context()); err != nil || h == nil {
			t.Fatalf("held %v, %v", h, err)
		} else if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Hour)
		if got := w.places.get("trader"); got != "" {
			t.Errorf("it still holds %q", got)
		}
	})
}

// A crash came before a write was recorded, and the look at the place after the start
// takes so long that the sink is removed meanwhile, and a newer token is there by then:
// what that look has found is known, and the place is cleaned.
func TestWhatASlowLookHasFoundIsCleaned(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		refresh := func() {
			t.Helper()
			if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
				t.Fatal(err)
			}
		}
		hcl := trader("a@example.com", "")
		other := strings.Replace(hcl, "sink \"mem\" \"trader\" {\n  place   = \"trader\"", "sink \"mem\" \"other\" {\n  place   = \"other\"", 1)
		w.set(hcl)
		w.wait(time.Minute)
		first := w.places.get("trader")
		refresh()
		w.wait(100 * time.Millisecond)
		if got := w.places.get("trader"); got == first {
			t.Fatalf("it holds %q still", got)
		}
		w.crash()
		look := make(chan struct{})
		w.places.checkBy(func() { <-look })
		w.set(hcl)
		w.wait(time.Second)
		refresh()
		w.wait(5 * time.Second)
		w.set(other)
		w.wait(time.Minute)
		w.places.checkBy(nil)
		close(look)
		w.wait(time.Minute)
		if got := w.places.get("trader"); got != "" {
			t.Errorf("it still holds %q; log: %s", got, w.places.events())
		}
	})
}

// A full disk kept a write from being recorded before a crash, and when the disk takes
// it, the sink is moved at once and its credential has another account. What the place
// holds that it leaves is known, and cleaned, also where the new token is there before
// that place could be looked at, or while it is.
func TestWhatACrashLeftUnrecordedIsCleanedAfterAMoveAndAnotherToken(t *testing.T) {
	for name, held := range map[string]func(w *world) (release func()){
		"while its new place is compared": func(w *world) func() {
			look := make(chan struct{})
			w.places.checkBy(func() { <-look })
			return func() { w.places.checkBy(nil); close(look) }
		},
		"before it could be looked at": func(w *world) func() {
			w.places.breakWith(errors.New("it cannot be rendered"))
			return func() { w.places.breakWith(nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				full := w.onDisk(ofSinks)
				hcl := trader("a@example.com", "")
				w.set(hcl)
				w.wait(time.Minute)
				recorded := w.places.get("trader")
				full.Store(true)
				if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
					t.Fatal(err)
				}
				w.until("a newer token is at the place", func() bool { return w.places.get("trader") != recorded })
				unrecorded := w.places.get("trader")
				w.crash()
				full.Store(false)
				release := held(w)
				w.set(strings.Replace(trader("b@example.com", ""), `place   = "trader"`, `place   = "elsewhere"`, 1))
				w.wait(time.Minute)
				release()
				w.wait(10 * time.Minute)
				if got := w.places.get("trader"); got != "" {
					t.Errorf("the place that it left holds %q still; log: %s", got, w.places.events())
				}
				if got := w.places.get("elsewhere"); got == "" || got == unrecorded {
					t.Errorf("its new place holds %q", got)
				}
			})
		})
	}
}
