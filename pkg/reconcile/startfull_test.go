package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// startsOnAFullDisk takes the configuration over that was in force, by a new process
// and while the disk takes nothing, and looks whether places are looked after.
func (w *world) startsOnAFullDisk(full *fullDisk, hcl string) {
	w.t.Helper()
	w.halt()
	full.Store(true)
	w.start()
	if _, err := w.loop.Set(w.t.Context(), w.config(hcl), reconcile.SetOptions{}); err != nil {
		w.t.Fatalf("what was in force is not gone on with: %v", err)
	}
	<-time.After(time.Minute)
	w.places.overwrite([]string{"trader"})
	if err := w.loop.Wake(w.t.Context(), []string{"sink.mem.trader"}); err != nil {
		w.t.Fatal(err)
	}
	<-time.After(time.Minute)
	if !w.works(standin.Coinify, "trader") {
		w.t.Errorf("the place was not put right: it holds %q", w.places.get("trader"))
	}
}

// A start with what was in force needs no room on the disk, though a removal has come
// to its end since that was recorded.
func TestAStartOnAFullDiskAfterARemoval(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(nil)
		both, _ := leaver("")
		both += "\n"
		one := cutOut(both, `credential "coinify" "other"`)
		w.set(both)
		<-time.After(time.Minute)
		w.set(one)
		<-time.After(time.Hour)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Fatalf("%d tokens of the removed block were revoked, want 1", n)
		}
		w.startsOnAFullDisk(full, one)
	})
}

// Nor where a person has approved something since: that is for the change that was
// shown, once, also where it could not be struck off since.
func TestAStartOnAFullDiskAfterAnApproval(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(nil)
		both := trader("a@example.com", `
tokend {
  guard {
    settle          = "0s"
    max_revocations = 0
  }
}
credential "coinify" "other" {
  grant      = "password"
  email      = "o@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}
`)
		one := cutOut(both, `credential "coinify" "other"`)
		w.set(both)
		<-time.After(time.Minute)
		held := w.set(one)
		if held == nil {
			t.Fatal("nothing is held back")
		}
		if err := w.loop.Approve(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		w.startsOnAFullDisk(full, one)
		full.Store(false)
		w.set(both)
		<-time.After(time.Minute)
		if w.set(one) == nil {
			t.Error("the same change again is let go by the approval of the first")
		}
	})
}

// A start onto a directory that was changed, with a moved block in it, of which the disk
// takes the move and not the configuration: the one before goes on, with what it
// declares at its new address, and the new one is taken over later.
func TestAStartThatGoesOnWithWhatWasInForce(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(func(c state.Change) bool { return c.MetaKey == "accepted" })
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		token := w.places.get("trader")
		w.halt()
		full.Store(true)
		w.start()
		next := w.config(strings.NewReplacer(`"coinify" "trader"`, `"coinify" "dealer"`, "coinify.trader.", "coinify.dealer.", `"trader"
  content`, `"elsewhere"
  content`).Replace(trader("a@example.com", `
moved {
  from = credential.coinify.trader
  to   = credential.coinify.dealer
}`)))
		if _, err := w.loop.Set(t.Context(), next, reconcile.SetOptions{}); err == nil {
			t.Fatal("it is taken over, and the disk is full")
		}
		last, err := w.loop.Accepted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.loop.Set(t.Context(), last, reconcile.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if at, also := w.places.get("trader"), w.places.get("elsewhere"); at != token || also != "" {
			t.Errorf("while the one before goes on its place holds %q, and the new one %q", at, also)
		}
		if l := w.line("credential.coinify.dealer"); l.State != reconcile.Ready {
			t.Errorf("what was moved is %s: %s", l.State, l.Why)
		}
		full.Store(false)
		if _, err := w.loop.Set(t.Context(), next, reconcile.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Minute)
		if at, also := w.places.get("trader"), w.places.get("elsewhere"); at != "" || also != token {
			t.Errorf("the former place holds %q, and the new one %q", at, also)
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Revocations != 0 {
			t.Errorf("%d grants and %d revocations, want one grant", c.Grants, c.Revocations)
		}
	})
}
