package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A token is revoked by hand, and no new one can be had: its place, which holds
// what works no more, is not called ready.
func TestThePlaceOfARevokedTokenIsNotReady(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Path: "/auth", Times: -1})
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if l := w.line("sink.mem.trader"); l.State != reconcile.Waiting {
			t.Errorf("the place of a revoked token: %+v; the credential: %+v", l, w.line(traderCred))
		}
	})
}
