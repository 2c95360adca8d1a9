package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// placed is a configuration of one trader whose sink has a place.
func placed(guard, place string) string {
	return strings.Replace(traders(guard, "example.com", "a", ""), "place    = each.key", `place    = "`+place+`"`, 1)
}

const holdsAll = "max_revocations = 0\nsettle = \"1s\""

// stays has a day go by, in which what a place holds works all the time.
func (w *world) stays(place string) {
	w.t.Helper()
	first := w.places.get(place)
	w.pass(24*time.Hour, 10*time.Minute, func() {
		if !w.works(standin.Coinify, place) {
			w.t.Fatalf("at %s the token at %s does not work; log: %s", time.Now(), place, w.places.events())
		}
	})
	if w.places.get(place) == first {
		w.t.Fatal("it was never refreshed")
	}
}

// A sink whose other place the guard holds back goes on at the one it has.
func TestAHeldPlaceGoesOn(t *testing.T) {
	for name, restart := range map[string]bool{"while it runs": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(placed(holdsAll, "here"))
				time.Sleep(time.Minute)
				if restart {
					w.crash()
				}
				for range 2 {
					h := w.set(placed(holdsAll, "there"))
					if h == nil || len(h.Sinks) != 1 {
						t.Fatalf("held %+v", h)
					}
					w.stays("here")
					w.crash()
				}
				h := w.set(placed(holdsAll, "there"))
				if err := w.loop.Approve(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if !w.works(standin.Coinify, "there") || w.places.get("here") != "" {
					t.Errorf("after the approval: %q here, %q there", w.places.get("here"), w.places.get("there"))
				}
			})
		})
	}
}

// The same configuration in another directory means other places where those are
// relative to it.
func TestAHeldPlaceOfAnotherDirectory(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.relative = true
		w.set(placed(holdsAll, "x"))
		time.Sleep(time.Minute)
		w.crash()
		w.dir = "/other"
		if h := w.set(placed(holdsAll, "x")); h == nil || len(h.Sinks) != 1 {
			t.Fatalf("held %+v", h)
		}
		w.stays("/config/x")
		w.crash()
		w.set(placed(holdsAll, "x"))
		w.stays("/config/x")
	})
}

// The place changed while the first write to the one before was under way.
func TestAHeldPlaceThatWasBeingWritten(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		block := make(chan struct{})
		w.places.blockBy(block)
		w.set(placed(holdsAll, "here"))
		time.Sleep(time.Minute)
		if h := w.set(placed(holdsAll, "there")); h != nil {
			t.Logf("held %+v", h)
		}
		w.places.blockBy(nil)
		close(block)
		time.Sleep(time.Minute)
		h, err := w.loop.Held(t.Context())
		if err != nil || h == nil || len(h.Sinks) != 1 {
			t.Fatalf("held %+v, %v", h, err)
		}
		w.stays("here")
		w.crash()
		w.set(placed(holdsAll, "there"))
		w.stays("here")
	})
}
