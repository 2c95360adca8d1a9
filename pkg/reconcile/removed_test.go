package reconcile_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

const otherCred = "credential.coinify.other"

// loseTheFirst obtains a token of trader after one whose reply was lost, of which nobody
// knows when it ends, beside another credential.
func (w *world) loseTheFirst() {
	w.t.Helper()
	w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Times: 1, Account: "a@example.com"})
	w.set(trader("a@example.com", bystander))
	w.wait(time.Minute)
	if l := w.line(traderCred); l.Orphans != 1 || l.State != reconcile.Ready {
		w.t.Fatalf("it is %+v", l)
	}
}

// withoutTrader is that configuration without it.
func withoutTrader() string { return before(trader("a@example.com", ""), "credential") + bystander }

// removeTrader takes it out, and lets that come to its end.
func (w *world) removeTrader() {
	w.t.Helper()
	if h := w.set(withoutTrader()); h != nil {
		w.t.Fatalf("held %+v", h)
	}
	w.wait(5 * time.Minute)
}

// removedOnly checks that of trader nothing is left but orphans, which make nothing less
// ready and no plan longer.
func (w *world) removedOnly(when string, orphans int) {
	w.t.Helper()
	l := w.line(traderCred)
	if l.State != reconcile.Removed || l.Orphans != orphans || !strings.Contains(l.Mend, "revoke --forget-orphans coinify.trader") || !strings.Contains(l.Why, "no longer declared") {
		w.t.Errorf("%s it is %+v", when, l)
	}
	v, err := w.loop.Status(w.t.Context(), "")
	if err != nil || !v.Ready || len(v.Counts) != 1 || v.Counts[reconcile.Ready] != 1 {
		w.t.Errorf("%s: ready %v, counts %v (%v)", when, v.Ready, v.Counts, err)
	}
	p, err := w.loop.Plan(w.t.Context(), reconcile.PlanOptions{})
	if err != nil || len(p.Steps) != 0 || p.Credentials != 1 {
		w.t.Errorf("%s: %d credentials, planned is %+v (%v)", when, p.Credentials, p.Steps, err)
	}
	if busy, err := w.loop.Busy(w.t.Context(), time.Hour); err != nil || busy {
		w.t.Errorf("%s: busy %v (%v)", when, busy, err)
	}
	if p := w.against(w.export(), withoutTrader()); len(p.Steps) != 0 {
		w.t.Errorf("%s: planned against an export is %+v", when, p.Steps)
	}
}

// Tokens that nobody knows are counted also once their block is removed, over restarts,
// and while a block is declared there again: until a person says that they were looked
// after. The log says so once.
func TestOrphansOutliveTheirBlock(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		said := &logLines{}
		w.halt()
		w.log = slog.New(slog.NewTextHandler(said, nil))
		w.start()
		w.loseTheFirst()
		w.removeTrader()
		w.removedOnly("after its removal", 1)
		if n := said.count("tokens are left that nobody knows"); n != 1 || said.count("orphans=1") != 1 {
			t.Errorf("it is warned of them %d times", n)
		}
		if rec, _ := w.recordOf(traderCred); rec.Grant != nil || len(rec.Retiring) != 0 || rec.Failure != nil || rec.Removing != nil || rec.Lifecycle != (state.Lifecycle{}) {
			t.Errorf("its record has more than its orphans: %+v", rec)
		}
		w.crash()
		w.set(withoutTrader())
		if l := w.line(traderCred); l.State != reconcile.Removed || l.Orphans != 1 || l.Why == "" {
			t.Errorf("right after a restart it is %+v", l)
		}
		w.wait(time.Second)
		w.removedOnly("right after a restart", 1)
		w.pass(72*time.Hour, time.Hour, nil)
		w.removedOnly("days after", 1)
		for _, o := range []reconcile.Order{{Kind: reconcile.OrderRevoke}, {Kind: reconcile.OrderRefresh}, {Kind: reconcile.OrderTaint}, {Kind: reconcile.OrderRevoke, Forget: true}} {
			if err := w.loop.Do(t.Context(), traderCred, o); err == nil {
				t.Errorf("%+v is done of what is removed", o)
			}
		}
		// Declared again, it goes on with them; and removed again.
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Times: 1, Account: "a@example.com"})
		w.set(trader("a@example.com", bystander))
		w.wait(time.Minute)
		if l := w.line(traderCred); l.State != reconcile.Ready || l.Orphans != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("declared again, it is %+v", l)
		}
		w.removeTrader()
		w.removedOnly("removed again", 2)
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderOrphans}); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Minute)
		w.isGone()
	})
}

// isGone checks that nothing is recorded of trader any more.
func (w *world) isGone() {
	w.t.Helper()
	if _, err := w.loop.Status(w.t.Context(), traderCred); err == nil {
		w.t.Errorf("it is there still: %+v", w.line(traderCred))
	}
	if _, _, err := w.store.Credential(w.t.Context(), traderCred); !errors.Is(err, state.ErrNotFound) {
		w.t.Errorf("its record is there still (%v)", err)
	}
}

// Where it is known when they end, they end with nobody's help, and the record goes.
func TestOrphansOfARemovedBlockEndByThemselves(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		w.wait(time.Minute)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token", Times: 1, Account: "a@example.com"})
		_ = w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh})
		w.wait(time.Minute)
		if l := w.line(traderCred); l.Orphans != 1 {
			t.Fatalf("it is %+v", l)
		}
		w.removeTrader()
		w.removedOnly("after its removal", 1)
		w.pass(23*time.Hour, time.Hour, nil)
		w.crash()
		w.set(withoutTrader())
		if l := w.line(traderCred); l.State != reconcile.Removed || l.Orphans != 1 || l.Why == "" {
			t.Errorf("right after a restart it is %+v", l)
		}
		w.wait(time.Second)
		w.removedOnly("a day after", 1)
		w.pass(2*time.Hour, time.Minute, nil)
		w.isGone()
	})
}

// What moves to an address where orphans are counted goes on with them; where a moved
// block leads from there to what has a record of its own, they stay where they are, and
// no person has to choose.
func TestOrphansOfARemovedBlockAndMoves(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.loseTheFirst()
		w.removeTrader()
		// From there to what has a token: nothing is held, nothing is lost.
		w.set(withoutTrader() + "\nmoved {\n  from = credential.coinify.trader\n  to = credential.coinify.other\n}\n")
		w.wait(time.Minute)
		w.removedOnly("with a moved block to what is there", 1)
		// From another one to there.
		if h := w.set(trader("o@example.com", "\nmoved {\n  from = credential.coinify.other\n  to = credential.coinify.trader\n}\n")); h != nil {
			t.Fatalf("held %+v", h)
		}
		w.wait(time.Minute)
		if l := w.line(traderCred); l.State != reconcile.Ready || l.Orphans != 1 || l.Generation != 1 {
			t.Errorf("what was moved there is %+v", l)
		}
		if _, err := w.loop.Status(t.Context(), otherCred); err == nil {
			t.Error("what was moved is at its old address still")
		}
		// Removed and moved from there to where nothing is.
		w.removeTrader()
		if h := w.set(renamedTrader("renamed", "delivered", bystander+"\nmoved {\n  from = credential.coinify.trader\n  to = credential.coinify.renamed\n}\n")); h != nil {
			t.Fatalf("held %+v", h)
		}
		w.wait(time.Minute)
		if l := w.line("credential.coinify.renamed"); l.Orphans != 1 {
			t.Errorf("moved with its orphans, it is %+v", l)
		}
	})
}

// What a removed block leaves alone (on_remove = "forget") are its tokens, which somebody
// knows: those that nobody knows are counted on.
func TestOrphansOfABlockThatForgets(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.loseTheFirst()
		w.set(withoutTrader() + "\nremoved { from = credential.coinify.trader }\n")
		w.wait(5 * time.Minute)
		w.removedOnly("left alone", 1)
		if n := w.revocations(); n != 0 {
			t.Errorf("%d revocations", n)
		}
	})
}

// A person who forgets the record of what is being removed makes orphans of its tokens,
// and forgets these with the record of what is removed.
func TestARemovalIsForgotten(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		w.wait(time.Minute)
		w.down.Store(true) // it cannot be revoked
		w.removeTrader()
		if l := w.line(traderCred); l.Retiring != 1 {
			t.Fatalf("it is %+v", l)
		}
		forget := func() {
			t.Helper()
			w.until("its record is forgotten", func() bool { return w.loop.Forget(t.Context(), traderCred) == nil })
			w.wait(time.Minute)
		}
		forget()
		if l := w.line(traderCred); l.State != reconcile.Removed || l.Orphans != 1 || l.Retiring != 0 {
			t.Errorf("forgotten, it is %+v", l)
		}
		forget()
		w.isGone()
	})
}
