package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A plan says why there is no token, or why a place is not written, whenever the next try
// is: in seconds or in minutes, in the daemon's plan and without one, and when its time
// has come already.
func TestAPlanTellsWhatFailed(t *testing.T) {
	const cred, sink = `credential.coinify.trader["a"]`, `sink.mem.trader["a"]`
	const guard = "max_revocations = 10\nsettle = \"1s\""
	for name, c := range map[string]struct {
		addr, why, mend string
		fail            func(w *world)
	}{
		"a grant": {cred, "status 503", `tokend retry 'coinify.trader["a"]'`, func(w *world) {
			w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Grant: "password", Times: -1})
		}},
		"a refresh": {cred, "status 503", `tokend retry 'coinify.trader["a"]'`, func(w *world) {
			w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Grant: "refresh_token", Times: -1})
		}},
		"a write": {sink, "the place is away", `tokend retry 'sink.mem.trader["a"]'`, func(w *world) {
			w.places.failWith(errors.New("the place is away"))
		}},
		"a revocation": {cred, "status 503", `tokend retry 'coinify.trader["a"]'`, func(w *world) {
			w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Path: "/auth/revoke", Times: -1})
		}},
	} {
		for _, wait := range []string{"2s", "5m"} {
			t.Run(name+", tried again within "+wait, func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					hcl := strings.ReplaceAll(traders(guard, "example.com", "a b", ""), "  partner_id = ", fmt.Sprintf("  retry {\n    initial = %q\n    max     = %q\n  }\n  partner_id = ", wait, wait))
					c.fail(w)
					w.set(hcl)
					if name == "a revocation" {
						w.pass(time.Minute, time.Minute, nil)
						hcl = traders(guard, "example.com", "b", "")
						w.set(hcl)
					}
					for range 7200 {
						if l := w.line(c.addr); l.State != reconcile.Pending && strings.Contains(l.Why, c.why) {
							break
						}
						w.pass(time.Second, time.Second, nil)
					}
					tells := func(when string) {
						t.Helper()
						p := w.plan()
						for _, s := range p.Steps {
							if s.Address == c.addr && (!strings.Contains(s.Why, c.why) || s.Mend != c.mend) {
								t.Errorf("%s it says %+v", when, s)
							}
							if s.Address == c.addr {
								return
							}
						}
						t.Errorf("%s it says nothing of it:\n%s", when, lines(p.Steps))
					}
					for range 20 {
						tells("the daemon's plan:")
						w.pass(300*time.Millisecond, 300*time.Millisecond, nil)
					}
					w.halt()
					w.begin(true)
					if _, err := w.loop.Set(t.Context(), w.config(hcl), reconcile.SetOptions{NoSettle: true, Dry: true}); err != nil {
						t.Fatal(err)
					}
					tells("without a daemon")
					w.pass(6*time.Minute, 6*time.Minute, nil)
					tells("without a daemon, when it is due,")
				})
			})
		}
	}
}
