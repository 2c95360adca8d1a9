package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// While the reply of a refresh is kept that could not be read, the API is asked about
// the token held as ever, and one that it no longer honours is replaced by the grant:
// it is not delivered until its end.
func TestATokenIsAskedAboutWhileAReplyIsKept(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(asked(every))
		<-time.After(90 * time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultGarbage, Grant: "refresh_token"})
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err == nil {
			t.Fatal("the reply could be read")
		}
		before := w.line(traderCred)
		if before.State != reconcile.Unread {
			t.Fatalf("it is %+v", before)
		}
		w.server.ClearFaults()
		w.server.RevokeAccount(standin.Coinify, "a@example.com")
		<-time.After(3 * time.Minute)
		if l := w.line(traderCred); l.State != reconcile.Ready || l.Generation == before.Generation || !w.works(standin.Coinify, "trader") {
			t.Errorf("the API honours its token no longer, and it is %+v", l)
		}
	})
}
