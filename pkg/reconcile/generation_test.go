package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// The record of a credential goes while a place holds its token, as by `tokend state
// rm`, and a crash comes before the place is given the token of the record that
// follows: the next start does not take the one for the other.
func TestATokenOfAnEarlierRecordIsNotTakenForTheNewOne(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.places.tells.Store(true) // a start looks at no place that is as it was left
		untold := strings.Replace(trader("a@example.com", ""), "  notify  = [hook.mem.tell]\n", "", 1)
		w.set(untold)
		w.wait(time.Minute)
		old := w.places.get("trader")
		w.halt()
		if err := w.store.Commit(t.Context(), state.Change{Delete: "credential.coinify.trader"}); err != nil {
			t.Fatal(err)
		}
		block := make(chan struct{})
		w.places.blockBy(block)
		w.start()
		w.set(untold)
		w.wait(time.Minute)
		killed := w.store.Crash()
		w.places.failWith(errors.New("killed"))
		w.places.blockBy(nil)
		close(block)
		w.halt()
		w.places.failWith(nil)
		w.store = killed
		w.start()
		w.set(untold)
		w.wait(time.Minute)
		if got := w.places.get("trader"); got == old || !w.works(standin.Coinify, "trader") {
			t.Errorf("the place holds %q, and held %q of the record that went; it is %+v", got, old, w.line("sink.mem.trader"))
		}
	})
}

// The record of a credential goes while a place holds its token, and another one is
// given its name before the next start: the place is not taken for one that holds the
// token of what arrived, though both are of one generation.
func TestATokenOfAnEarlierRecordIsNotTakenForOneThatWasMoved(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.places.tells.Store(true) // a start looks at no place that is as it was left
		one := strings.Replace(trader("a@example.com", ""), "  notify  = [hook.mem.tell]\n", "", 1)
		block := one[strings.Index(one, `credential "coinify" "trader"`):]
		block = block[:strings.Index(block, "\n}\n")+3]
		another := strings.NewReplacer(`"trader"`, `"other"`, "a@example.com", "b@example.com")
		w.set(one + another.Replace(block))
		w.wait(time.Minute)
		old := w.places.get("trader")
		w.halt()
		if err := w.store.Commit(t.Context(), state.Change{Delete: "credential.coinify.trader"}); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.set(strings.Replace(one, "a@example.com", "b@example.com", 1) + "moved {\n  from = credential.coinify.other\n  to   = credential.coinify.trader\n}\n")
		w.wait(time.Minute)
		rec, _, _, err := w.loop.Record(t.Context(), "credential.coinify.trader")
		if err != nil || rec.Grant == nil || rec.Head.Generation != 1 {
			t.Fatalf("it is %+v, %v", rec, err)
		}
		if got := w.places.get("trader"); got == old || got != rec.Grant.AccessToken.Reveal() {
			t.Errorf("the place holds %q, and held %q of the record that went; it is %+v", got, old, w.line("sink.mem.trader"))
		}
	})
}
