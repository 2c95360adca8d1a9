package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// A place holds a token that a full disk kept from being recorded there, its
// process is killed, and the next one cannot take its configuration over either
// for a while, in which somebody touches the place. What it holds is known all the
// same once its sink is removed.
func TestNothingIsLookedAtBeforeThereIsAConfiguration(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const more = `
tokend {
  guard { settle = "1s" }
}`
		full := w.onDisk(func(c state.Change) bool { return c.Sink != nil || c.MetaKey != "" })
		w.set(trader("a@example.com", more))
		<-time.After(time.Minute)
		full.Store(true)
		before := w.places.get("trader")
		refresh := func() {
			if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
				t.Fatal(err)
			}
		}
		refresh()
		w.until("a newer token is at the place", func() bool { return w.places.get("trader") != before })
		w.crash()
		without := w.config(withoutSink(trader("a@example.com", more)))
		if _, err := w.loop.Set(t.Context(), without, reconcile.SetOptions{}); err == nil {
			t.Fatal("the configuration was taken over, and the disk was full")
		}
		if err := w.loop.Wake(t.Context(), []string{"sink.mem.trader"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		full.Store(false)
		if _, err := w.loop.Set(t.Context(), without, reconcile.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		refresh()
		<-time.After(time.Minute)
		if got := w.places.get("trader"); got != "" {
			t.Errorf("its place still holds %q", got)
		}
	})
}
