package reconcile_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// heirNeeds is twoGrants with the sink under another name, which names what only a
// grant has that prevent_destroy holds back; free lets that grant come.
func heirNeeds(content string, free bool) string {
	lifecycle := "  lifecycle { prevent_destroy = true }\n"
	if free {
		lifecycle = ""
	}
	return strings.NewReplacer("  email = \"a@example.com\"\n}", "  email = \"a@example.com\"\n"+lifecycle+"}", `sink "mem" "a"`, `sink "mem" "b"`,
		"max_revocations = 0", "max_revocations = 9").Replace(twoGrants("rich", content, ""))
}

// says compares how an address does.
func (w *world) says(addr string, state reconcile.State, why, mend string) {
	w.t.Helper()
	if l := w.line(addr); l.State != state || !strings.Contains(l.Why, why) || !strings.Contains(l.Mend, mend) {
		w.t.Errorf("it is %+v", l)
	}
}

// worksAsBefore lets a day go by, in which a place holds a token that works, in the
// form that it had.
func (w *world) worksAsBefore(place string) {
	w.t.Helper()
	seen := map[string]bool{}
	w.pass(24*time.Hour, 10*time.Minute, func() {
		got := w.places.get(place)
		token, ok := strings.CutPrefix(got, `{"token":"`)
		token, end := strings.CutSuffix(token, `"}`)
		if !ok || !end {
			w.t.Fatalf("at %s it holds %q; log: %s", time.Now(), got, w.places.events())
		}
		if t, ok := w.server.Lookup(standin.Coinify, token); !ok || !t.Alive {
			w.t.Fatalf("at %s its token does not work; log: %s", time.Now(), w.places.events())
		}
		seen[token] = true
	})
	if len(seen) < 3 {
		w.t.Errorf("it held only %d tokens", len(seen))
	}
}

const keepsA = "it goes on at its place with each new token until sink.mem.b, which has it now, has written it"

// A sink that takes the place of another one, and waits for what prevent_destroy holds
// back: the one that had the place goes on there, also over a restart and whatever else
// changes, and each of the three says what it waits for. What lifts that has the heir
// write, and nothing is left of the other.
func TestARemovedSinkKeepsItsPlaceUntilItsHeirCanWrite(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(loginFree("plain", plainly, ""))
		<-time.After(time.Minute)
		for _, change := range []string{"", "locals { other = 1 }\n"} {
			w.set(heirNeeds(richly, false) + change)
			<-time.After(time.Minute)
			w.says("sink.mem.a", reconcile.Removing, keepsA, "")
			w.says("sink.mem.b", reconcile.Waiting, "the new token of mine.a", "")
			w.says("credential.mine.a", reconcile.Held, "grant changed, but prevent_destroy is set", "set lifecycle { prevent_destroy = false }")
			w.worksAsBefore("a")
			w.crash()
		}
		w.set(heirNeeds(richly, false))
		w.worksAsBefore("a")
		w.set(heirNeeds(richly, true))
		<-time.After(time.Minute)
		if got := w.places.get("a"); !strings.HasPrefix(got, `{"kind":"bearer","token":"`) {
			t.Errorf("once it can be written it holds %q", got)
		}
		w.says("sink.mem.b", reconcile.Ready, "", "")
		if v, err := w.loop.Status(t.Context(), ""); err != nil || len(v.Sinks) != 1 {
			t.Errorf("the sinks are %+v, %v", v.Sinks, err)
		}
		writes := strings.Count(w.places.events()+" ", "write:a ")
		<-time.After(5 * time.Minute)
		if n := strings.Count(w.places.events()+" ", "write:a "); n != writes {
			t.Errorf("it was written %d times more", n-writes)
		}
	})
}

// The change is taken back: the sink is declared again, and holds the token in force.
func TestASinkThatKeptItsPlaceIsDeclaredAgain(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(loginFree("plain", plainly, ""))
		<-time.After(time.Minute)
		w.set(heirNeeds(richly, false))
		w.worksAsBefore("a")
		w.set(loginFree("plain", plainly, ""))
		<-time.After(time.Minute)
		w.says("sink.mem.a", reconcile.Ready, "", "")
		w.worksAsBefore("a")
		w.set(strings.Replace(loginFree("plain", plainly, ""), `sink "mem" "a"`, `sink "mem" "b"`, 1))
		<-time.After(time.Minute)
		w.says("sink.mem.b", reconcile.Ready, "", "")
	})
}

// Where what the removed sink names is not declared any more, or a secret is another
// one, it does not go on: its place stays as it is.
func TestARemovedSinkKeepsNoPlaceByWhatHasGone(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		secret := `secret "mem" "s" { value = "one" }`
		w.set(loginFree("plain", plainly+"${secret.mem.s.value}", secret))
		<-time.After(time.Minute)
		first := w.places.get("a")
		w.set(heirNeeds(richly, false) + strings.Replace(secret, "one", "two", 1))
		<-time.After(time.Hour)
		if got := w.places.get("a"); got != first || first == "" {
			t.Errorf("it holds %q, want what it held: %q", got, first)
		}
		w.says("sink.mem.a", reconcile.Removing, "its place stays as it is until sink.mem.b, which has it now, has written it", "")
	})
}

// lateHeir is a sink that takes the place of trader's, and names the token of a
// credential whose API is away, too.
const lateHeir = `
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
credential "apirone" "late" {
  grant    = "login"
  login    = "apr-e7be0e8eabd391b499fe64647576fad5"
  password = secret.mem.pw.value
}
sink "mem" "heir" {
  place   = "trader"
  content = "${credential.coinify.trader.access_token} ${credential.apirone.late.access_token}"
}
`

// The heir writes while the one that keeps its place looks at it: what that finds does
// not have it write over what its heir has written.
func TestWhoKeepsAPlaceDoesNotWriteAfterItsHeir(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		var away atomic.Bool
		away.Store(true)
		dial := w.dial
		w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if away.Load() && strings.HasPrefix(address, "apirone") {
				return nil, errors.New("it is away")
			}
			return dial(ctx, network, address)
		}
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		before, _, _ := strings.Cut(trader("a@example.com", lateHeir), `sink "mem" "trader"`)
		w.set(before + lateHeir)
		<-time.After(time.Minute)
		w.says("sink.mem.trader", reconcile.Removing, "until sink.mem.heir, which has it now,", "")
		first := w.places.get("trader")
		look := make(chan struct{})
		w.places.checkBy(func() { <-look })
		if err := w.loop.Wake(t.Context(), []string{"sink.mem.trader"}); err != nil {
			t.Fatal(err)
		}
		away.Store(false)
		<-time.After(6 * time.Minute) // its API is tried again, and its token comes
		if got := w.places.get("trader"); got == first {
			t.Errorf("its heir has not written; it is %+v", w.line("sink.mem.heir"))
		}
		w.places.checkBy(nil)
		close(look)
		<-time.After(10 * time.Second)
		if got := w.places.get("trader"); len(strings.Fields(got)) != 2 {
			t.Errorf("after its heir it holds %q; log: %s", got, w.places.events())
		}
		if v, err := w.loop.Status(t.Context(), ""); err != nil || len(v.Sinks) != 1 {
			t.Errorf("the sinks are %+v, %v", v.Sinks, err)
		}
	})
}

// A place that cannot be written fails as it did when its sink was declared, and is
// mended alike.
func TestAKeptPlaceThatFails(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(loginFree("plain", plainly, ""))
		<-time.After(time.Minute)
		w.set(heirNeeds(richly, false))
		<-time.After(time.Minute)
		w.places.failWith(errors.New("the places are read-only"))
		<-time.After(15 * time.Minute)
		w.says("sink.mem.a", reconcile.Failing, "the places are read-only", "")
		w.places.failWith(nil)
		<-time.After(time.Minute)
		w.says("sink.mem.a", reconcile.Removing, keepsA, "")
		w.worksAsBefore("a")
	})
}
