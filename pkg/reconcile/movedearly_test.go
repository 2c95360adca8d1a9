package reconcile_test

import (
	"context"
	"net"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A block gets its new name while nothing runs: the moved block is followed by the
// first configuration after the start. Removed later, nothing of the credential is
// left in the loop, which goes on.
func TestAMovedBlockIsFollowedAtAStart(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		time.Sleep(time.Minute)
		w.crash()
		if h := w.set(renamedTrader("renamed", "delivered", bystander+movedBoth)); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		if n := w.line("credential.coinify.renamed").Generation; n != 1 {
			t.Errorf("it is at its generation %d", n)
		}
		w.set(before(trader("a@example.com", ""), "credential") + bystander)
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 1 || w.places.get("trader") != "" {
			t.Errorf("%d revocations after the removal; the place holds %q", n, w.places.get("trader"))
		}
		w.pass(3*time.Hour, time.Minute, nil) // it would have been due meanwhile
	})
}

// A block gets another name while its first token is being obtained: that one is
// the token of the new name.
func TestAMovedBlockWaitsForTheFirstToken(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		dial, asked := w.dial, make(chan struct{}, 1)
		w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case asked <- struct{}{}:
			default:
			}
			time.Sleep(time.Second)
			return dial(ctx, network, address)
		}
		w.set(trader("a@example.com", ""))
		<-asked
		if h := w.set(renamedTrader("renamed", "delivered", movedBoth)); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Revocations != 0 {
			t.Errorf("%d grants, %d revocations", c.Grants, c.Revocations)
		}
		if l := w.line("credential.coinify.renamed"); l.State != reconcile.Ready || !w.works(standin.Coinify, "trader") {
			t.Errorf("%+v", l)
		}
	})
}
