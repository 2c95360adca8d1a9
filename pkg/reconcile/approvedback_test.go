package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/standin"
)

// A change that a person approved is in force, also where it could not be carried out
// before a crash, and the next one removes what it changed: what lives on while that one
// is held does so by the approved one, and never logs in again with what was before, as
// it does not without a crash.
func TestAStartGoesNotBackBehindAnApproval(t *testing.T) {
	const guard = "max_revocations = 1\n    max_revoked_percent = 100\n    settle = \"1s\""
	for _, crash := range []bool{false, true} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.set(traders(guard, "x", "a b c", ""))
			time.Sleep(time.Minute)
			held := w.set(traders(guard, "y", "a b c", ""))
			if held == nil || len(held.Revocations) != 3 {
				t.Fatalf("held %+v", held)
			}
			w.down.Store(true)
			if err := w.loop.Approve(t.Context(), held); err != nil {
				t.Fatal(err)
			}
			if crash {
				w.crash()
			}
			if held := w.set(traders(guard, "y", "a", "")); held == nil || len(held.Revocations) != 2 {
				t.Fatalf("held %+v", held)
			}
			w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Grant: "refresh_token", Times: -1})
			w.down.Store(false)
			time.Sleep(24 * time.Hour) // each refresh has been refused
			for _, name := range []string{"b", "c"} {
				if l := w.server.Live(standin.Coinify, name+"@x"); len(l) > 0 {
					t.Errorf("%s has %d tokens of the account that it was of", name, len(l))
				}
			}
		})
	}
}
