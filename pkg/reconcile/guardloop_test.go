package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// traders declares several Coinify traders, each delivered to a place of its
// name.
func traders(guard, email, names, more string) string {
	quoted := []string{}
	for _, n := range strings.Fields(names) {
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	return fmt.Sprintf(`
tokend {
  guard {
    %s
  }
}
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }
credential "coinify" "trader" {
  for_each   = toset([%s])
  grant      = "password"
  email      = "${each.key}@%s"
  partner_id = "p"
  password   = secret.mem.pw.value
}
sink "mem" "trader" {
  for_each = credential.coinify.trader
  place    = each.key
  content  = each.value.access_token
}
%s`, guard, strings.Join(quoted, ", "), email, more)
}

func (w *world) revocations() int { return w.server.Counts(standin.Coinify).Revocations }

// What the guard let go is on disk before it begins: a crash right after makes
// no room for more.
func TestACrashMakesNoRoomInTheGuard(t *testing.T) {
	// Each removes a credential and a sink.
	guard := `max_revocations = 4
max_revoked_percent = 100
settle = "1s"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b c d e f", ""))
		time.Sleep(time.Minute)
		if h := w.set(traders(guard, "x", "c d e f", "")); h != nil {
			t.Fatalf("held %+v", h)
		}
		for w.revocations() < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		w.crash()
		if h := w.set(traders(guard, "x", "d e f", "")); h == nil || !strings.Contains(h.Reason, "with 4 in the hour before") {
			t.Errorf("after the crash one more is not held: %+v", h)
		}
	})
}

// A removal whose beginning a crash has left unrecorded counts as one that has begun, also
// after another start: a second removal of the same address is not taken for it.
func TestWhatMayHaveBegunBeforeACrashLetsNothingElseGo(t *testing.T) {
	guard := `max_revocations = 2
max_revoked_percent = 100
settle = "1m"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b", ""))
		time.Sleep(time.Minute)
		if h := w.set(traders(guard, "x", "b", "")); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Second)
		w.crash() // it was let go, and nobody knows whether it has begun
		w.set(traders(guard, "x", "a b", ""))
		time.Sleep(10 * time.Minute)
		w.crash()
		if h := w.set(traders(guard, "x", "b", "")); h == nil {
			t.Error("a removal within the hour is let go for another one that was")
		}
		time.Sleep(5 * time.Minute)
		if n := w.revocations(); n != 0 {
			t.Errorf("%d revocations", n)
		}
	})
}

// What was let go and did not begin yet goes on after a crash, and counts once.
func TestWhatWasLetGoGoesOnAfterACrash(t *testing.T) {
	guard := `max_revocations = 4
max_revoked_percent = 100
settle = "1m"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b c d e f", ""))
		time.Sleep(time.Minute)
		w.set(traders(guard, "x", "c d e f", ""))
		time.Sleep(time.Second)
		w.crash()
		if h := w.set(traders(guard, "x", "c d e f", "")); h != nil {
			t.Fatalf("after the crash it is held: %+v", h)
		}
		time.Sleep(2 * time.Minute)
		if n := w.revocations(); n != 2 {
			t.Errorf("%d revocations", n)
		}
		// Taken back before it began, a step counts for nothing.
		time.Sleep(time.Hour)
		w.set(traders(guard, "x", "e f", ""))
		w.set(traders(guard, "x", "c d e f", ""))
		if h := w.set(traders(guard, "x", "c d", "")); h != nil {
			t.Errorf("what was taken back still counts: %+v", h)
		}
	})
}

// lookingStore has the first look at a credential since the guard's log was written
// wait.
type lookingStore struct {
	state.Store
	credential string
	armed      *atomic.Bool
	end        chan struct{}
}

func (s lookingStore) Commit(ctx context.Context, changes ...state.Change) error {
	err := s.Store.Commit(ctx, changes...)
	if slices.ContainsFunc(changes, func(c state.Change) bool { return c.MetaKey == "guard.log" }) {
		s.armed.Store(true)
	}
	return err
}

func (s lookingStore) Credential(ctx context.Context, addr string) (state.Credential, *state.Intent, error) {
	if addr == s.credential && s.armed.CompareAndSwap(true, false) {
		<-s.end
	}
	return s.Store.Credential(ctx, addr)
}

// A removal that waits for quiet is taken back while a worker looks at what it is of:
// that look cannot have begun it, so it counts for nothing.
func TestWhatIsTakenBackWhileItIsLookedAtCountsForNothing(t *testing.T) {
	guard := `max_revocations = 4
max_revoked_percent = 100
settle = "1m"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		s := lookingStore{credential: `credential.coinify.trader["c"]`, armed: new(atomic.Bool), end: make(chan struct{})}
		w.set(traders(guard, "x", "c d e f", ""))
		time.Sleep(time.Minute)
		w.halt()
		w.wrap = func(below state.Store) state.Store { s.Store = below; return s }
		w.start()
		w.set(traders(guard, "x", "c d e f", ""))
		time.Sleep(time.Minute)
		w.set(traders(guard, "x", "e f", ""))
		time.Sleep(time.Second)
		if s.armed.Load() {
			t.Fatal("nobody looks at it")
		}
		w.set(traders(guard, "x", "c d e f", ""))
		s.armed.Store(false)
		if h := w.set(traders(guard, "x", "c d", "")); h != nil {
			t.Errorf("what was taken back still counts: %+v", h)
		}
		s.armed.Store(false)
		close(s.end)
		time.Sleep(2 * time.Minute)
		if n := w.revocations(); n != 2 {
			t.Errorf("%d revocations", n)
		}
	})
}

// A directory that cannot be read after a reboot: the configuration that was in
// force goes on, with what is new in it; and what is held back lives on by the
// one before.
func TestAHeldChangeOverABrokenStart(t *testing.T) {
	guard := `settle = "1s"`
	other := `
credential "coinify" "new" {
  grant      = "password"
  email      = "new@x"
  partner_id = "p"
  password   = secret.mem.pw.value
}
sink "mem" "new" {
  place   = "new"
  content = credential.coinify.new.access_token
}`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b c d e f", ""))
		time.Sleep(time.Minute)
		h := w.set(traders(guard, "x", "a b c", other))
		if h == nil || h.Total() != 6 {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		check := func(when string) {
			t.Helper()
			for _, place := range strings.Fields("a b c d e f new") {
				if !w.works(standin.Coinify, place) {
					t.Errorf("%s the place %s holds no token that works", when, place)
				}
			}
			if n := w.revocations(); n != 0 {
				t.Fatalf("%s there were %d revocations", when, n)
			}
		}
		check("before the start")
		w.crash()
		last, err := w.loop.Accepted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.loop.Set(t.Context(), last, reconcile.SetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if again == nil || again.ID != h.ID || !again.Since.Equal(h.Since) {
			t.Errorf("held after the start: %+v, before: %+v", again, h)
		}
		w.pass(3*time.Hour, time.Minute, func() { check("after the start") })
		// Somebody takes what is held away: it is put right by what it lives on.
		w.places.forge("e", "gone")
		if err := w.loop.Wake(t.Context(), []string{`sink.mem.trader["e"]`}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		check("after a repair")
		if err := w.loop.Approve(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 3 || w.places.get("e") != "" {
			t.Errorf("%d revocations after the approval; the place holds %q", n, w.places.get("e"))
		}
	})
}

// An approval is for what was shown, not for its addresses.
func TestAnApprovalOfAnotherChangeOfTheSame(t *testing.T) {
	guard := `settle = "1s"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b c d e f", ""))
		time.Sleep(time.Minute)
		shown := w.set(traders(guard, "y", "a b c d e f", ""))
		if shown == nil || len(shown.Revocations) != 6 || shown.Steps[0].Action != reconcile.ActReplace || shown.Steps[0].Reason != "email changed" {
			t.Fatalf("held %+v", shown)
		}
		time.Sleep(time.Minute)
		now := w.set(traders(guard, "z", "a b c d e f", ""))
		if now == nil || !now.Since.Equal(shown.Since) {
			t.Errorf("held %+v, first since %s", now, shown.Since)
		}
		if err := w.loop.Approve(t.Context(), shown); !errors.Is(err, reconcile.ErrChanged) {
			t.Errorf("another change of the same addresses was approved: %v", err)
		}
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 6 || c.Revocations != 0 {
			t.Errorf("%d grants, %d revocations", c.Grants, c.Revocations)
		}
		// Taken back, nothing is held any more.
		if h := w.set(traders(guard, "x", "a b c d e f", "")); h != nil {
			t.Errorf("held %+v", h)
		}
		if l := w.line(`credential.coinify.trader["a"]`); l.State != reconcile.Ready {
			t.Errorf("status %+v", l)
		}
	})
}

// A taint carries no change past the guard: the token is replaced as it was.
func TestATaintCarriesNoChangePastTheGuard(t *testing.T) {
	guard := `settle = "1s"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a b c d e f", ""))
		time.Sleep(time.Minute)
		for _, n := range strings.Fields("a b c d e f") {
			if err := w.loop.Do(t.Context(), fmt.Sprintf("credential.coinify.trader[%q]", n), reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
				t.Fatal(err)
			}
			if n == "a" {
				if h := w.set(traders(guard, "y", "a b c d e f", "")); h == nil {
					t.Fatal("nothing is held")
				}
			}
		}
		time.Sleep(time.Minute)
		for _, n := range strings.Fields("b c d e f") {
			if old, new := len(w.server.Live(standin.Coinify, n+"@x")), len(w.server.Live(standin.Coinify, n+"@y")); old == 0 || new > 0 {
				t.Errorf("%s has %d tokens as it was, and %d as it would be", n, old, new)
			}
		}
	})
}

// The settle of the guard as it was counts for a change that lessens it.
func TestAChangeOfTheSettle(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(`settle = "1m"`, "x", "a b c d e f", ""))
		time.Sleep(time.Minute)
		w.set(traders(`settle = "0s"`, "x", "a b c d e", ""))
		time.Sleep(50 * time.Second)
		if n := w.revocations(); n != 0 {
			t.Errorf("%d revocations before the settle was over", n)
		}
		time.Sleep(20 * time.Second)
		if n := w.revocations(); n != 1 {
			t.Errorf("%d revocations", n)
		}
	})
}

// What is not referred to any more does not stay in the state.
func TestTheStateDropsConfigurationsThatWent(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(`settle = "1s"`, "x", "a b", ""))
		time.Sleep(time.Minute)
		for i := range 50 {
			w.set(traders(`settle = "1s"`, "x", "a b", fmt.Sprintf("locals { n = %d }", i)))
		}
		names, err := w.store.Blobs(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(names) != 2 { // the configuration in force, and the provider
			t.Errorf("%d contents are in the state", len(names))
		}
		w.crash()
		w.set(traders(`settle = "1s"`, "x", "a b", ""))
		w.pass(2*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "a") {
				t.Fatal("the place holds a token that does not work")
			}
		})
	})
}

// What a crash left behind is dropped by a later start, and nothing else is.
func TestAStartSweepsWhatNothingRefersTo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(`settle = "1s"`, "x", "a b", ""))
		time.Sleep(time.Minute)
		for i := range 100 {
			if _, err := w.store.PutBlob(t.Context(), []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		w.crash()
		w.set(traders(`settle = "1s"`, "x", "a b", ""))
		time.Sleep(time.Second)
		names, err := w.store.Blobs(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(names) != 2 {
			t.Errorf("%d contents are in the state", len(names))
		}
		w.pass(2*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "a") {
				t.Fatal("the place holds a token that does not work")
			}
		})
	})
}
