package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A place that takes for ever to be written, and a hook that never comes back,
// delay none of a thousand others.
func TestOneThatStallsDelaysNoOther(t *testing.T) {
	const more = `
secret "mem" "pw" { value = "a-password" }
hook "mem" "tell" {}
hook "mem" "stuck" {}
sink "mem" "told" {
  place   = "told"
  content = credential.apirone.many["apr-8"].access_token
  notify  = [hook.mem.tell]
}
sink "mem" "stuck" {
  place   = "stuck"
  content = credential.apirone.many["apr-9"].access_token
  notify  = [hook.mem.stuck]
}`
	for what, stuck := range map[string]string{"a place": "apr-7", "a hook": "sink.mem.stuck"} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				w.halt()
				w.places.block, w.places.stuck = make(chan struct{}), stuck
				w.start()
				w.set(more + crowd(1, ""))
				time.Sleep(5 * time.Second)
				w.pass(30*time.Minute, 5*time.Minute, func() {
					for i := range 1000 {
						if place := fmt.Sprintf("apr-%d", i); place != stuck && !w.works(standin.Apirone, place) {
							t.Fatalf("at %s place %s holds a token that does not work", time.Now(), place)
						}
					}
					for _, place := range []string{"told", "stuck"} {
						if !w.works(standin.Apirone, place) {
							t.Fatalf("at %s place %s holds a token that does not work", time.Now(), place)
						}
					}
				})
				// Its credential's token lives for ten minutes.
				if n := strings.Count(w.places.events(), "hook:"); n < 4 {
					t.Errorf("the other hook ran %d times", n)
				}
				close(w.places.block)
			})
		})
	}
}

// A place that cannot be cleaned holds up the revocation of what it holds for
// max_overlap, and no longer.
func TestAPlaceThatCannotBeCleanedHoldsUpARevocationForMaxOverlap(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.places.failWith(errors.New("the login does not work"))
		w.set(strings.Replace(trader("b@example.com", ""), "partner_id = \"p\"", "partner_id = \"p\"\n  lifecycle { max_overlap = \"30m\" }", 1))
		began := time.Now()
		w.pass(29*time.Minute, time.Minute, func() {
			if n := w.server.Counts(standin.Coinify).Revocations; n > 0 {
				t.Fatalf("revoked %s after it was replaced, with the old token in its place", time.Since(began))
			}
		})
		w.pass(3*time.Minute, time.Minute, nil)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Errorf("%d revocations after max_overlap, want 1: %+v", n, w.line("credential.coinify.trader"))
		}
	})
}

// A block that is added again while the revocation of its old grant fails gets a
// token at once; the old one is revoked when that succeeds, and the new one is
// left alone.
func TestABlockIsAddedAgainWhileItsOldGrantIsRevoked(t *testing.T) {
	const rest = `
tokend {
  guard { settle = "1s" }
}
credential "coinify" "other" {
  grant      = "password"
  email      = "o@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		all := trader("a@example.com", rest)
		w.set(all)
		time.Sleep(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Path: "/auth/revoke", Times: -1})
		from, to := strings.Index(all, `credential "coinify" "trader"`), strings.Index(all, rest)
		w.set(all[:from] + all[to:])
		time.Sleep(2 * time.Minute)
		if w.places.get("trader") != "" {
			t.Fatal("its place was not cleaned")
		}
		w.set(all)
		time.Sleep(5 * time.Second)
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("it waits for the revocation of its old grant: %+v", w.line("credential.coinify.trader"))
		}
		if n := w.server.Counts(standin.Coinify).Revocations; n != 0 {
			t.Errorf("%d revocations succeeded", n)
		}
		w.server.ClearFaults()
		w.pass(2*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Errorf("%d revocations, want the old grant's", n)
		}
	})
}

// misread has a type of its own, which reads the access token from a member.
func misread(member string) string {
	return trader("a@example.com", ownCoinify{settings: `session = "independent"`, access: "body." + member}.String())
}

// A type that reads replies wrongly is mended, and a retry reads what was kept: a
// login's and a refresh's. Nothing is asked again.
func TestARetryAfterTheTypeWasMended(t *testing.T) {
	const addr = "credential.coinify.trader"
	unread := func(w *world) {
		t.Helper()
		if l := w.line(addr); l.State != reconcile.Unread {
			t.Fatalf("status %+v", l)
		}
	}
	retry := func(w *world) {
		t.Helper()
		w.set(misread("access_token"))
		if err := w.loop.Do(context.Background(), addr, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("there is no token that works: %+v", w.line(addr))
		}
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(misread("token"))
		time.Sleep(time.Second)
		unread(w)
		retry(w)
		w.set(misread("token"))
		time.Sleep(14 * time.Minute) // it is refreshed after twelve
		unread(w)
		before := w.places.get("trader")
		retry(w)
		if w.places.get("trader") == before {
			t.Error("the kept reply to the refresh was not used")
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Refreshes != 1 || c.Reuses != 0 {
			t.Errorf("%d grants, %d refreshes, %d reuses", c.Grants, c.Refreshes, c.Reuses)
		}
	})
}
