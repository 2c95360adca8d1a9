package reconcile_test

import (
	"log/slog"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// ending is two traders, of which one shall not outlive the daemon.
func ending() string {
	return trader("a@example.com", `
credential "coinify" "ends" {
  grant      = "password"
  email      = "b@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
  lifecycle { revoke_on_shutdown = true }
}`)
}

// A stop revokes what asks for it, and nothing else; the next start obtains it
// anew. A loop that is no daemon's revokes nothing.
func TestAStopRevokesWhatAsksForIt(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(ending())
		time.Sleep(time.Minute)
		w.halt()
		if n := w.living("b@example.com"); n != 0 {
			t.Errorf("%d tokens of b live on after the stop", n)
		}
		if n := w.living("a@example.com"); n != 1 {
			t.Errorf("%d tokens of a, which asks for nothing, live on after the stop", n)
		}
		grants := w.server.Counts(standin.Coinify).Grants
		w.start()
		w.set(ending())
		time.Sleep(time.Minute)
		if l := w.line("credential.coinify.ends"); l.State != reconcile.Ready || l.Generation != 2 {
			t.Errorf("after the next start: %+v", l)
		}
		if n := w.server.Counts(standin.Coinify).Grants - grants; n != 1 {
			t.Errorf("%d grants after the next start", n)
		}
	})
}

// The log of a stop says why it revokes, and names no person who would want it.
func TestAStopSaysWhyItRevokes(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		said := &logLines{}
		w.halt()
		w.log = slog.New(slog.NewTextHandler(said, nil))
		w.start()
		w.set(ending())
		time.Sleep(time.Minute)
		w.halt()
		defer w.start()
		if said.count("msg=revoked") != 1 || said.count("revoke_on_shutdown") == 0 || said.count("a person wants") != 0 {
			t.Errorf("it is said %d times that it is revoked, %d times that its setting asks for it, %d times that a person does",
				said.count("msg=revoked"), said.count("revoke_on_shutdown"), said.count("a person wants"))
		}
	})
}

// A provider that does not answer delays a stop for some seconds; the next start
// goes on with the revocation.
func TestAStopDoesNotWaitForAProvider(t *testing.T) {
	for name, fault := range map[string]standin.FaultKind{"stalls": standin.FaultStall, "fails": standin.FaultStatus} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(ending())
				time.Sleep(time.Minute)
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: fault, Path: "/auth/revoke", Times: -1})
				began := time.Now()
				w.halt()
				if d := time.Since(began); d > 45*time.Second {
					t.Errorf("the stop took %s", d)
				}
				w.server.ClearFaults()
				w.start()
				w.set(ending())
				w.pass(10*time.Minute, time.Minute, nil)
				if n := w.living("b@example.com"); n != 1 {
					t.Errorf("%d tokens of b live", n)
				}
				if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
					t.Errorf("%d revocations", n)
				}
			})
		})
	}
}

// living counts the refresh tokens of an account at Coinify, whose access tokens
// end by themselves.
func (w *world) living(account string) int {
	n := 0
	for _, tok := range w.server.Live(standin.Coinify, account) {
		if tok.Kind == "refresh" {
			n++
		}
	}
	return n
}
