package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A token that nobody saw is counted for as long as it may live, and status says since
// when: also over a restart, and without anything being written when it ends.
func TestOrphansEndByThemselves(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Times: 1})
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		lost := w.line(traderCred)
		if lost.Orphans != 1 || lost.OrphansSince.IsZero() || time.Since(lost.OrphansSince) > 2*time.Minute {
			t.Fatalf("it is %+v", lost)
		}
		// Of the first token nothing was known, so its end is not.
		w.pass(72*time.Hour, time.Hour, nil)
		if l := w.line(traderCred); l.Orphans != 1 || !l.OrphansSince.Equal(lost.OrphansSince) {
			t.Errorf("days after it is %+v", l)
		}
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderOrphans}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second) // the loop has looked at it again by then
		if l := w.line(traderCred); l.Orphans != 0 || l.State != reconcile.Ready || !l.OrphansSince.IsZero() {
			t.Errorf("looked after, it is %+v", l)
		}
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderOrphans}); err == nil {
			t.Error("there are none, and that is not said")
		}
		// A refresh is of a grant that is known: what it may have brought ends with the
		// refresh token, 24 hours after.
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token", Times: 1})
		_ = w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh})
		began := time.Now()
		for time.Since(began) < 23*time.Hour+59*time.Minute {
			<-time.After(time.Minute)
			if l := w.line(traderCred); l.Orphans != 1 {
				t.Fatalf("after %s it is %+v", time.Since(began), l)
			}
			if time.Since(began) == 12*time.Hour {
				w.crash()
				w.set(trader("a@example.com", ""))
			}
		}
		<-time.After(5 * time.Minute)
		if l := w.line(traderCred); l.Orphans != 0 || !l.OrphansSince.IsZero() {
			t.Errorf("after %s it is %+v", time.Since(began), l)
		}
	})
}
