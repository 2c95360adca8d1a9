package reconcile_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/reconcile"
	"tokend/pkg/sinks"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

const coinifyHead = `
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }
`

func coinifyCredential(name, email string) string {
	return `
credential "coinify" "` + name + `" {
  grant      = "password"
  email      = "` + email + `"
  partner_id = "p"
  password   = secret.mem.pw.value
}
`
}

func coinifySink(name, place, credential string) string {
	return `
sink "mem" "` + name + `" {
  place   = "` + place + `"
  content = credential.coinify.` + credential + `.access_token
}
`
}

// A sink is moved and names another credential since: once its earlier place is
// clean, it does not hold the former one's token any more.
func TestAMovedSinkLetsTheFormerCredentialGo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		other := coinifyHead + coinifyCredential("other", "b@example.com")
		w.set(other + coinifyCredential("trader", "a@example.com") + coinifySink("x", "one", "trader"))
		time.Sleep(time.Minute)
		w.set(other + coinifySink("x", "two", "other"))
		time.Sleep(5 * time.Minute)
		if n := w.revocations(); n != 1 || w.places.get("one") != "" {
			t.Errorf("%d tokens are revoked, and the earlier place holds %q", n, w.places.get("one"))
		}
	})
}

// What a place says of an address that is another credential's by now is no
// sign that the state went back.
func TestARenamedCredentialIsNoOlderState(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := func(prod, test, more string) string {
			return coinifyHead + coinifyCredential(prod, "a@example.com") + coinifyCredential(test, "b@example.com") +
				coinifySink("prod", "prod", prod) + coinifySink("test", "test", test) + more
		}
		moved := func(from, to string) string {
			return "moved {\n  from = credential.coinify." + from + "\n  to   = credential.coinify." + to + "\n}\n"
		}
		w.set(config("active", "standby", ""))
		time.Sleep(time.Minute)
		if err := w.loop.Do(t.Context(), "credential.coinify.active", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.set(config("old", "standby", moved("active", "old")))
		time.Sleep(20 * time.Second)
		w.set(config("old", "active", moved("standby", "active")))
		time.Sleep(20 * time.Second)
		if err := w.loop.Wake(t.Context(), []string{"sink.mem.prod"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		v, err := w.loop.Status(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range v.Credentials {
			if l.Orphans > 0 || l.State != reconcile.Ready {
				t.Errorf("%s is %s, with %d orphans: %s", l.Address, l.State, l.Orphans, l.Why)
			}
		}
	})
}

// The clock is set back while a login is under way: the old token is not revoked
// before its sink holds the new one.
func TestTheClockIsSetBackDuringACall(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.restartBySteppedClock()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultDelay, Delay: 5 * time.Second, Times: 1})
		done := make(chan error, 1)
		go func() { done <- w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderTaint}) }()
		time.Sleep(2 * time.Second)
		w.wrong.Add(-int64(2 * time.Hour))
		block := make(chan struct{})
		w.places.blockBy(block)
		w.line(traderCred)
		time.Sleep(30 * time.Second)
		if n := w.revocations(); n > 0 {
			t.Errorf("%d tokens were revoked before the sink holds the new one", n)
		}
		close(block)
		time.Sleep(time.Minute)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A reply to a refresh is kept, and the configuration asks for another token:
// that is judged like any other replacement, however close the end is.
func TestAKeptReplyCarriesNoChangeThrough(t *testing.T) {
	for name, change := range map[string][2]string{
		"another server":  {`"http://coinify.localhost"`, `"http://away.localhost"`},
		"another account": {`"a@example.com"`, `"z@example.com"`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				config := strings.Replace(trader("a@example.com", ""), "  partner_id", "  lifecycle { prevent_destroy = true }\n  partner_id", 1)
				w.set(config)
				time.Sleep(time.Minute)
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultGarbage, Times: 1})
				_ = w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh})
				time.Sleep(time.Second)
				if l := w.line(traderCred); l.State != reconcile.Unread {
					t.Fatalf("no reply is kept: %+v", l)
				}
				w.set(strings.Replace(config, change[0], change[1], 1))
				time.Sleep(30 * time.Minute)
				rec, _, err := w.store.Credential(t.Context(), traderCred)
				if err != nil || rec.Head.Generation > 1 || w.line(traderCred).State == reconcile.Failing {
					t.Errorf("it was asked for a token that nobody approved: %+v, generation %d (%v)", w.line(traderCred), rec.Head.Generation, err)
				}
			})
		})
	}
}

// unsaved is a store that takes no sink's unwaited record while full.
type unsaved struct {
	state.Store
	full *atomic.Bool
}

func (s unsaved) Later(done func(error), c ...state.Change) {
	if !s.full.Load() || !slices.ContainsFunc(c, func(c state.Change) bool { return c.Sink != nil }) {
		s.Store.Later(done, c...)
		return
	}
	if done != nil {
		go done(unix.ENOSPC)
	}
}

type readOnly struct{}

func (readOnly) Error() string   { return "read-only file system" }
func (readOnly) Is(e error) bool { return e == sinks.ErrPermanent }

// A place was written for the first time right before a crash, and cannot be
// cleaned for a while: it is not given up.
func TestAFirstPlaceThatCannotBeCleanedIsNotGivenUp(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := new(atomic.Bool)
		full.Store(true)
		w.halt()
		w.wrap = func(s state.Store) state.Store { return unsaved{s, full} }
		w.start()
		config := strings.Replace(trader("a@example.com", ""), "  partner_id", "  lifecycle { on_remove = \"forget\" }\n  partner_id", 1)
		w.set(config)
		w.until("the place is written", func() bool { return w.places.get("trader") != "" })
		w.crash()
		full.Store(false)
		w.places.failWith(readOnly{})
		w.set(strings.Replace(withoutSink(config), `hook "mem" "tell" {}`, "", 1))
		time.Sleep(time.Minute)
		w.places.failWith(nil)
		time.Sleep(10 * time.Minute)
		if got := w.places.get("trader"); got != "" {
			t.Errorf("its place still holds %q", got)
		}
	})
}
