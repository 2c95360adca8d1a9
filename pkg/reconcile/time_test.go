package reconcile_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// The machine's clock is set forward, while tokend runs or while it does not, by
// a little or by days: tokens look older than they are, so they are refreshed too
// early, once; no place holds a dead one, and nobody logs in for it.
func TestTheClockIsSetForward(t *testing.T) {
	for name, c := range map[string]struct {
		by    time.Duration
		while bool // tokend runs
	}{
		"minutes":                    {8 * time.Minute, true},
		"half a day":                 {12 * time.Hour, true},
		"days":                       {50 * time.Hour, true},
		"minutes, while it was down": {8 * time.Minute, false},
		"hours, while it was down":   {12 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.restartBySteppedClock()
				w.set(trader("a@example.com", ""))
				time.Sleep(10 * time.Minute) // of twenty that its token lives
				if c.while {
					w.wrong.Add(int64(c.by))
				} else {
					w.halt()
					w.written = w.clock()()
					w.wrong.Add(int64(c.by))
					w.start()
					w.set(trader("a@example.com", ""))
				}
				time.Sleep(35 * time.Second)
				if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready || !l.ExpiresAt.After(w.clock()()) {
					t.Errorf("35 s later: %+v", l)
				}
				w.pass(3*time.Hour, time.Minute, func() {
					if !w.works(standin.Coinify, "trader") {
						t.Fatalf("%s the place holds a token that does not work", time.Now())
					}
				})
				// The refresh tokens of this API live for a day.
				grants := 1
				if c.by > 24*time.Hour {
					grants = 2
				}
				if c := w.server.Counts(standin.Coinify); c.Refreshes > 3*6 || c.Grants > grants || c.Reuses > 0 {
					t.Errorf("%d refreshes, %d grants, %d reuses", c.Refreshes, c.Grants, c.Reuses)
				}
			})
		})
	}
}

// The machine sleeps while tokens end: the wall's clock goes on, timers stand
// still. Within 35 s of its waking the places hold tokens that work.
func TestTheMachineSleeps(t *testing.T) {
	for _, asleep := range []time.Duration{15 * time.Minute, 8 * time.Hour, 60 * time.Hour} {
		t.Run(asleep.String(), func(t *testing.T) {
			var slept atomic.Int64
			o := strict()
			o.Now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) } // the provider does not sleep
			inWorld(t, o, func(t *testing.T, w *world) {
				w.restartBySteppedClock()
				w.set(trader("a@example.com", ""))
				time.Sleep(8 * time.Minute)
				for range 3 {
					slept.Add(int64(asleep))
					w.slept.Add(int64(asleep))
					w.wrong.Add(int64(asleep))
					time.Sleep(35 * time.Second)
					w.pass(20*time.Minute, 10*time.Second, func() {
						if !w.works(standin.Coinify, "trader") {
							t.Fatalf("the place holds a dead token: %+v", w.line("sink.mem.trader"))
						}
					})
				}
				if c := w.server.Counts(standin.Coinify); c.Reuses > 0 || c.Refreshes+c.Grants > 3*4 {
					t.Errorf("%d refreshes, %d grants, %d reuses", c.Refreshes, c.Grants, c.Reuses)
				}
			})
		})
	}
}

// Tokens that live for seconds or minutes: the place never holds a dead one, and
// the provider is asked no more often than a quarter of a lifetime allows.
func TestShortLifetimes(t *testing.T) {
	for life, step := range map[time.Duration]time.Duration{4 * time.Second: 500 * time.Millisecond, 2 * time.Minute: 5 * time.Second} {
		t.Run(life.String(), func(t *testing.T) {
			o := strict()
			o.Rules.AccessLifetime = life
			inWorld(t, o, func(t *testing.T, w *world) {
				w.set(trader("a@example.com", ""))
				time.Sleep(time.Second)
				const lives = 50
				w.pass(lives*life, step, func() {
					if !w.works(standin.Coinify, "trader") {
						t.Fatalf("at %s the place holds a token that does not work: %+v", time.Now(), w.line("credential.coinify.trader"))
					}
				})
				// min_remaining, a minute, is more than is ever left, so a refresh comes
				// after every quarter; and the test itself takes a little longer.
				if n := w.server.Counts(standin.Coinify); n.Refreshes < lives || n.Refreshes > 4*lives+4*2 || n.Grants != 1 || n.Reuses > 0 {
					t.Errorf("%d refreshes in %d lifetimes; %d grants, %d reuses", n.Refreshes, lives, n.Grants, n.Reuses)
				}
			})
		})
	}
}

// Tokens that live for years, or for ever: they are left alone until they are
// due, and those without an end always.
func TestLongLifetimes(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		life   time.Duration
		tokens int // that were obtained within seven years
	}{
		"three years": {3 * 365 * day, 4},
		"for ever":    {-1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var gone atomic.Int64
			o := strict()
			o.Rules.AccessLifetime = c.life
			o.Now = func() time.Time { return time.Now().Add(time.Duration(gone.Load())) }
			if c.life < 0 {
				o.Rules.ExpiresIn = standin.ExpiryMissing
			}
			inWorld(t, o, func(t *testing.T, w *world) {
				w.restartBySteppedClock()
				w.set(trader("a@example.com", ""))
				time.Sleep(time.Second)
				var changed []time.Duration // after how long the token was another one
				last := w.places.get("trader")
				for range 7 * 12 {
					for _, by := range []*atomic.Int64{&gone, &w.slept, &w.wrong} {
						by.Add(int64(365 * day / 12))
					}
					time.Sleep(2 * time.Minute)
					if !w.works(standin.Coinify, "trader") {
						t.Fatalf("after %s the place holds a token that does not work: %+v", time.Duration(gone.Load()), w.line("credential.coinify.trader"))
					}
					if now := w.places.get("trader"); now != last {
						changed, last = append(changed, time.Duration(gone.Load())), now
					}
				}
				if n := w.server.Counts(standin.Coinify); n.Refreshes+n.Grants != c.tokens || n.Reuses > 0 {
					t.Errorf("%d refreshes and %d grants, want %d in all; the place changed after %s", n.Refreshes, n.Grants, c.tokens, changed)
				}
				if len(changed) > 0 && (changed[0] < c.life/4 || changed[0] > c.life) {
					t.Errorf("a token of %s was replaced after %s", c.life, changed[0])
				}
			})
		})
	}
}

// A token that comes with an end in the past, or with no lifetime left, is kept
// and said, and taken for none; the one held stays in its place while it lives,
// and before its end a new one is obtained by the grant.
func TestAnEndInThePast(t *testing.T) {
	for _, kind := range []standin.FaultKind{standin.FaultPastExpiry, standin.FaultExpiryZero} {
		t.Run(string(kind), func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", ""))
				time.Sleep(time.Second)
				armed := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: kind, Grant: "refresh_token", Times: 1})
				w.pass(2*time.Hour, 30*time.Second, func() {
					l := w.line("credential.coinify.trader")
					if c := w.server.Counts(standin.Coinify); armed.Hits() == 1 && c.Grants == 1 && (l.State != reconcile.Unread || !strings.Contains(l.Why, "expire")) {
						t.Fatalf("it is not said: %+v", l)
					}
					if !w.works(standin.Coinify, "trader") {
						t.Fatalf("at %s the place holds a token that does not work: %+v", time.Now(), l)
					}
				})
				if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Reuses != 0 {
					t.Errorf("%d grants, %d reuses", c.Grants, c.Reuses)
				}
			})
		})
	}
}

// An API whose clock is off, and which says ends as instants: they are read by
// its own clock, as its Date header tells it.
func TestAProviderWhoseClockIsOff(t *testing.T) {
	for _, off := range []time.Duration{-3 * time.Hour, 3 * time.Hour, -30 * time.Hour, 30 * time.Hour, 72 * time.Hour} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			o := standin.Options{Now: func() time.Time { return time.Now().Add(off) }}
			inWorld(t, o, func(t *testing.T, w *world) {
				w.set(`secret "mem" "pw" { value = "a-password" }` + strings.Replace(crowd(1, ""), "range(1000)", "range(3)", 1))
				time.Sleep(5 * time.Second)
				w.pass(5*time.Hour, 20*time.Second, func() {
					for i := range 3 {
						if !w.works(standin.Apirone, fmt.Sprintf("apr-%d", i)) {
							t.Fatalf("at %s place %d holds a token that does not work", time.Now(), i)
						}
					}
				})
				// Its tokens live for ten minutes.
				if c := w.server.Counts(standin.Apirone); c.Grants+c.Refreshes > 3*5*6*4 {
					t.Errorf("%d grants and %d refreshes in five hours", c.Grants, c.Refreshes)
				}
			})
		})
	}
}

// A refresh whose reply was lost is repeated inside the API's window, but later
// than the token lives that it brought. The reply says that nothing of it is
// left; its refresh token is good all the same, and is used at once. Nobody has
// to log in or to retry.
func TestARepeatedRefreshBringsATokenThatHasEnded(t *testing.T) {
	window := ownCoinify{refreshes: "rotates = true\nreplay_window = \"3h\""}.String()
	o := strict()
	o.Rules.ReplayWindow = 3 * time.Hour
	inWorld(t, o, func(t *testing.T, w *world) {
		config := trader("a@example.com", window)
		w.set(config)
		time.Sleep(time.Second)
		lost := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultDelay, Delay: time.Minute, Grant: "refresh_token", Times: 1})
		<-lost.Hit()
		w.store = w.store.Crash()
		w.halt()
		time.Sleep(time.Hour) // its tokens live for twenty minutes
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultExpiryZero, Grant: "refresh_token", Times: 1})
		w.start()
		w.set(config)
		time.Sleep(5 * time.Second)
		w.pass(2*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("the place holds a token that does not work: %+v", w.line("credential.coinify.trader"))
			}
		})
		if c := w.server.Counts(standin.Coinify); c.Replays != 1 || c.Grants != 1 || c.Reuses != 0 {
			t.Errorf("%d repeated, %d grants, %d reuses", c.Replays, c.Grants, c.Reuses)
		}
	})
}
