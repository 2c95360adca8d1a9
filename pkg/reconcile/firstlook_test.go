package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/hooks"
	"tokend/pkg/reconcile"
	"tokend/pkg/sinks"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// attentive are places that know whether they are as they were left, and note
// which were looked at more closely.
type attentive struct {
	*places
	left map[string]string

	mu     sync.Mutex
	looked map[string]bool
	stall  map[string]chan struct{} // places that are looked at only once this is closed
}

func (a *attentive) Intact(_ context.Context, written []byte) (sinks.Seen, bool) {
	place, _, _ := strings.Cut(string(written), " ")
	return sinks.Seen{}, a.get(place) == a.left[place]
}

func (a *attentive) Check(ctx context.Context, d sinks.Desired, last []byte) (string, error) {
	a.mu.Lock()
	a.looked[d.Place] = true
	a.mu.Unlock()
	if c := a.stall[d.Place]; c != nil {
		<-c
	}
	return a.places.Check(ctx, d, last)
}

func (a *attentive) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.looked))
}

// restart ends the loop and begins another one over places that know whether
// they are as they were left.
func (w *world) restart() *attentive {
	w.t.Helper()
	w.halt()
	a := &attentive{places: w.places, left: maps.Clone(w.places.held), looked: map[string]bool{}}
	return a
}

func (w *world) beginWith(a *attentive) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.ended = cancel, make(chan error, 1)
	loop, err := reconcile.New(ctx, reconcile.Options{
		Store: w.store, Providers: opener{w, w.clock()}, Sources: map[string]sources.Source{"mem": secretOf{&w.unreadable, &w.values, &w.hung}}, Sinks: map[string]sinks.Sink{"mem": a},
		Hooks: map[string]hooks.Hook{"mem": hookInto{w.places}}, HookDebounce: func(spec.Values) time.Duration { return time.Second },
		Snapshot:     func(c *spec.Config) ([]byte, error) { return c.Sources()["main.hcl"], nil },
		LoadSnapshot: func([]byte) (*spec.Config, error) { return nil, state.ErrNotFound },
		Host:         "host", Logger: w.log,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.loop = loop
	go func() { w.ended <- loop.Run(ctx) }()
}

func fleet(users []string, prefix string) string {
	text := ""
	for _, u := range users {
		text += fmt.Sprintf(`
credential "apirone" %[1]q {
  provider = provider.apirone.near
  grant    = "login"
  login    = "apr-%[1]s"
  password = secret.mem.password.value
}
sink "mem" %[1]q {
  place   = %[1]q
  content = "%[2]s${credential.apirone.%[1]s.access_token}"
}
`, u, prefix)
		prefix = ""
	}
	return `
provider "apirone" {
  alias    = "near"
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
secret "mem" "password" { value = "a-password" }
` + text
}

// TestNothingIsReadyBeforeItWasLookedAt: what the state says of an address is
// from before the start, so it is not called ready until the first look.
func TestNothingIsReadyBeforeItWasLookedAt(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		text := fleet([]string{"ada", "bob"}, "")
		w.set(text)
		w.pass(time.Minute, time.Second, nil)
		a := w.restart()
		w.places.mu.Lock()
		w.places.held["bob"] = "changed by somebody else"
		w.places.mu.Unlock()
		looks := make(chan struct{})
		a.stall = map[string]chan struct{}{"mem:bob": looks}
		w.beginWith(a)
		w.set(text)
		synctest.Wait()
		check := func(when string, ready bool, unseen int, bob reconcile.State) {
			t.Helper()
			v, err := w.loop.Status(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if v.Ready != ready || v.FirstPass != ready || v.Unseen != unseen {
				t.Errorf("%s: ready %v, first pass over %v, %d not looked at; want %v, %v, %d", when, v.Ready, v.FirstPass, v.Unseen, ready, ready, unseen)
			}
			want := map[string]reconcile.State{"sink.mem.ada": reconcile.Ready, "sink.mem.bob": bob}
			got := map[string]reconcile.State{}
			for _, l := range v.Sinks {
				got[l.Address] = l.State
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", when, d)
			}
		}
		check("while bob is being looked at", false, 1, reconcile.Pending)
		close(looks)
		synctest.Wait()
		check("after the look", true, 0, reconcile.Ready)
	})
}

// TestTheFirstPassRenewsWhatCameDue: a token that came due while nothing ran is
// not called ready at the next start, and the first pass is over only with it.
func TestTheFirstPassRenewsWhatCameDue(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		text := fleet([]string{"ada"}, "")
		w.set(text)
		w.pass(time.Minute, time.Second, nil)
		a := w.restart()
		w.pass(24*time.Hour, time.Hour, nil)
		stalled := w.server.Fail(standin.Fault{API: standin.Apirone, Kind: standin.FaultDelay, Times: 1, Delay: 10 * time.Second})
		defer stalled.Release()
		w.beginWith(a)
		w.set(text)
		w.pass(time.Second, time.Second, nil)
		v, err := w.loop.Status(t.Context(), "")
		if err != nil || v.Ready || v.FirstPass || v.Credentials[0].State != reconcile.Pending {
			t.Errorf("while the token that expired is renewed: ready %v, first pass over %v, %s (%v)", v.Ready, v.FirstPass, v.Credentials[0].State, err)
		}
		w.pass(time.Minute, time.Second, nil)
		if v, err = w.loop.Status(t.Context(), ""); err != nil || !v.Ready || !v.FirstPass {
			t.Errorf("afterwards: ready %v, first pass over %v (%v)", v.Ready, v.FirstPass, err)
		}
	})
}

// TestAStartLooksOnlyAtWhatChanged: sinks whose records, tokens and places are
// as they were left are neither rendered nor compared; all others are, and the
// tokens that come later reach all of them.
func TestAStartLooksOnlyAtWhatChanged(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		users := []string{"ada", "bob", "cyd", "dan"}
		w.set(fleet(users, ""))
		w.pass(time.Minute, time.Second, nil)
		for _, u := range users {
			if !w.works(standin.Apirone, u) {
				t.Fatalf("the place %s holds %q after a minute", u, w.places.get(u))
			}
		}
		a := w.restart()
		w.places.mu.Lock()
		w.places.held["bob"] = "changed by somebody else"
		w.places.mu.Unlock()
		w.beginWith(a)
		w.set(fleet(users, "new ")) // the sink of ada says something else
		synctest.Wait()
		w.pass(time.Second, time.Second, nil)
		if d := cmp.Diff([]string{"mem:ada", "mem:bob"}, a.seen()); d != "" {
			t.Errorf("places that were looked at (-want +got):\n%s", d)
		}
		if !w.works(standin.Apirone, "bob") {
			t.Errorf("the place bob holds %q, which is no token: it was not put right", w.places.get("bob"))
		}
		v, err := w.loop.Status(t.Context(), "")
		if err != nil || !v.Ready || !v.FirstPass {
			t.Errorf("after the start: ready %v, first pass done %v (%v), want both", v.Ready, v.FirstPass, err)
		}
		before := w.places.get("dan")
		w.pass(24*time.Hour, time.Minute, nil)
		if !w.works(standin.Apirone, "dan") || w.places.get("dan") == before {
			t.Errorf("a day later the place dan holds %q, at the start %q: a refreshed token did not reach it", w.places.get("dan"), before)
		}
	})
}

// TestARemovalAfterAStartKnowsItsSinks: a credential's token is revoked only
// after the sinks that were found intact have let go of it.
func TestARemovalAfterAStartKnowsItsSinks(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		users := []string{"ada", "bob", "cyd", "dan"}
		w.set(fleet(users, ""))
		w.pass(time.Minute, time.Second, nil)
		a := w.restart()
		w.beginWith(a)
		w.set(fleet(users, ""))
		token := w.places.get("dan")
		// All within the ten minutes that a token lives.
		w.places.failWith(errors.New("the place cannot be cleaned"))
		w.set(fleet(users[:3], ""))
		w.pass(3*time.Minute, time.Second, nil)
		if got, _ := w.server.Lookup(standin.Apirone, token); !got.Alive {
			t.Error("a token was revoked that a place found intact at the start still holds")
		}
		w.places.failWith(nil)
		w.pass(3*time.Minute, time.Second, nil)
		if got, _ := w.server.Lookup(standin.Apirone, token); w.places.get("dan") != "" || got.Alive {
			t.Errorf("after its removal the place dan holds %q, and its token is alive: %v", w.places.get("dan"), got.Alive)
		}
	})
}
