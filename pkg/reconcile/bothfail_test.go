package reconcile_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// Where a replacement fails before anything of it reaches the server, and the
// refresh of the token held fails as well, each keeps a back-off of its own:
// neither begins the other's anew.
func TestAReplacementAndARefreshThatBothFailBackOff(t *testing.T) {
	busy := func(w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 503, Code: "unavailable", Times: -1})
	}
	changed := trader("b@example.com", "")
	for name, c := range map[string]struct {
		hcl  string
		fail func(w *world, dials *atomic.Int64)
	}{
		"its secret is not there": {changed, func(w *world, _ *atomic.Int64) {
			w.unreadable.Store(true)
			busy(w)
		}},
		"nothing can be reached": {changed, func(w *world, dials *atomic.Int64) {
			w.dial = func(context.Context, string, string) (net.Conn, error) {
				dials.Add(1)
				return nil, errors.New("connection refused")
			}
		}},
		"its new address cannot be reached": {strings.ReplaceAll(changed, "http://coinify.localhost", "http://elsewhere.localhost"), func(w *world, dials *atomic.Int64) {
			reach := w.dial
			w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if strings.HasPrefix(address, "elsewhere.") {
					dials.Add(1)
					return nil, errors.New("connection refused")
				}
				return reach(ctx, network, address)
			}
			busy(w)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				var dials atomic.Int64
				asked := func() int { return int(dials.Load()) + len(w.server.Ledger(standin.Coinify).Requests) }
				w.set(trader("a@example.com", ""))
				w.pass(time.Minute, time.Second, nil)
				w.halt()
				c.fail(w, &dials)
				w.start()
				if held := w.set(c.hcl); held != nil {
					if err := w.loop.Approve(t.Context(), held); err != nil {
						t.Fatal(err)
					}
				}
				n := asked()
				for range 4 {
					w.pass(15*time.Minute, time.Second, nil)
					m := asked()
					// Once the token has ended each of the two is tried every 30 s.
					if m-n > 90 {
						t.Errorf("asked %d times within 15 minutes: %+v", m-n, w.line(traderCred))
					}
					n = m
				}
			})
		})
	}
}
