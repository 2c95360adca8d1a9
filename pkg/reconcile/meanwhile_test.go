package reconcile_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// slowStore takes its time for what a test names.
type slowStore struct {
	state.Store
	heads, guardLog *atomic.Int64 // nanoseconds
}

func (s slowStore) Heads(ctx context.Context, f func(state.Head) error) error {
	<-time.After(time.Duration(s.heads.Load()))
	return s.Store.Heads(ctx, f)
}

func (s slowStore) Commit(ctx context.Context, changes ...state.Change) error {
	for _, c := range changes {
		if c.MetaKey == "guard.log" {
			<-time.After(time.Duration(s.guardLog.Load()))
		}
	}
	return s.Store.Commit(ctx, changes...)
}

func (w *world) slowly() slowStore {
	slow := slowStore{heads: new(atomic.Int64), guardLog: new(atomic.Int64)}
	w.halt()
	w.wrap = func(s state.Store) state.Store { slow.Store = s; return slow }
	w.start()
	return slow
}

// What begins while a change is being judged has begun for the change after it.
func TestWhatBeginsMeanwhileCountsForTheGuard(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const guard = `max_revocations = 4
    max_revoked_percent = 100
    settle = "1s"`
		slow := w.slowly()
		w.set(traders(guard, "x", "a b c d e f g h i j", ""))
		time.Sleep(time.Minute)
		if held := w.set(traders(guard, "x", "b c d e f g h i j", "")); held != nil {
			t.Fatalf("the first change is held: %+v", held)
		}
		time.Sleep(500 * time.Millisecond)
		slow.guardLog.Store(int64(5 * time.Second)) // while the first acts
		if held := w.set(traders(guard, "x", "c d e f g h i j", "")); held != nil {
			t.Fatalf("the second change is held: %+v", held)
		}
		slow.guardLog.Store(0)
		time.Sleep(time.Minute)
		if held := w.set(traders(guard, "x", "d e f g h i j", "")); held == nil {
			time.Sleep(time.Minute)
			t.Errorf("the third change is not held, after %d revocations", w.revocations())
		}
	})
}

// A record whose removal ends while a moved block is looked into has nothing
// left to move.
func TestWhatGoesMeanwhileIsNotMoved(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const guard = `settle = "1s"`
		slow := w.slowly()
		w.set(traders(guard, "x", "a b c d e f g h i j", ""))
		time.Sleep(time.Minute)
		w.set(traders(guard, "x", "b c d e f g h i j", ""))
		time.Sleep(500 * time.Millisecond)
		slow.heads.Store(int64(10 * time.Second))
		if _, err := w.loop.Set(t.Context(), w.config(traders(guard, "x", "z b c d e f g h i j", `
moved {
  from = credential.coinify.trader["a"]
  to   = credential.coinify.trader["z"]
}`)), reconcile.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		slow.heads.Store(0)
		time.Sleep(time.Minute)
		if got := w.line(`credential.coinify.trader["z"]`).State; got != reconcile.Ready {
			t.Errorf("z is %s", got)
		}
	})
}

// A change that loosens the guard and destroys, all of which cannot be looked at
// while it is judged, is held by the guard that was before it once it can.
func TestWhatCannotBeSeenIsJudgedByTheGuardBefore(t *testing.T) {
	for _, unreadable := range []bool{false, true} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			conf := func(guard, email, secret string) string {
				hcl := traders(guard, email, "a b c d e f g h", `secret "mem" "`+secret+`" { value = "http://coinify.localhost" }`)
				return strings.ReplaceAll(hcl, "\"http://coinify.localhost\"\n  allow", "nonsensitive(secret.mem."+secret+".value)\n  allow")
			}
			const rest = "\n    max_revoked_percent = 100\n    settle = \"1s\""
			w.set(conf("max_revocations = 1"+rest, "x", "first"))
			time.Sleep(4 * time.Minute)
			w.unreadable.Store(unreadable)
			w.set(conf("max_revocations = 1000"+rest, "y", "second"))
			time.Sleep(time.Minute)
			w.unreadable.Store(false)
			time.Sleep(10 * time.Minute)
			held, err := w.loop.Held(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n := w.revocations(); held == nil || n > 0 {
				t.Errorf("unreadable %v: held %v, %d revocations", unreadable, held != nil, n)
			}
		})
	}
}

// A crash comes between a write and its record, and the first look at the place
// after the start is overtaken by a change that is held: what lives on by the
// configuration before tells its hooks all the same.
func TestALookThatIsOvertakenIsTheFirstOneStill(t *testing.T) {
	const guard = `max_revocations = 1
    max_revoked_percent = 100
    settle = "1s"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		declared := trader("a@example.com", "tokend {\n  guard {\n    "+guard+"\n  }\n}")
		w.set(declared)
		time.Sleep(time.Minute)
		if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.places.events(); !strings.HasSuffix(got, "write:trader") {
			t.Fatalf("events %s: the hook has run already", got)
		}
		told := strings.Count(w.places.events(), "hook")
		w.store = w.store.Crash()
		w.halt()
		looks, goOn := make(chan struct{}, 100), make(chan struct{})
		w.places.checking = func() { looks <- struct{}{}; <-goOn }
		w.start()
		w.set(declared)
		<-looks
		if held := w.set(cutOut(declared, `sink "mem" "trader"`, `credential "coinify" "trader"`)); held == nil {
			t.Fatal("the removal of a credential and its sink is not held")
		}
		close(goOn)
		time.Sleep(time.Minute)
		if n := strings.Count(w.places.events(), "hook"); n == told {
			t.Errorf("nobody was told of what the crash left unrecorded: %s", w.places.events())
		}
	})
}
