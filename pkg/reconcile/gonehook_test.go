package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// failsFor has the hooks fail, and tells how often they were run since.
func (w *world) failsFor(why string) (ran func() int) {
	w.places.failHooks(errors.New(why))
	before := w.places.refusals.Load()
	return func() int { return int(w.places.refusals.Load() - before) }
}

// The hooks of a removed sink fail. One that is declared is tried again; one that went
// with it has had its last run, and nothing is left of it.
func TestAHookThatWentIsRunOnceMore(t *testing.T) {
	for _, gone := range []bool{true, false} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.set(twoHooks())
			time.Sleep(10 * time.Second)
			ran := w.failsFor("no such unit")
			after := cutOut(twoHooks(), `sink "mem" "trader"`)
			if gone {
				after = cutOut(after, `hook "mem" "tell"`, `hook "mem" "also"`)
			}
			w.set(after)
			time.Sleep(5 * time.Minute)
			v, err := w.loop.Status(context.Background(), "")
			if err != nil || len(v.Sinks) > 0 || v.Ready != gone {
				t.Errorf("gone %v: %+v (%v)", gone, v, err)
			}
			if n := ran(); gone && n != 2 || !gone && n < 10 {
				t.Errorf("gone %v: the hooks ran %d times", gone, n)
			}
		})
	}
}

// A hook fails for long, and goes with its sink: whenever that is removed, it is run once
// more for it, and not before.
func TestAFailingHookThatGoesWithItsSinkIsRunOnceMore(t *testing.T) {
	for _, settle := range []string{"0s", "40s"} {
		for _, failsFor := range []time.Duration{2 * time.Second, 12 * time.Minute} {
			t.Run(fmt.Sprint(settle, " ", failsFor), func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					ran := w.failsFor("exit status 3")
					config := strings.Replace(twoHooks(), `settle = "0s"`, `settle = "`+settle+`"`, 1)
					w.set(config)
					time.Sleep(failsFor)
					before := ran()
					w.set(cutOut(config, `sink "mem" "trader"`, `hook "mem" "tell"`, `hook "mem" "also"`))
					time.Sleep(90 * time.Second)
					if n := ran() - before; n != 2 {
						t.Errorf("the two hooks ran %d times", n)
					}
					v, err := w.loop.Status(context.Background(), "")
					if err != nil || !v.Ready || len(v.Hooks) > 0 {
						t.Errorf("afterwards: %+v (%v)", v, err)
					}
				})
			})
		}
	}
}

// A hook that failed and whose removal with its sink is held back waits for that, with
// what it has still to tell; a person can have it run before, or never.
func TestAFailedHookThatWentWaitsForItsSink(t *testing.T) {
	for _, does := range []string{"nothing", "retry", "state rm", "revert"} {
		t.Run(does, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				config := trader("a@example.com", "")
				ran := w.failsFor("exit status 3")
				w.set(config)
				time.Sleep(time.Minute)
				before := ran()
				w.set(withoutAll)                          // is held back
				time.Sleep(10*time.Minute + 7*time.Second) // between two looks
				if n := ran() - before; n > 0 {
					t.Fatalf("it ran %d times while its sink is there", n)
				}
				w.says("hook.mem.tell", reconcile.Waiting, "run once more when sink.mem.trader is removed", "tokend retry hook.mem.tell")
				var left []string
				hooks := func() []string {
					v, err := w.loop.Status(context.Background(), "")
					if err != nil {
						t.Fatal(err)
					}
					left = nil
					for _, h := range v.Hooks {
						left = append(left, h.Address)
					}
					return left
				}
				switch does {
				case "nothing":
				case "retry":
					err := w.loop.Do(t.Context(), "hook.mem.tell", reconcile.Order{Kind: reconcile.OrderRetry})
					if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "is not run again") || ran() != before+1 {
						t.Errorf("retry: %v", err)
					}
				case "state rm":
					if err := w.loop.Forget(t.Context(), "hook.mem.tell"); err != nil || ran() != before {
						t.Errorf("state rm: %v", err)
					}
				case "revert":
					w.places.failHooks(nil)
					w.set(config)
					time.Sleep(time.Minute)
					w.told(1, "after it came back")
					return
				}
				if gone := !slices.Contains(hooks(), "hook.mem.tell"); gone != (does != "nothing") {
					t.Errorf("%s: hooks %q", does, left)
				}
			})
		})
	}
}

// What has no record is not taken for another address.
func TestWhatHasNoRecordIsSaid(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(10 * time.Second)
		err := w.loop.Forget(t.Context(), "hook.mem.tell")
		if want := "hook.mem.tell has no record of its own: each sink's record has the hooks that have not run for it yet"; err == nil || err.Error() != want {
			t.Errorf("state rm of a hook: %v", err)
		}
		for range 2 {
			err = w.loop.Forget(t.Context(), "sink.mem.trader")
			w.places.breakWith(errors.New("no"))
			if err != nil && strings.Contains(err.Error(), "did you mean") {
				t.Errorf("state rm of a sink: %v", err)
			}
		}
	})
}
