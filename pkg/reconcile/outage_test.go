package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// crowd is n thousand Apirone logins, each with a place.
func crowd(thousands int, limit string) string {
	return fmt.Sprintf(`
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
  %s
}
credential "apirone" "many" {
  for_each = toset(flatten([for i in range(%d) : [for j in range(1000) : "apr-${i * 1000 + j}"]]))
  grant    = "login"
  login    = each.key
  password = secret.mem.pw.value
}
sink "mem" "many" {
  for_each = credential.apirone.many
  place    = each.key
  content  = each.value.access_token
}`, limit, thousands)
}

// away makes one API unreachable while it is set, and counts who tried.
type away struct {
	set   atomic.Bool
	tried atomic.Int64
}

func (w *world) awayWith(api standin.API) *away {
	a := &away{}
	dial := w.dial
	w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, string(api)+".") && a.set.Load() {
			a.tried.Add(1)
			return nil, errors.New("no route to host")
		}
		return dial(ctx, network, address)
	}
	return a
}

// A provider that is away for a day, with a thousand credentials due: it is
// asked now and then and not a thousand times over, memory and goroutines stay
// bounded, others are not delayed, the first pass ends, and soon after it is back
// every place holds a token.
func TestAProviderThatIsAwayForADay(t *testing.T) {
	n := 1_000
	if os.Getenv("TOKEND_TEST_LONG") != "" {
		n = 10_000
	}
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		gone := w.awayWith(standin.Apirone)
		config := trader("a@example.com", crowd(n/1000, ""))
		w.set(config)
		time.Sleep(10 * time.Second)
		gone.set.Store(true)
		w.pass(2*time.Hour, time.Hour, nil)
		w.halt()
		w.start()
		gone.tried.Store(0)
		w.set(config)
		time.Sleep(time.Minute)
		v, err := w.loop.Status(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if !v.FirstPass {
			t.Error("the first pass has not ended")
		}
		if v.Ready || v.Counts[reconcile.Waiting] < n-100 {
			t.Errorf("ready %v, counts %v", v.Ready, v.Counts)
		}
		shut := laneOf(v, "provider.apirone.default")
		if shut.OpenSince.IsZero() || shut.ProbeAt.IsZero() || !strings.Contains(shut.Why, "connecting") || shut.Waiting < n-100 {
			t.Errorf("the lane: %+v", shut)
		}
		line := v.Credentials[n/2]
		if line.State != reconcile.Waiting || !strings.Contains(line.Why, "does not answer") {
			t.Errorf("one of them: %+v", line)
		}
		heap, routines := inUse(), runtime.NumGoroutine()
		w.pass(24*time.Hour, 5*time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the other provider's place holds a token that does not work", time.Now())
			}
		})
		if tried := gone.tried.Load(); tried < 24*3600/15 || tried > 24*3600/4 {
			t.Errorf("%d connections were tried in a day", tried)
		}
		if more := inUse() - heap; more > int64(n)*4096 { // each has a record of its failure in the end
			t.Errorf("memory grew by %d bytes", more)
		}
		if more := runtime.NumGoroutine() - routines; more > 50 {
			t.Errorf("there are %d goroutines more", more)
		}
		gone.set.Store(false)
		time.Sleep(35 * time.Second)
		for i := range n {
			if place := fmt.Sprintf("apr-%d", i); !w.works(standin.Apirone, place) {
				t.Fatalf("35 s after the provider came back, place %s holds %q", place, w.places.get(place))
			}
		}
		if v, err = w.loop.Status(t.Context(), ""); err != nil || !v.Ready || len(v.Lanes) > 0 {
			t.Errorf("in the end: ready %v, lanes %+v, error %v", v.Ready, v.Lanes, err)
		}
	})
}

func laneOf(v reconcile.View, name string) reconcile.LaneView {
	for _, l := range v.Lanes {
		if l.Name == name {
			return l
		}
	}
	return reconcile.LaneView{}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// One credential that never gets an answer, and one that a provider always
// throttles, delay none of the others of the same provider.
func TestABadCredentialDelaysNoOther(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Apirone, Kind: standin.FaultStall, Account: "apr-7", Times: -1})
		w.server.Fail(standin.Fault{API: standin.Apirone, Kind: standin.FaultThrottle, Account: "apr-8", RetryAfter: time.Hour, Times: -1})
		w.set(`secret "mem" "pw" { value = "a-password" }` + crowd(1, ""))
		time.Sleep(5 * time.Second)
		w.pass(30*time.Minute, 5*time.Minute, func() {
			for i := range 1000 {
				if place := fmt.Sprintf("apr-%d", i); i != 7 && i != 8 && !w.works(standin.Apirone, place) {
					t.Fatalf("at %s place %s holds a token that does not work", time.Now(), place)
				}
			}
		})
		v, err := w.loop.Status(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if l := laneOf(v, "provider.apirone.default"); !l.OpenSince.IsZero() {
			t.Errorf("the breaker is open: %+v", l)
		}
		w.server.ClearFaults()
	})
}

// What a person asks for is tried although the provider's breaker is open, and
// answered.
func TestAnOrderIsTriedWhileAProviderIsAway(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		gone := w.awayWith(standin.Apirone)
		w.set(`secret "mem" "pw" { value = "a-password" }` + crowd(1, ""))
		time.Sleep(time.Second)
		gone.set.Store(true)
		w.pass(3*time.Hour, time.Hour, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		before := time.Now()
		err := w.loop.Do(ctx, `credential.apirone.many["apr-3"]`, reconcile.Order{Kind: reconcile.OrderRefresh})
		if err == nil || !strings.Contains(err.Error(), "no route to host") {
			t.Errorf("after %s: %v", time.Since(before), err)
		}
	})
}

// Orphans are counted in status from the start on, without a look at the
// credential.
func TestOrphansAreCountedAfterARestart(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Times: 1})
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		if n := w.line("credential.coinify.trader").Orphans; n != 1 {
			t.Fatalf("%d orphans after a lost reply", n)
		}
		w.halt()
		w.start()
		w.set(trader("a@example.com", ""))
		if l := w.line("credential.coinify.trader"); l.Orphans != 1 {
			t.Errorf("after a restart: %+v", l)
		}
	})
}
