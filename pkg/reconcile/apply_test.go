package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A person who applies waits for no settle, of earlier removals neither.
func TestNoSettleLiftsThatOfEarlierRemovals(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		time.Sleep(time.Minute)
		without := before(trader("a@example.com", ""), "credential") + bystander
		w.set(without)
		time.Sleep(time.Second)
		if w.places.get("trader") == "" {
			t.Fatal("the removal did not wait for the files to settle")
		}
		if _, err := w.loop.Set(t.Context(), w.config(without), reconcile.SetOptions{NoSettle: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 || w.places.get("trader") != "" {
			t.Errorf("%d revocations, the place holds %q", n, w.places.get("trader"))
		}
	})
}

// An order to refresh refreshes, also while a replacement waits for a person.
func TestAnOrderToRefreshReplacesNothing(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const addr = "credential.coinify.trader"
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		w.halt()
		w.begin(true)
		if _, err := w.loop.Set(t.Context(), w.config(trader("b@example.com", "")), reconcile.SetOptions{NoSettle: true, Dry: true}); err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Resume(t.Context(), addr); err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		if c := w.server.Counts(standin.Coinify); c.Refreshes != 1 || c.Grants != 1 {
			t.Errorf("%d refreshes and %d grants", c.Refreshes, c.Grants)
		}
	})
}

const bystander = `
credential "coinify" "other" {
  grant      = "password"
  email      = "o@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`

// before is a text up to the line that begins with a word.
func before(text, word string) string {
	s, _, _ := strings.Cut(text, "\n"+word)
	return s + "\n"
}
