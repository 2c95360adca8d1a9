package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

const (
	traderSink = "sink.mem.trader"
	traderCred = "credential.coinify.trader"
)

// movedTo is the trader's configuration with another place.
func movedTo(place string) string {
	return strings.Replace(trader("a@example.com", ""), `place   = "trader"`, `place   = "`+place+`"`, 1)
}

// withoutSink is a configuration up to its sink.
func withoutSink(config string) string { return config[:strings.Index(config, "sink ")] }

// until waits for a condition, and looks every millisecond.
func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	for range 60000 {
		if f() {
			return
		}
		<-time.After(time.Millisecond)
	}
	w.t.Fatalf("within a minute it never happened: %s", what)
}

// While the state cannot name a place, nothing is written there: neither a
// first one nor the next.
func TestNothingIsWrittenWhereTheStateNamesNothing(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofSinks)
		for _, place := range []string{"trader", "elsewhere"} {
			full.Store(true)
			before := w.places.events()
			w.set(movedTo(place))
			time.Sleep(time.Minute)
			if got := w.places.get(place); got != "" || w.places.events() != before {
				t.Errorf("%s holds %q, though no record names it; what happened was %s", place, got, w.places.events())
			}
			if l := w.line(traderSink); l.State != reconcile.Failing || !strings.Contains(l.Why, "no space left") || l.Mend == "" {
				t.Errorf("it is %s: %s; mended by %q", l.State, l.Why, l.Mend)
			}
			full.Store(false)
			time.Sleep(time.Minute)
			if !w.works(standin.Coinify, place) {
				t.Errorf("once the disk takes it again, %s holds %q", place, w.places.get(place))
			}
		}
		if got := w.places.get("trader"); got != "" {
			t.Errorf("the earlier place still holds %q", got)
		}
	})
}

// A crash came right after a place was written for the first time, or before,
// and at the next start the configuration has moved on. What was left there is
// cleaned, although its token is not the one in force any more, and somebody
// else's is left alone.
func TestACrashLeavesNothingAtAFirstPlace(t *testing.T) {
	for name, c := range map[string]struct {
		moved  bool // it is the place that a sink was moved to
		before bool // the crash came before the write
		forged string
		want   string
	}{
		"first":                           {},
		"first, before the write":         {before: true},
		"moved":                           {moved: true},
		"moved, before the write":         {moved: true, before: true},
		"somebody else's by now":          {forged: "theirs", want: "theirs"},
		"somebody else's where it was to": {before: true, forged: "theirs", want: "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				place := "trader"
				if c.moved {
					w.set(trader("a@example.com", ""))
					time.Sleep(time.Minute)
					place = "elsewhere"
				}
				if c.before {
					w.places.failWith(errors.New("it is away"))
				}
				w.set(movedTo(place))
				w.until("the place is written, or its record names it", func() bool {
					if !c.before {
						return w.places.get(place) != "" // reading the record would bring it to disk
					}
					rec, err := w.store.Sink(t.Context(), traderSink)
					return err == nil && strings.HasPrefix(string(rec.Written), "mem:"+place)
				})
				w.crash()
				w.places.failWith(nil)
				if c.forged != "" {
					w.places.forge(place, c.forged)
				}
				w.set(withoutSink(trader("a@example.com", "")))
				if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				for at, want := range map[string]string{place: c.want, "trader": ""} {
					if got := w.places.get(at); got != want && (at == place || c.moved) {
						t.Errorf("%s holds %q, want %q", at, got, want)
					}
				}
				if _, err := w.store.Sink(t.Context(), traderSink); !errors.Is(err, state.ErrNotFound) {
					t.Errorf("its record is still there: %v", err)
				}
			})
		})
	}
}

// A crash at a first place and no change of the configuration: the place is
// written, and its hook runs.
func TestACrashAtAFirstPlaceIsGoneOnFrom(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		w.until("the place is written", func() bool { return w.places.get("trader") != "" })
		w.crash()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		rec, err := w.store.Sink(t.Context(), traderSink)
		if err != nil || rec.WrittenAt.IsZero() || len(rec.Leaving) > 0 {
			t.Errorf("the record is %+v (%v), want one of a write", rec, err)
		}
		if !w.works(standin.Coinify, "trader") || !strings.Contains(w.places.events(), "hook:1") {
			t.Errorf("the place holds %q, and what happened was %s", w.places.get("trader"), w.places.events())
		}
	})
}

// An old token is not revoked while a place holds it that its sink has left, be
// it that the place cannot be cleaned, or that another sink is still to write
// it.
func TestARevocationWaitsForAPlaceThatIsLeft(t *testing.T) {
	const other = `
provider "coinify" {
  alias               = "away"
  base_url            = "http://away.localhost"
  allow_insecure_http = true
}
credential "coinify" "other" {
  provider   = provider.coinify.away
  grant      = "password"
  email      = "b@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}
sink "mem" "other" {
  place   = "trader"
  content = credential.coinify.other.access_token
}`
	for name, more := range map[string]string{"it cannot be cleaned": "", "another sink is to write it": other} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", ""))
				time.Sleep(time.Minute)
				if more == "" {
					w.places.stick("trader")
				}
				w.set(movedTo("elsewhere") + more)
				time.Sleep(10 * time.Second)
				if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
					t.Fatal(err)
				}
				w.pass(10*time.Minute, time.Minute, func() {
					if !w.works(standin.Coinify, "trader") || !w.works(standin.Coinify, "elsewhere") {
						t.Fatalf("the token at the place that was left has been revoked, after %d revocations", w.revocations())
					}
				})
				if w.places.get("trader") == w.places.get("elsewhere") {
					t.Fatal("the token was not replaced, so that nothing was to wait")
				}
				w.places.stick("")
				w.set(movedTo("elsewhere"))
				time.Sleep(3 * time.Minute)
				if got, n := w.places.get("trader"), w.revocations(); got != "" || n != 1 {
					t.Errorf("the place that was left holds %q, and %d tokens were revoked, want one", got, n)
				}
			})
		})
	}
}

// A place may be slow to take a token. One that it is just given is not revoked
// before it is known what the place holds.
func TestARevocationWaitsForAWriteThatIsUnderWay(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		block := make(chan struct{})
		w.places.block = block
		w.set(trader("a@example.com", ""))
		time.Sleep(5 * time.Second)
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if n := w.revocations(); n != 0 {
			t.Errorf("%d tokens were revoked while one was being written", n)
		}
		close(block)
		time.Sleep(3 * time.Minute)
		if n := w.revocations(); n != 1 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d tokens were revoked, want the old one; the place holds %q", n, w.places.get("trader"))
		}
	})
}

// A crash lost the record of a newer token's delivery, and by the time that the
// sink is removed its credential has yet another one. What the place may hold is
// remembered, and cleaned: from the first look of a sink that is gone, and from
// a write that failed.
func TestWhatAPlaceMayHoldIsCleaned(t *testing.T) {
	for name, away := range map[string]bool{"the sink is gone at the next start": false, "the place is away for a while": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				refresh := func() {
					t.Helper()
					if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
						t.Fatal(err)
					}
				}
				w.set(trader("a@example.com", ""))
				time.Sleep(time.Minute)
				first := w.places.get("trader")
				refresh()
				w.until("the place has the next token", func() bool { return w.places.get("trader") != first })
				w.crash()
				if away {
					w.places.failWith(errors.New("it is away"))
					w.set(trader("a@example.com", ""))
					time.Sleep(time.Minute)
					refresh()
					time.Sleep(time.Minute)
				}
				w.set(withoutSink(trader("a@example.com", "")))
				time.Sleep(time.Second)
				refresh()
				time.Sleep(time.Minute)
				w.places.failWith(nil)
				time.Sleep(time.Minute)
				if got := w.places.get("trader"); got != "" {
					t.Errorf("the place still holds %q", got)
				}
			})
		})
	}
}

// A newer token was written while the disk was full, and before that could be
// recorded its sink is moved: what was written is cleaned all the same, once
// that is known to be recorded, and not without an end.
func TestWhatAFullDiskDidNotRecordIsCleaned(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofSinks)
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		full.Store(true)
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		full.Store(false)
		w.places.stick("trader")
		w.set(movedTo("elsewhere"))
		time.Sleep(time.Minute)
		full.Store(true)
		w.places.stick("")
		time.Sleep(time.Minute)
		full.Store(false)
		time.Sleep(time.Minute)
		if got := w.places.get("trader"); got != "" || !w.works(standin.Coinify, "elsewhere") {
			t.Errorf("the place that was left holds %q, the new one %q", got, w.places.get("elsewhere"))
		}
		if n := strings.Count(w.places.events(), "remove:"); n > 10 {
			t.Errorf("it was cleaned %d times", n)
		}
	})
}

// A write took effect although it failed, so its place holds the right value by
// the time it is looked at again: what is recorded of it is that write, and the
// place is cleaned with its block.
func TestAFailedWriteThatTookEffectIsAccountedFor(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		before := trader("a@example.com", "")
		w.set(before)
		time.Sleep(time.Minute)
		w.places.failWith(errors.New("the answer was lost"))
		after := strings.Replace(before, "content = credential.coinify.trader.access_token", `content = "${credential.coinify.trader.access_token}!"`, 1)
		w.set(after)
		time.Sleep(time.Second)
		w.places.forge("trader", w.places.get("trader")+"!")
		w.places.failWith(nil)
		time.Sleep(2 * time.Minute)
		w.places.breakWith(errors.New("what it would hold is not known any more"))
		w.set(withoutSink(after))
		time.Sleep(time.Minute)
		if got := w.places.get("trader"); got != "" {
			t.Errorf("its place still holds %q", got)
		}
	})
}
