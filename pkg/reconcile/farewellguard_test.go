package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// endingTraders are traders of which some shall not outlive the daemon.
func endingTraders(guard, names, ending string) string {
	lifecycle := fmt.Sprintf("  lifecycle { revoke_on_shutdown = contains(split(\" \", %q), each.key) }\n  partner_id =", ending)
	return strings.Replace(traders(guard, "x", names, ""), "  partner_id =", lifecycle, 1)
}

// A change after which a stop revokes more than the guard allows waits for a
// person: a stop comes by itself, with the next upgrade.
func TestTheGuardSeesWhatAStopWouldRevoke(t *testing.T) {
	const guard = "max_revocations = 3\nmax_revoked_percent = 100\nsettle = \"1s\""
	for name, c := range map[string]struct {
		names   string
		approve bool
		revoked int
	}{
		"as many as it allows":   {"a b c", false, 3},
		"more than it allows":    {"a b c d", false, 0},
		"more, as a person said": {"a b c d", true, 4},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(traders(guard, "x", c.names, ""))
				time.Sleep(time.Minute)
				held := w.set(endingTraders(guard, c.names, c.names))
				if (held != nil) != (c.revoked != 3) {
					t.Fatalf("held: %+v", held)
				}
				if c.approve {
					if err := w.loop.Approve(context.Background(), held); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				if l := w.line(`credential.coinify.trader["a"]`); (l.State == reconcile.Held) != (held != nil && !c.approve) {
					t.Errorf("%+v", l)
				}
				w.halt()
				if n := w.revocations(); n != c.revoked {
					t.Errorf("%d revoked at the stop", n)
				}
				w.start()
				w.set(endingTraders(guard, c.names, c.names))
				time.Sleep(time.Minute)
			})
		})
	}
}

// Two changes within the hour do no more than one, also after a crash; what asked
// for it before it was obtained is nothing new.
func TestTheGuardCountsWhatAStopWouldRevoke(t *testing.T) {
	const guard = "max_revocations = 3\nmax_revoked_percent = 100\nsettle = \"1s\""
	inWorld(t, strict(), func(t *testing.T, w *world) {
		set := func(ending string, holds bool) {
			t.Helper()
			if h := w.set(endingTraders(guard, "a b c d e f g h i", ending)); (h != nil) != holds {
				t.Errorf("%s: %+v", ending, h)
			}
			time.Sleep(time.Minute)
		}
		set("a b c d", false) // there is no token yet
		set("a b c d e f", false)
		w.crash()
		set("a b c d e f", false)
		set("a b c d e f g h", true)
		set("a b c d e f", false)
		time.Sleep(time.Hour)
		set("a b c d e f g h", false)
		w.halt()
		if n := w.revocations(); n != 8 {
			t.Errorf("%d revoked at the stop", n)
		}
		w.start()
		set("", false)
	})
}

// A replacement that the guard has let go counts once, also where the same change
// has the token end with the daemon and the first try of the new one fails: until
// it is there, the old one lives by what was said before.
func TestAReplacementThatShallEndWithTheDaemonCountsOnce(t *testing.T) {
	const guard = "max_revocations = 1\nmax_revoked_percent = 100\nsettle = \"1s\""
	changed := strings.Replace(endingTraders(guard, "a", "a"), "@x", "@y", 1)
	for name, stops := range map[string]bool{"it goes on": false, "the daemon stops first": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(traders(guard, "x", "a", ""))
				time.Sleep(time.Minute)
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Path: "/auth", Times: -1})
				if h := w.set(changed); h != nil {
					t.Fatalf("held: %+v", h)
				}
				time.Sleep(time.Minute)
				if held, err := w.loop.Held(t.Context()); err != nil || held != nil {
					t.Errorf("after a try that failed: held %+v (%v)", held, err)
				}
				if stops {
					w.halt()
					w.start()
					w.set(changed)
				}
				if n := w.revocations(); n != 0 {
					t.Errorf("%d revoked before there is another", n)
				}
				w.server.ClearFaults()
				time.Sleep(2 * time.Hour)
				if l := w.line(`credential.coinify.trader["a"]`); l.State != reconcile.Ready || w.revocations() != 1 {
					t.Errorf("%d revoked; %+v", w.revocations(), l)
				}
				w.halt()
				if n := w.revocations(); n != 2 {
					t.Errorf("%d revoked after the stop, with which the new one ends", n)
				}
				w.start()
				w.set(changed)
			})
		})
	}
}
