package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

const secondPlace = `
sink "mem" "second" {
  place   = "second"
  content = credential.coinify.trader.access_token
}`

// ordered gives an order and waits for its delivery, as a command does.
func (w *world) ordered(ctx context.Context, kind reconcile.OrderKind) error {
	const addr = "credential.coinify.trader"
	if err := w.loop.Do(ctx, addr, reconcile.Order{Kind: kind}); err != nil {
		return err
	}
	return w.loop.Delivered(ctx, addr, kind == reconcile.OrderRevoke, 30*time.Second)
}

// Whoever waits for an order goes on once every sink holds the new token, however
// long one of them takes.
func TestAnOrderIsOverWhenEverySinkIsWritten(t *testing.T) {
	for _, kind := range []reconcile.OrderKind{reconcile.OrderRefresh, reconcile.OrderRevoke} {
		t.Run(string(kind), func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", secondPlace))
				time.Sleep(time.Minute)
				old := w.places.get("second")
				slow := make(chan struct{})
				w.places.stuck = "second"
				w.places.blockBy(slow)
				time.AfterFunc(7*time.Second, func() { close(slow) })
				began := time.Now()
				if err := w.ordered(t.Context(), kind); err != nil {
					t.Fatal(err)
				}
				if w.places.get("second") == old || !w.works(standin.Coinify, "second") || !w.works(standin.Coinify, "trader") {
					t.Errorf("after %s the places hold %q and %q; before it was %q", time.Since(began), w.places.get("trader"), w.places.get("second"), old)
				}
			})
		})
	}
}

// A sink that fails gets its retries, for so long and no longer; then it is named,
// with its reason.
func TestAnOrderWaitsForAFailingSinkNoLongerThanAWhile(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", secondPlace))
		time.Sleep(time.Minute)
		w.places.failWith(errors.New("the disk is in pieces"))
		began := time.Now()
		err := w.ordered(t.Context(), reconcile.OrderRefresh)
		var left *reconcile.UndeliveredError
		if !errors.As(err, &left) || len(left.Sinks) != 2 || !strings.Contains(err.Error(), "2 sinks do not hold the new token: sink.mem.second: the disk is in pieces; sink.mem.trader: the disk is in pieces") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("it took %s", took)
		}
		if left != nil && left.Mend() != "tokend retry sink.mem.second" {
			t.Errorf("mend %q", left.Mend())
		}
		time.AfterFunc(5*time.Second, func() { w.places.failWith(nil) })
		if err := w.ordered(t.Context(), reconcile.OrderRefresh); err != nil {
			t.Errorf("once the disk was whole again: %v", err)
		}
	})
}

// A sink that waits for somebody else's token, and was never written, is not waited
// for and does not count: nobody can have read an older token there.
func TestAnOrderDoesNotWaitForOtherTokens(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Apirone, Kind: standin.FaultStatus, Times: 1000})
		w.set(trader("a@example.com", `
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
credential "apirone" "other" {
  grant    = "login"
  login    = "apr"
  password = secret.mem.pw.value
}
sink "mem" "both" {
  place   = "both"
  content = "${credential.coinify.trader.access_token} ${credential.apirone.other.access_token}"
}`))
		time.Sleep(time.Minute)
		began := time.Now()
		if err := w.ordered(t.Context(), reconcile.OrderRefresh); err != nil {
			t.Errorf("error %v", err)
		}
		if l := w.line("sink.mem.both"); l.State != reconcile.Waiting {
			t.Errorf("the sink: %+v", l)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Whoever waits for the sinks of a credential costs the loop next to nothing,
// however many they are, and is told of all of them in the end: the loop is what
// hands out the very writes that are waited for.
func TestWaitingForManySinksCostsTheLoopLittle(t *testing.T) {
	const sinks = 1000
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", fmt.Sprintf(`
sink "mem" "many" {
  count   = %d
  place   = "p${count.index}"
  content = credential.coinify.trader.access_token
}`, sinks)))
		time.Sleep(2 * time.Minute)
		slow := make(chan struct{})
		w.places.blockBy(slow)
		defer close(slow)
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		waiting := func(within time.Duration) (uint64, error) {
			before := mallocs()
			err := w.loop.Delivered(t.Context(), traderCred, false, within)
			return mallocs() - before, err
		}
		short, _ := waiting(10 * time.Millisecond)
		long, err := waiting(10 * time.Second)
		var left *reconcile.UndeliveredError
		if !errors.As(err, &left) || len(left.Sinks) != sinks+1 {
			t.Errorf("error %v", err)
		}
		// Both end with one list of all of them; a look in between is at few.
		if t.Logf("%d allocations, %d for a short wait", long, short); long > short+5*sinks {
			t.Errorf("while somebody waited for %d sinks, %d things were allocated, and %d for the list of them in the end", sinks, long, short)
		}
	})
}

// mallocs counts the allocations so far.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// A revocation is over when there is a new token, which may take more than one try;
// until then the sinks hold one that is worth nothing.
func TestARevocationWaitsForTheNewToken(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", secondPlace))
		time.Sleep(time.Minute)
		old := w.places.get("second")
		refused := standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 503, Code: "unavailable", Grant: "password", Times: 2}
		w.server.Fail(refused)
		if err := w.ordered(t.Context(), reconcile.OrderRevoke); err != nil {
			t.Fatal(err)
		}
		if w.places.get("second") == old || !w.works(standin.Coinify, "second") || !w.works(standin.Coinify, "trader") {
			t.Errorf("a place does not hold the new token; %+v", w.line(traderCred))
		}

		refused.Times = 1000
		w.server.Fail(refused)
		began := time.Now()
		err := w.ordered(t.Context(), reconcile.OrderRevoke)
		var left *reconcile.UndeliveredError
		if !errors.As(err, &left) || left.Credential == nil || !strings.HasPrefix(err.Error(), "there is no new token: ") || !strings.Contains(err.Error(), "503") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("it took %s", took)
		}
		if left != nil && left.Mend() != "tokend retry coinify.trader" {
			t.Errorf("mend %q", left.Mend())
		}
	})
}

// What the provider refuses for good is not waited for: a person has to do something.
func TestARevocationWaitsForNoTokenThatDoesNotCome(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", secondPlace))
		time.Sleep(time.Minute)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Status: 401, Code: "invalid_grant", Grant: "password", Times: 1000})
		began := time.Now()
		err := w.ordered(t.Context(), reconcile.OrderRevoke)
		if err == nil || !strings.HasPrefix(err.Error(), "there is no new token: ") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
