package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// twoHooks is a trader whose sink tells two hooks, and another credential.
func twoHooks() string {
	return strings.Replace(trader("a@example.com", `
tokend {
  guard { settle = "0s" }
}
hook "mem" "also" {}
credential "coinify" "other" {
  grant      = "password"
  email      = "o@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`), "[hook.mem.tell]", "[hook.mem.tell, hook.mem.also]", 1)
}

// cutOut is a configuration without the blocks that begin so.
func cutOut(config string, blocks ...string) string {
	for _, b := range blocks {
		from := strings.Index(config, b)
		end := strings.Index(config[from:], "\n}\n") + len("\n}\n")
		if line, _, _ := strings.Cut(config[from:], "\n"); strings.HasSuffix(line, "}") {
			end = len(line) + 1
		}
		config = config[:from] + config[from+end:]
	}
	return config
}

// A sink is removed, and tokend is killed before its hooks have run: they run
// after the next start, also where they went in the same change, and then nothing
// is left of the sink.
func TestTheHooksOfARemovedSinkOutliveACrash(t *testing.T) {
	for name, goes := range map[string][]string{
		"they stay":      {`sink "mem" "trader"`},
		"they go":        {`sink "mem" "trader"`, `hook "mem" "tell"`, `hook "mem" "also"`},
		"all of it goes": {`sink "mem" "trader"`, `hook "mem" "tell"`, `hook "mem" "also"`, `credential "coinify" "trader"`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.halt()
				w.places.stuck = "sink.mem.trader"
				w.start()
				w.set(twoHooks())
				time.Sleep(10 * time.Second)
				if got := w.places.events(); got != "write:trader hook:1 hook:1" {
					t.Fatalf("events %s", got)
				}
				w.places.blockBy(make(chan struct{}))
				after := cutOut(twoHooks(), goes...)
				w.set(after)
				time.Sleep(20 * time.Second)
				if l := w.line("sink.mem.trader"); l.State != reconcile.Removing || !strings.Contains(l.Why, "hook.mem.tell") {
					t.Errorf("while its hooks run: %+v", l)
				}
				w.crash()
				w.places.blockBy(nil)
				w.set(after)
				time.Sleep(time.Minute)
				if got := w.places.events(); got != "write:trader hook:1 hook:1 remove:trader hook:1 hook:1" {
					t.Errorf("events %s", got)
				}
				v, err := w.loop.Status(context.Background(), "")
				if err != nil || len(v.Sinks) != 0 || !v.Ready {
					t.Errorf("afterwards: %+v (%v)", v, err)
				}
				// Nothing of it comes back.
				w.halt()
				w.start()
				w.set(after)
				time.Sleep(time.Minute)
				if n := strings.Count(w.places.events(), "hook:"); n != 4 {
					t.Errorf("the hooks ran %d times", n)
				}
			})
		})
	}
}

// A hook still runs for a write when its sink is removed: that run does not answer
// for the removal, which is told after a crash, too.
func TestARunThatBeganBeforeARemovalDoesNotTellOfIt(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.halt()
		w.places.stuck = "sink.mem.trader"
		w.start()
		first := make(chan struct{})
		w.places.blockBy(first)
		w.set(twoHooks())
		time.Sleep(5 * time.Second)
		after := cutOut(twoHooks(), `sink "mem" "trader"`)
		w.set(after)
		time.Sleep(5 * time.Second)
		if got := w.places.events(); got != "write:trader remove:trader" {
			t.Fatalf("events %s", got)
		}
		w.places.blockBy(make(chan struct{}))
		close(first)
		time.Sleep(5 * time.Second)
		w.crash()
		w.places.blockBy(nil)
		w.set(after)
		time.Sleep(time.Minute)
		if got := w.places.events(); got != "write:trader remove:trader hook:1 hook:1 hook:1 hook:1" {
			t.Errorf("events %s", got)
		}
	})
}

// The sink comes back before its hooks have run for its removal.
func TestASinkComesBackThatOwesHooks(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.halt()
		w.places.stuck = "sink.mem.trader"
		w.start()
		w.set(twoHooks())
		time.Sleep(10 * time.Second)
		block := make(chan struct{})
		w.places.blockBy(block)
		w.set(cutOut(twoHooks(), `sink "mem" "trader"`))
		time.Sleep(20 * time.Second)
		w.set(twoHooks())
		time.Sleep(20 * time.Second)
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("it waits for hooks: %+v", w.line("sink.mem.trader"))
		}
		w.places.blockBy(nil)
		close(block)
		time.Sleep(time.Minute)
		if l := w.line("sink.mem.trader"); l.State != reconcile.Ready {
			t.Errorf("%+v", l)
		}
		w.halt()
		w.start()
		w.set(twoHooks())
		ran := strings.Count(w.places.events(), "hook:")
		time.Sleep(time.Minute)
		if again := strings.Count(w.places.events(), "hook:") - ran; again > 0 {
			t.Errorf("%d hooks ran for nothing", again)
		}
	})
}

// Somebody else writes to a place, and tokend is killed right after it was
// repaired: whoever reads the place is told after the next start.
func TestTheHookOfARepairOutlivesACrash(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(10 * time.Second)
		w.places.forge("trader", "somebody else's")
		if err := w.loop.Wake(context.Background(), []string{"sink.mem.trader"}); err != nil {
			t.Fatal(err)
		}
		for w.places.get("trader") == "somebody else's" {
			time.Sleep(time.Millisecond)
		}
		w.crash()
		w.set(trader("a@example.com", ""))
		time.Sleep(10 * time.Second)
		if got := w.places.events(); got != "write:trader hook:1 write:trader hook:1" {
			t.Errorf("events %s", got)
		}
	})
}

// A hook runs for a write, and somebody else writes to the place. The run ends after
// the place was looked at and before it is repaired: it told of no repair. Tokend is
// killed right after that.
func TestARunThatEndsBeforeARepairDoesNotTellOfIt(t *testing.T) {
	for name, hooks := range map[string]string{"its only hook": trader("a@example.com", ""), "one of two": twoHooks()} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				first, looked := make(chan struct{}), false
				w.places.mu.Lock()
				w.places.stuck, w.places.block = "sink.mem.trader", first
				w.places.mu.Unlock()
				w.set(hooks)
				time.Sleep(10 * time.Second) // they run
				w.places.mu.Lock()
				w.places.checking = func() {
					if !looked {
						looked = true
						close(first)
						time.Sleep(10 * time.Second) // they have ended, and that is recorded
					}
				}
				w.places.mu.Unlock()
				w.places.forge("trader", "somebody else's")
				if err := w.loop.Wake(context.Background(), []string{"sink.mem.trader"}); err != nil {
					t.Fatal(err)
				}
				for w.places.get("trader") == "somebody else's" {
					time.Sleep(time.Millisecond)
				}
				told := w.hooks()
				w.crash()
				w.set(hooks)
				time.Sleep(10 * time.Second)
				w.told(2*told, "after the crash")
			})
		})
	}
}

// A hook has failed for twelve minutes and waits minutes for its next try: a new
// change, such as its sink's removal, is told at once all the same.
func TestAFailingHookIsTriedAtOnceForWhatIsNew(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.places.failHooks(errors.New("no such unit"))
		w.set(twoHooks())
		time.Sleep(12 * time.Minute)
		if got := w.places.events(); got != "write:trader" {
			t.Fatalf("events %s", got)
		}
		w.places.failHooks(nil)
		w.set(cutOut(twoHooks(), `sink "mem" "trader"`))
		time.Sleep(10 * time.Second)
		if got := w.places.events(); !strings.HasSuffix(got, "remove:trader hook:1 hook:1") {
			t.Errorf("events %s", got)
		}
	})
}

// A hook that fails is taken out of the configuration, its sink is not: it is not run
// again, nor after a start, and nothing waits for it.
func TestAHookThatIsTakenOutIsNotRunAgain(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(twoHooks())
		time.Sleep(10 * time.Second)
		w.places.failHooks(errors.New("exit status 3"))
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		w.says("hook.mem.also", reconcile.Failing, "exit status 3", "tokend retry hook.mem.also")
		after := strings.Replace(cutOut(twoHooks(), `hook "mem" "also"`), ", hook.mem.also]", "]", 1)
		w.set(after)
		time.Sleep(time.Second)
		before := w.hooks()
		w.places.failHooks(nil)
		time.Sleep(5 * time.Minute)
		if n := w.hooks() - before; n != 1 {
			t.Errorf("%d hooks ran: one is declared", n)
		}
		if v, err := w.loop.Status(t.Context(), ""); err != nil || !v.Ready || len(v.Hooks) > 1 {
			t.Errorf("afterwards: %+v (%v)", v, err)
		}
		rec, err := w.store.Sink(t.Context(), "sink.mem.trader")
		if err != nil || len(rec.Notify) > 0 {
			t.Errorf("it still owes %v (%v)", rec.Notify, err)
		}
		w.startsAgainAs(after, before+1)
	})
}
