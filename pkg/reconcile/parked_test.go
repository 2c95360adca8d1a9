package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// What a provider answered cannot be recorded, and is held in memory until it can:
// a configuration with a moved block for it does not wait that long. It says why it
// is not in force, and is, once the disk has room again.
func TestAMovedBlockDoesNotWaitForAFullDisk(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofCredentials)
		full.Store(true)
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		renamed := w.config(renamedTrader("renamed", "delivered", movedBoth))
		began := time.Now()
		if _, err := w.loop.Set(t.Context(), renamed, reconcile.SetOptions{}); err == nil || !strings.Contains(err.Error(), "has been worked on for more than") || time.Since(began) > 2*time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		full.Store(false)
		time.Sleep(time.Minute)
		if _, err := w.loop.Set(t.Context(), renamed, reconcile.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if l, c := w.line("credential.coinify.renamed"), w.server.Counts(standin.Coinify); l.State != reconcile.Ready || c.Grants != 1 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d grants; it is %+v", c.Grants, l)
		}
	})
}
