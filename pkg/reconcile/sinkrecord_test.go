package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// A sink was moved, its new place got a newer token, and a crash came before
// that was recorded. The record catches up as soon as the earlier place is
// clean: what it says is held is what is cleaned one day.
func TestACleanedSinkRecordsWhatItsPlaceHolds(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const sink, credential = "sink.mem.trader", "credential.coinify.trader"
		w.set(trader("a@example.com", ""))
		time.Sleep(5 * time.Second)
		if err := w.loop.Do(t.Context(), credential, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w.halt()
		rec, err := w.store.Sink(t.Context(), sink)
		if err != nil {
			t.Fatal(err)
		}
		newest := rec.Delivered[credential]
		config := strings.Replace(trader("a@example.com", ""), `place   = "trader"`, `place   = "elsewhere"`, 1)
		rec.Head.Digest, _ = w.config(config).Digest(sink)
		rec.Leaving, rec.Written = [][]byte{rec.Written}, []byte("mem:elsewhere\nelsewhere")
		rec.Delivered = map[string]uint64{credential: newest - 1}
		if err := w.store.Commit(t.Context(), state.Change{Sink: &rec}); err != nil {
			t.Fatal(err)
		}
		w.places.forge("elsewhere", w.places.get("trader"))
		w.start()
		w.set(config)
		time.Sleep(10 * time.Second)
		if w.places.get("trader") != "" {
			t.Error("the earlier place was not cleaned")
		}
		if rec, err = w.store.Sink(t.Context(), sink); err != nil {
			t.Fatal(err)
		}
		if rec.Delivered[credential] != newest {
			t.Errorf("it is recorded to hold generation %d, and holds %d", rec.Delivered[credential], newest)
		}
	})
}
