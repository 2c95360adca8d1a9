package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// What a person let go counts for nothing afterwards: the guard limits what goes
// without one. It is remembered over a restart.
func TestWhatAPersonLetGoUsesNothingUp(t *testing.T) {
	// Each removes a credential and a sink.
	guard := `max_revocations = 4
max_revoked_percent = 100
settle = "1s"`
	for name, agree := range map[string]func(t *testing.T, w *world, config string){
		"approved": func(t *testing.T, w *world, config string) {
			held := w.set(config)
			if held == nil || held.Total() != 8 {
				t.Fatalf("held %+v", held)
			}
			if err := w.loop.Approve(t.Context(), held); err != nil {
				t.Fatal(err)
			}
		},
		"allowed": func(t *testing.T, w *world, config string) {
			held, err := w.loop.Set(t.Context(), w.config(config), reconcile.SetOptions{NoSettle: true, Allow: 8})
			if held != nil || err != nil {
				t.Fatalf("held %+v: %v", held, err)
			}
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					w.set(traders(guard, "x", "a b c d e f g h i j", ""))
					time.Sleep(time.Minute)
					agree(t, w, traders(guard, "x", "e f g h i j", ""))
					time.Sleep(time.Minute)
					if n := w.revocations(); n != 4 {
						t.Fatalf("%d revocations", n)
					}
					if restart {
						w.crash()
						w.set(traders(guard, "x", "e f g h i j", ""))
					}
					if h := w.set(traders(guard, "x", "g h i j", "")); h != nil {
						t.Errorf("what the limit allows is held: %s", h.Reason)
					}
					time.Sleep(time.Minute)
					if n := w.revocations(); n != 6 {
						t.Errorf("%d revocations", n)
					}
					if h := w.set(traders(guard, "x", "h i j", "")); h == nil {
						t.Error("what nobody approved no longer counts")
					}
				})
			})
		}
	}
}

// An approval waits for no settle, that of sinks neither which an earlier change
// removed and for which the credential waits.
func TestAnApprovalWaitsForNoSettleOfEarlierSinks(t *testing.T) {
	guard := `settle = "10m"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b", ""))
		time.Sleep(time.Minute)
		w.set(before(traders(guard, "x", "a b", ""), "sink"))
		time.Sleep(time.Minute)
		if w.places.get("a") == "" {
			t.Fatal("a removed sink did not wait for the files to settle")
		}
		held := w.set("tokend {\n  guard {\n    settle = \"10m\"\n  }\n}\n")
		if held == nil || len(held.Revocations) != 2 {
			t.Fatalf("held %+v", held)
		}
		if err := w.loop.Approve(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 2 || w.places.get("a") != "" {
			t.Errorf("a minute after the approval: %d revocations, the place holds %q", n, w.places.get("a"))
		}
	})
}
