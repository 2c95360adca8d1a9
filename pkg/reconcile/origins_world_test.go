package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// secondHost leads gone.localhost to the OAuth 2 stand-in, but while it is away, and
// counts who tried then.
func (w *world) secondHost() *away {
	a, dial := &away{}, w.dial
	w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.HasPrefix(address, "gone.localhost:") {
			return dial(ctx, network, address)
		}
		if a.set.Load() {
			a.tried.Add(1)
			return nil, errors.New("no route to host")
		}
		return dial(ctx, network, "oauth2.localhost:80")
	}
	return a
}

// services are n credentials of one provider, each with a place of its name.
func services(name string, n int, tokens, revocations string) string {
	return fmt.Sprintf(`
credential "oauth2" %[1]q {
  for_each      = toset([for i in range(%[2]d) : "%[1]s${i}"])
  grant         = "client_credentials"
  client_id     = each.key
  client_secret = secret.mem.client.value
  token_url     = "http://%[3]s.localhost/token"
  revoke_url    = "http://%[4]s.localhost/revoke"
}
sink "mem" %[1]q {
  for_each = credential.oauth2.%[1]s
  place    = each.key
  content  = each.value.access_token
}
`, name, n, tokens, revocations)
}

const oneProvider = `
tokend {
  guard { settle = "1s" }
}
provider "oauth2" { allow_insecure_http = true }
secret "mem" "client" { value = "a-client-secret" }
`

// obtainsAtOnce adds credentials under a name and reports when they are not there at
// once.
func (w *world) obtainsAtOnce(config, name string) {
	w.t.Helper()
	w.set(config + services(name, 5, "oauth2", "oauth2"))
	<-time.After(200 * time.Millisecond)
	for i := range 5 {
		if place := fmt.Sprintf("%s%d", name, i); !w.works(standin.OAuth2, place) {
			w.t.Errorf("%s waits for a host that it does not ask: %+v", place, w.line(fmt.Sprintf("credential.oauth2.%s[%q]", name, place)))
			return
		}
	}
}

// A provider that is told a server for each credential: one that does not answer is
// named, asked now and then, and delays nothing of the others.
func TestAHostThatDoesNotAnswerDelaysNoOther(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		gone := w.secondHost()
		config := oneProvider + services("here", 2, "oauth2", "oauth2") + services("gone", 20, "gone", "gone")
		w.set(config)
		time.Sleep(time.Minute)
		gone.set.Store(true)
		time.Sleep(3 * time.Hour) // all have ended
		before, waiting := gone.tried.Load(), 0
		for i := range 6 {
			name := fmt.Sprintf("new%d", i)
			w.obtainsAtOnce(config, name)
			config += services(name, 5, "oauth2", "oauth2")
			time.Sleep(3 * time.Second)
		}
		time.Sleep(10 * time.Minute)
		if tried := gone.tried.Load() - before; tried > 10*60/4 {
			t.Errorf("%d connections were tried in ten minutes", tried)
		}
		v, err := w.loop.Status(t.Context(), "")
		lane := laneOf(v, "provider.oauth2.default")
		if err != nil || !lane.OpenSince.IsZero() || len(lane.Origins) != 1 || lane.Origins[0].Origin != "http://gone.localhost" || lane.Origins[0].ProbeAt.IsZero() {
			t.Errorf("the lane: %+v, %v", lane, err)
		}
		for _, l := range v.Credentials { // but for those that asked last
			if l.State == reconcile.Waiting && strings.HasPrefix(l.Why, "http://gone.localhost (a host of its provider) does not answer (") {
				waiting++
			}
		}
		if waiting < 15 {
			t.Errorf("%d of 20 say that they wait for it: %+v", waiting, w.line(`credential.oauth2.gone["gone7"]`))
		}
		gone.set.Store(false)
		time.Sleep(35 * time.Second)
		for i := range 20 {
			if place := fmt.Sprintf("gone%d", i); !w.works(standin.OAuth2, place) {
				t.Errorf("35 s after it is back, %s holds %q", place, w.places.get(place))
			}
		}
		if v, err = w.loop.Status(t.Context(), ""); err != nil || !v.Ready || len(v.Lanes) > 0 {
			t.Errorf("in the end: ready %v, lanes %+v, %v", v.Ready, v.Lanes, err)
		}
	})
}

// However many wait for a host that does not answer, they cost a few looks a second, one
// after the other of them is a call, and all have their tokens soon after it is back.
func TestManyThatWaitForAHostCostLittle(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		const many = 1000
		gone := w.secondHost()
		gone.set.Store(true)
		w.set(oneProvider + services("here", 2, "oauth2", "oauth2") + services("gone", many, "gone", "gone"))
		time.Sleep(20 * time.Minute)
		const minutes = 20
		before := gone.tried.Load()
		time.Sleep(minutes * time.Minute)
		if tried := gone.tried.Load() - before; tried < minutes*60/20 || tried > minutes*60/4 {
			t.Errorf("%d connections were tried in %d minutes", tried, minutes)
		}
		if l := w.line(`credential.oauth2.gone["gone7"]`); l.State != reconcile.Waiting || time.Until(l.NextAt) > 11*time.Second {
			t.Errorf("one of them: %+v", l)
		}
		gone.set.Store(false)
		time.Sleep(35 * time.Second)
		for i := range many {
			if place := fmt.Sprintf("gone%d", i); !w.works(standin.OAuth2, place) {
				t.Fatalf("35 s after it is back, %s holds %q: %+v", place, w.places.get(place), w.line(fmt.Sprintf("credential.oauth2.gone[%q]", place)))
			}
		}
	})
}

// Tokens are obtained while the host that revokes them is away, and are revoked once it
// is back.
func TestAHostOfRevocationsThatIsAwayStopsNoToken(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		gone := w.secondHost()
		config := oneProvider + services("here", 2, "oauth2", "oauth2")
		w.set(config + services("old", 8, "oauth2", "gone"))
		time.Sleep(time.Minute)
		gone.set.Store(true)
		if _, err := w.loop.Set(t.Context(), w.config(config), reconcile.SetOptions{NoSettle: true, Allow: 100}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		var waits atomic.Int32
		for i := range 6 {
			name := fmt.Sprintf("new%d", i)
			w.obtainsAtOnce(config, name)
			config += services(name, 5, "oauth2", "oauth2")
			time.Sleep(3 * time.Second)
			if l := w.line(fmt.Sprintf(`credential.oauth2.old["old%d"]`, i)); strings.Contains(l.Why, "gone.localhost") {
				waits.Add(1)
			}
		}
		if n := w.server.Counts(standin.OAuth2).Revocations; n != 0 || waits.Load() != 6 {
			t.Errorf("%d revocations; %d say what they wait for", n, waits.Load())
		}
		gone.set.Store(false)
		time.Sleep(6 * time.Minute) // those that asked last, by a back-off of their own
		if n := w.server.Counts(standin.OAuth2).Revocations; n != 8 {
			t.Errorf("%d revocations once it is back", n)
		}
	})
}

// Most of many that wait for a host are removed: what is left has its tokens soon after
// the host is back, though each was to be looked at much later. One that was let through
// to see, in vain, goes on when its own back-off ends.
func TestFewThatAreLeftOfManyThatWaitForAHost(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		gone := w.secondHost()
		gone.set.Store(true)
		w.set(oneProvider + services("here", 2, "oauth2", "oauth2") + services("gone", 1000, "gone", "gone"))
		time.Sleep(40 * time.Minute)
		if h := w.set(oneProvider + services("here", 2, "oauth2", "oauth2") + services("gone", 3, "gone", "gone")); h != nil {
			if err := w.loop.Approve(t.Context(), h); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		gone.set.Store(false)
		back := time.Now()
		var each sync.WaitGroup
		for i := range 3 {
			place, soon := fmt.Sprintf("gone%d", i), back.Add(35*time.Second)
			addr := fmt.Sprintf("credential.oauth2.gone[%q]", place)
			if l := w.line(addr); l.State == reconcile.Failing && l.NextAt.Before(back.Add(time.Minute)) && l.NextAt.After(soon) {
				soon = l.NextAt.Add(5 * time.Second)
			}
			each.Go(func() {
				for !w.works(standin.OAuth2, place) && time.Since(back) < 2*time.Hour {
					time.Sleep(time.Second)
				}
				if time.Now().After(soon) {
					t.Errorf("%s works %v after the host is back: %+v", place, time.Since(back), w.line(addr))
				}
			})
		}
		each.Wait()
	})
}
