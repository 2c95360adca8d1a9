package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// An order to revoke does not wait behind a retry whose secret does not answer, since it
// needs none, whichever of them is given first; nor does a taint. The retry goes on
// waiting, and is answered in the end.
func TestARevocationWaitsForNoSecretOfARetry(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprint("the retry is being looked at: ", first), func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				w.set(apirones(1, 1, ""))
				<-time.After(5 * time.Second)
				before := w.places.get("stuck-0")
				w.hung.hang("slow", 0, nil)
				<-time.After(5 * time.Second)
				order := func(kind reconcile.OrderKind, within time.Duration) error {
					ctx, cancel := context.WithTimeout(t.Context(), within)
					defer cancel()
					return w.loop.Do(ctx, stuckOne, reconcile.Order{Kind: kind})
				}
				if err := order(reconcile.OrderTaint, time.Minute); err != nil {
					t.Fatal(err)
				}
				retried := make(chan error, 1)
				go func() { retried <- order(reconcile.OrderRetry, time.Hour) }()
				if first {
					<-time.After(time.Minute)
				}
				if err := order(reconcile.OrderTaint, time.Minute); err != nil {
					t.Errorf("tainting it again: %v", err)
				}
				revocations := w.server.Counts(standin.Apirone).Revocations
				if err := order(reconcile.OrderRevoke, time.Minute); err != nil {
					t.Errorf("revoking it: %v", err)
				}
				if was, ok := w.server.Lookup(standin.Apirone, before); ok && was.Alive || w.server.Counts(standin.Apirone).Revocations != revocations+1 {
					t.Errorf("the token that was in force: %+v", was)
				}
				<-time.After(time.Second)
				select {
				case err := <-retried:
					t.Errorf("the retry was answered while its secret is read: %v", err)
				default:
				}
				if l := w.line(stuckOne); l.State != reconcile.Waiting {
					t.Errorf("it says %+v", l)
				}
				w.hung.letGo("slow")
				if err := <-retried; err != nil && !errors.Is(err, reconcile.ErrNothingFailed) {
					t.Errorf("the retry: %v", err)
				}
				<-time.After(time.Minute)
				if !w.works(standin.Apirone, "stuck-0") {
					t.Errorf("its place holds no token that works: %+v", w.line(stuckOne))
				}
			})
		})
	}
}

// A plan waits for a secret that a provider block names. Nobody else of that provider
// holds a place meanwhile: what needs the secret is put back, and all others go on.
func TestAPlanThatWaitsForAProvidersSecretHoldsUpNobody(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.hung.hang("slow", 0, nil)
		cfg := func(n int) string {
			return apirones(5, 0, fmt.Sprintf(`
provider "coinify" {
  base_url            = nonsensitive(secret.mem.slow.value)
  allow_insecure_http = true
}
credential "coinify" "behind" {
  for_each      = toset([for i in range(50) : "behind-${i}"])
  grant         = "password"
  partner_id    = 1
  email         = each.key
  password      = secret.mem.pw.value
}
# %d
`, n))
		}
		w.set(cfg(0))
		ctx, cancel := context.WithCancel(t.Context())
		planned := make(chan error, 1)
		go func() {
			_, err := w.loop.Plan(ctx, reconcile.PlanOptions{})
			planned <- err
		}()
		<-time.After(time.Second)
		for n := range 5 {
			w.set(cfg(n + 1)) // each is looked at again
			<-time.After(time.Minute)
			if l := w.line(`credential.coinify.behind["behind-7"]`); l.State != reconcile.Waiting {
				t.Fatalf("one that needs the secret says %+v", l)
			}
			v, err := w.loop.Status(t.Context(), reconcile.CountsOnly)
			if err != nil || len(v.Lanes) > 0 {
				t.Fatalf("lanes that are full: %+v, %v", v.Lanes, err)
			}
			w.mustBeWell(5)()
		}
		cancel()
		<-planned
	})
}

// looksOf counts how often records are read, and mends what they wait for where that
// has no end.
type looksOf struct {
	state.Store
	n    *atomic.Int64
	mend func()
}

func (s looksOf) Credential(ctx context.Context, addr string) (state.Credential, *state.Intent, error) {
	if s.n.Add(1) == 1000 {
		s.mend()
	}
	return s.Store.Credential(ctx, addr)
}

// An order of a credential whose import waits for a secret waits, too, and is not tried
// at once, and again, for as long as that takes.
func TestAnOrderWaitsForWhatAnImportBrings(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := importing("slow", delivered)
		w.halt()
		var n atomic.Int64
		letGo := sync.OnceFunc(func() { w.hung.letGo("slow") })
		w.wrap = func(s state.Store) state.Store { return looksOf{s, &n, letGo} }
		w.start()
		w.hung.hang("slow", 0, nil)
		w.set(config)
		<-time.After(time.Second)
		before := n.Load()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = w.loop.Do(ctx, "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRetry})
		if looks := n.Load() - before; looks > 60 {
			t.Errorf("in a minute it was looked at %d times", looks)
		}
		letGo()
	})
}
