package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// The tokens of a credential whose record a person forgets live on, and nobody
// knows them: they are counted as its orphans, while it has new ones, and over a
// crash, until they have ended.
func TestForgottenTokensAreOrphans(t *testing.T) {
	for _, late := range []bool{false, true} {
		forgottenTokens(t, late)
	}
}

func forgottenTokens(t *testing.T, late bool) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		orphans := func(want int) {
			t.Helper()
			if l := w.line(traderCred); l.Orphans != want {
				t.Errorf("%d orphans are counted, want %d: %+v", l.Orphans, want, l)
			}
		}
		forget := func() {
			t.Helper()
			err := w.loop.Forget(t.Context(), traderCred)
			for range 100 { // it may just be worked on
				if err == nil || !strings.Contains(err.Error(), "being worked on") {
					break
				}
				<-time.After(100 * time.Millisecond)
				err = w.loop.Forget(t.Context(), traderCred)
			}
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
		}
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		orphans(0)
		forget()
		orphans(1)
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d grants, want a new token; it is %+v", c.Grants, w.line(traderCred))
		}
		w.crash()
		w.set(trader("a@example.com", ""))
		orphans(1)
		forget()
		orphans(2)
		w.down.Store(true)
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
			t.Fatal(err)
		}
		forget()
		orphans(3)
		if late {
			<-time.After(25 * time.Hour) // and what it had has ended
			orphans(0)
		}
		// What is left of it is the number, until a person forgets that too.
		forget()
		orphans(0)
	})
}

// What a removed block said to leave alone is left alone, also where the block goes
// before that is done, and where a crash lies between.
func TestARemovedBlockThatGoesBeforeItIsDone(t *testing.T) {
	for name, crash := range map[string]bool{"it goes on": false, "a crash": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", bystander))
				time.Sleep(time.Minute)
				w.places.stick("trader") // its place cannot be cleaned
				gone := before(trader("a@example.com", ""), "credential") + bystander
				w.set(gone + "\nremoved { from = credential.coinify.trader }\n")
				time.Sleep(5 * time.Minute)
				w.set(gone)
				if crash {
					w.crash()
					w.set(gone)
				}
				time.Sleep(time.Minute)
				w.places.stick("")
				time.Sleep(2 * time.Hour)
				if n := w.revocations(); n != 0 {
					t.Errorf("%d revocations of what was to be left alone", n)
				}
			})
		})
	}
}
