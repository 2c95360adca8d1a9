package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// leaver is a trader that can be removed without emptying the configuration.
func leaver(lifecycle string) (with, without string) {
	with = trader("a@example.com", `
tokend {
  guard { settle = "0s" }
}
credential "coinify" "other" {
  grant      = "password"
  email      = "o@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`)
	with = strings.Replace(with, "partner_id = \"p\"", "partner_id = \"p\"\n  "+lifecycle, 1)
	return with, cutOut(with, `credential "coinify" "trader"`, `sink "mem" "trader"`)
}

// The provider answers that it does not know the token that is to be revoked:
// that is what a revocation is for, and nothing is tried again.
func TestAnUnknownTokenIsRevoked(t *testing.T) {
	for name, code := range map[string]string{"it is not known": "token_not_found", "it is no longer good": "invalid_token"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				with, without := leaver("")
				w.set(with)
				time.Sleep(time.Second)
				w.server.RevokeAccount(standin.Coinify, "a@example.com")
				asked := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Code: code, Path: "/auth/revoke", Times: -1})
				w.set(without)
				time.Sleep(time.Hour)
				v, err := w.loop.Status(context.Background(), "")
				if err != nil || !v.Ready || len(v.Credentials) != 1 {
					t.Errorf("%+v (%v)", v, err)
				}
				if n := asked.Hits(); n != 1 {
					t.Errorf("the provider was asked %d times", n)
				}
			})
		})
	}
}

// A revocation that is never answered ends with the token itself.
func TestARevocationEndsWithItsToken(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		with, without := leaver("")
		w.set(with)
		time.Sleep(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Path: "/auth/revoke", Times: -1})
		w.set(without)
		time.Sleep(23 * time.Hour) // its refresh token lives for a day
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Removing || l.Retiring != 1 || !strings.Contains(l.Mend, "revoke --forget") {
			t.Errorf("while it is tried again: %+v", l)
		}
		time.Sleep(2 * time.Hour)
		if v, err := w.loop.Status(context.Background(), ""); err != nil || !v.Ready || len(v.Credentials) != 1 {
			t.Errorf("after its end: %+v (%v)", v, err)
		}
	})
}

// A place that cannot be cleaned holds up the revocation of a removed credential
// for max_overlap, and no longer, and goes on being cleaned.
func TestARemovalWaitsForItsPlacesForMaxOverlap(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		with, without := leaver("lifecycle { max_overlap = \"30m\" }")
		w.set(with)
		time.Sleep(10 * time.Second)
		w.places.stick("trader")
		w.set(without)
		began := time.Now()
		w.pass(29*time.Minute, time.Minute, func() {
			if n := w.server.Counts(standin.Coinify).Revocations; n > 0 {
				t.Fatalf("revoked %s after it was removed, with its token in its place", time.Since(began))
			}
			if l := w.line("sink.mem.trader"); l.State != reconcile.Removing || !strings.Contains(l.Why, "cannot clean") {
				t.Fatalf("%+v", l)
			}
		})
		time.Sleep(2 * time.Minute)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Errorf("%d revocations after max_overlap: %+v", n, w.line("sink.mem.trader"))
		}
		w.places.stick("")
		time.Sleep(time.Minute)
		if v, err := w.loop.Status(context.Background(), ""); err != nil || !v.Ready || len(v.Sinks) != 0 || w.places.get("trader") != "" {
			t.Errorf("%+v (%v)", v, err)
		}
	})
}

// The wait after a failure is on record: starting again, as often as one likes,
// does not shorten it, and nobody's account is locked by it.
func TestABackOffSurvivesRestarts(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		failing := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 500, Times: -1})
		w.set(trader("a@example.com", ""))
		for failing.Hits() < 3 {
			time.Sleep(time.Second)
		}
		for range 10 {
			w.halt()
			w.start()
			w.set(trader("a@example.com", ""))
			time.Sleep(time.Minute)
			w.crash()
			w.set(trader("a@example.com", ""))
			time.Sleep(20 * time.Second)
		}
		if n := failing.Hits(); n != 3 {
			t.Errorf("within thirteen minutes after three tries there were %d more", n-3)
		}
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Failing || l.NextAt.Before(time.Now()) {
			t.Errorf("%+v", l)
		}
	})
}
