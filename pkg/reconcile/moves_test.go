package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// renamedTrader is the configuration of trader with other names.
func renamedTrader(credential, sink, more string) string {
	s := trader("a@example.com", more)
	s = strings.ReplaceAll(s, `credential "coinify" "trader"`, `credential "coinify" "`+credential+`"`)
	s = strings.ReplaceAll(s, "credential.coinify.trader.access_token", "credential.coinify."+credential+".access_token")
	return strings.ReplaceAll(s, `sink "mem" "trader"`, `sink "mem" "`+sink+`"`)
}

const movedBoth = `
moved {
  from = credential.coinify.trader
  to   = credential.coinify.renamed
}
moved {
  from = sink.mem.trader
  to   = sink.mem.delivered
}`

// A rename: the record goes on under the new address, and nobody outside sees
// anything of it, then or later, with the block left where it is.
func TestAMovedBlockIsSeenByNobody(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(30 * time.Minute)
		was := w.line("credential.coinify.trader")
		token := w.places.get("trader")
		events := w.places.events()
		if h := w.set(renamedTrader("renamed", "delivered", movedBoth)); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		now := w.line("credential.coinify.renamed")
		if now.Generation != was.Generation || !now.ExpiresAt.Equal(was.ExpiresAt) || now.State != reconcile.Ready {
			t.Errorf("was %+v, is %+v", was, now)
		}
		if l := w.line("sink.mem.delivered"); l.State != reconcile.Ready || w.places.get("trader") != token || w.places.events() != events {
			t.Errorf("the place was touched: %+v; events %q, before %q", l, w.places.events(), events)
		}
		for _, gone := range []string{"credential.coinify.trader", "sink.mem.trader"} {
			if _, err := w.loop.Status(t.Context(), gone); err == nil {
				t.Errorf("%s is there still", gone)
			}
		}
		w.crash()
		w.set(renamedTrader("renamed", "delivered", movedBoth))
		time.Sleep(time.Second)
		if w.places.events() != events {
			t.Errorf("after a crash the place was touched: %q", w.places.events())
		}
		w.pass(3*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Revocations != 0 || c.Reuses != 0 {
			t.Errorf("%d grants, %d revocations, %d reuses", c.Grants, c.Revocations, c.Reuses)
		}
		// At the new address it is what it was at the old one: removed, it ends.
		w.set(traders(`settle = "1s"`, "x", "z", ""))
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 1 || w.places.get("trader") != "" {
			t.Errorf("%d revocations after the removal; the place holds %q", n, w.places.get("trader"))
		}
	})
}

// A whole block with for_each, under a new name.
func TestAWholeBlockMoves(t *testing.T) {
	rename := func(s string) string {
		s = strings.ReplaceAll(s, `credential "coinify" "trader"`, `credential "coinify" "desk"`)
		s = strings.ReplaceAll(s, "credential.coinify.trader", "credential.coinify.desk")
		return s + `
moved {
  from = credential.coinify.trader
  to   = credential.coinify.desk
}
moved {
  from = credential.coinify.trader["old"]
  to   = credential.coinify.desk["new"]
}`
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(`settle = "1s"`, "x", "a b c old", ""))
		time.Sleep(time.Minute)
		old := w.places.get("old")
		s := strings.ReplaceAll(rename(traders(`settle = "1s"`, "x", "a b c new", "")), `"${each.key}@x"`, `"${replace(each.key, "new", "old")}@x"`)
		if h := w.set(s); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 4 || c.Revocations != 0 || w.places.get("new") != old {
			t.Errorf("%d grants, %d revocations; the new place holds %q, the old one held %q", c.Grants, c.Revocations, w.places.get("new"), old)
		}
	})
}

// Both are recorded: neither is given up, and it is said.
func TestAMoveToWhatHasARecord(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", strings.NewReplacer("other", "renamed", "o@", "a@").Replace(bystander)))
		time.Sleep(time.Minute)
		config := renamedTrader("renamed", "delivered", movedBoth)
		w.set(config)
		for _, after := range []string{"the change", "a crash"} {
			w.pass(2*time.Hour, time.Minute, nil)
			l := w.line("credential.coinify.trader")
			if l.State != reconcile.Held || !strings.Contains(l.Why, "has a record of its own") || !strings.Contains(l.Mend, "moved block") {
				t.Errorf("after %s: %+v", after, l)
			}
			if n := w.revocations(); n != 0 || len(w.server.Live(standin.Coinify, "a@example.com")) == 0 {
				t.Errorf("after %s: %d revocations, the token held is alive: %d", after, n, len(w.server.Live(standin.Coinify, "a@example.com")))
			}
			w.crash()
			w.set(config)
		}
		// Without the block it is a removal like any.
		w.set(renamedTrader("renamed", "delivered", ""))
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 1 {
			t.Errorf("%d revocations", n)
		}
	})
}

// A move while a refresh is on the wire loses nothing of either.
func TestAMoveDuringARefresh(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultDelay, Grant: "refresh_token", Delay: 10 * time.Second})
		for w.server.Counts(standin.Coinify).Faulted == 0 {
			time.Sleep(time.Second)
		}
		w.set(renamedTrader("renamed", "delivered", movedBoth))
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Refreshes != 1 || c.Reuses != 0 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d grants, %d refreshes, %d reuses, works %t", c.Grants, c.Refreshes, c.Reuses, w.works(standin.Coinify, "trader"))
		}
		if l := w.line("credential.coinify.renamed"); l.Generation != 2 || l.State != reconcile.Ready {
			t.Errorf("%+v", l)
		}
	})
}

// The state takes a move as a whole or not at all.
func TestAMoveIsOneCommit(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := errors.New("the disk is full")
		refuse := false
		commits := 0
		w.halt()
		w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func(changes []state.Change) error {
			for _, c := range changes {
				if c.Delete != "" && refuse {
					return full
				}
				if c.Delete != "" {
					commits++
				}
			}
			return nil
		}})
		w.start()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		refuse = true
		if _, err := w.loop.Set(t.Context(), w.config(renamedTrader("renamed", "delivered", movedBoth)), reconcile.SetOptions{}); !errors.Is(err, full) {
			t.Fatalf("the move came to %v", err)
		}
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready || l.Generation != 1 {
			t.Errorf("%+v", l)
		}
		w.crash()
		refuse = false
		w.set(renamedTrader("renamed", "delivered", movedBoth))
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Revocations != 0 || commits != 2 {
			t.Errorf("%d grants, %d revocations; %d records left their address", c.Grants, c.Revocations, commits)
		}
	})
}

// A dry run shows what would move, works on what is recorded as it will be
// called, and leaves the records where they are.
func TestADryRunMovesNothing(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		w.halt()
		w.begin(true)
		cfg := w.config(renamedTrader("renamed", "delivered", movedBoth))
		if _, err := w.loop.Set(t.Context(), cfg, reconcile.SetOptions{NoSettle: true, Dry: true}); err != nil {
			t.Fatal(err)
		}
		p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, s := range p.Steps {
			if s.Action != reconcile.ActNone && s.Action != reconcile.ActRecord {
				said = append(said, string(s.Action)+" "+s.From+" "+s.Address)
			}
		}
		if got, want := strings.Join(said, "; "), "move credential.coinify.trader credential.coinify.renamed; move sink.mem.trader sink.mem.delivered"; got != want {
			t.Errorf("planned %q, want %q", got, want)
		}
		if err := w.loop.Resume(t.Context(), "credential.coinify.renamed"); err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Do(t.Context(), "credential.coinify.renamed", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		rec, _, err := w.store.Credential(t.Context(), "credential.coinify.trader")
		if err != nil || rec.Head.Generation != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("generation %d at the old address: %v", rec.Head.Generation, err)
		}
		// The same process may then do it.
		if _, err := w.loop.Set(t.Context(), cfg, reconcile.SetOptions{NoSettle: true}); err != nil {
			t.Fatal(err)
		}
		if rec, _, err = w.store.Credential(t.Context(), "credential.coinify.renamed"); err != nil || rec.Head.Generation != 2 {
			t.Errorf("generation %d at the new address: %v", rec.Head.Generation, err)
		}
		if k, err := w.store.Sink(t.Context(), "sink.mem.delivered"); err != nil || k.Delivered["credential.coinify.renamed"] != 2 {
			t.Errorf("the sink holds %v: %v", k.Delivered, err)
		}
	})
}

// An order to move, to a daemon: only what it would not undo at once.
func TestAnOrderToMove(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		time.Sleep(time.Minute)
		var refused *reconcile.MoveError
		if _, err := w.loop.Move(t.Context(), "credential.coinify.trader", "credential.coinify.other"); !errors.As(err, &refused) || !refused.Both {
			t.Errorf("a move to what is recorded: %v", err)
		}
		if _, err := w.loop.Move(t.Context(), "credential.coinify.trader", "credential.coinify.renamed"); !errors.As(err, &refused) || refused.Both || refused.Address != "credential.coinify.trader" {
			t.Errorf("a move of what is declared: %v", err)
		}
		if _, err := w.loop.Move(t.Context(), "credential.coinify.trader", "credential.apirone.other"); err == nil {
			t.Error("a move to another type went ahead")
		}
		// Renamed without a moved block, and held by prevent_destroy in its record.
		keep := strings.Replace(trader("a@example.com", ""), "email ", "lifecycle { prevent_destroy = true }\n  email ", 1)
		w.set(keep)
		time.Sleep(time.Minute)
		w.down.Store(true)
		w.set(strings.ReplaceAll(keep, "trader", "renamed"))
		time.Sleep(2 * time.Minute)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Held {
			t.Fatalf("%+v", l)
		}
		moved, err := w.loop.Move(t.Context(), "credential.coinify.trader", "credential.coinify.renamed")
		if err != nil || len(moved) != 1 {
			t.Fatalf("moved %v: %v", moved, err)
		}
		w.down.Store(false)
		time.Sleep(2 * time.Minute)
		if l := w.line("credential.coinify.renamed"); l.State != reconcile.Ready || !w.works(standin.Coinify, "renamed") {
			t.Errorf("%+v", l)
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 {
			t.Errorf("%d grants", c.Grants)
		}
	})
}

// A removed block: the token is left alone and forgotten, its sink is removed as
// its own declaration says, and nothing waits for a person.
func TestARemovedBlockLeavesTheTokenAlone(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		time.Sleep(time.Minute)
		removed := `
removed { from = credential.coinify.trader }`
		if h := w.set(before(trader("a@example.com", ""), "credential") + bystander + removed); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 0 || len(w.server.Live(standin.Coinify, "a@example.com")) == 0 || w.places.get("trader") != "" {
			t.Errorf("%d revocations, %d tokens alive, the place holds %q", n, len(w.server.Live(standin.Coinify, "a@example.com")), w.places.get("trader"))
		}
		if _, err := w.loop.Status(t.Context(), "credential.coinify.trader"); err == nil {
			t.Error("it is not forgotten")
		}
	})
}

// A removed block of a sink leaves what was written; one of a credential that
// prevent_destroy holds waits.
func TestARemovedBlockOfASink(t *testing.T) {
	keep := strings.Replace(trader("a@example.com", ""), "email ", "lifecycle { prevent_destroy = true }\n  email ", 1)
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(keep + bystander)
		time.Sleep(time.Minute)
		token := w.places.get("trader")
		w.set(before(keep, "credential") + bystander + `
removed { from = credential.coinify.trader }
removed { from = sink.mem.trader }`)
		time.Sleep(time.Minute)
		if w.places.get("trader") != token || token == "" {
			t.Errorf("the place holds %q, it held %q", w.places.get("trader"), token)
		}
		if _, err := w.loop.Status(t.Context(), "sink.mem.trader"); err == nil {
			t.Error("the sink is not forgotten")
		}
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Held || !strings.Contains(l.Why, "prevent_destroy") {
			t.Errorf("%+v", l)
		}
		// What is held is kept alive.
		w.pass(3*time.Hour, time.Hour, nil)
		if n := len(w.server.Live(standin.Coinify, "a@example.com")); n == 0 || w.revocations() != 0 {
			t.Errorf("%d tokens are alive, %d revocations", n, w.revocations())
		}
	})
}
