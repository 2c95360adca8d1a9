package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// Whatever a daemon that is started again and again does to a provider, this counts no
// more than its rate limit in any window; and all of it is done in the end.
func TestARateLimitOutlivesARestart(t *testing.T) {
	const limit = "rate_limit {\n    requests = 3\n    per      = \"1m\"\n  }"
	for name, c := range map[string]struct {
		crash  bool
		every  time.Duration // between two starts
		step   time.Duration // by which the clock is set while it is down
		reboot bool
	}{
		"crashes":                      {true, 4 * time.Second, 0, false},
		"crashes at once":              {true, 100 * time.Millisecond, 0, false},
		"stops":                        {false, 4 * time.Second, 0, false},
		"stops now and then":           {false, 45 * time.Second, 0, false},
		"crashes, the clock goes on":   {true, 7 * time.Second, 3 * time.Hour, false},
		"crashes, the clock goes back": {true, 7 * time.Second, -3 * time.Hour, false},
		"crashes of the machine":       {true, 20 * time.Second, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.restartBySteppedClock()
				config := many(6, limit) + loose
				w.set(config)
				for range 30 {
					time.Sleep(c.every)
					w.written = w.clock()()
					w.wrong.Add(int64(c.step))
					c.step = -c.step
					if c.reboot {
						w.booted = time.Now().Add(-5 * time.Second)
					}
					if c.crash {
						w.crash()
					} else {
						w.halt()
						w.start()
					}
					w.set(config)
				}
				w.keepsToLimit(3, time.Minute)
				time.Sleep(30 * time.Minute) // after three logins without an answer an account is left alone for fifteen
				if d := w.dead(6); d > 0 {
					t.Errorf("%d places hold no token that works", d)
				}
				// What is removed is revoked within the limit, too.
				w.halt()
				w.start()
				w.set(loose + other)
				for range 8 {
					time.Sleep(4 * time.Second)
					w.crash()
					w.set(loose + other)
				}
				time.Sleep(10 * time.Minute)
				if n := w.revocations(); n < 6 {
					t.Errorf("%d of 6 tokens were revoked", n)
				}
				w.keepsToLimit(3, time.Minute)
			})
		})
	}
}

// keepsToLimit says that the API has seen no more requests than so many within any such
// window.
func (w *world) keepsToLimit(requests int, per time.Duration) {
	w.t.Helper()
	var at []time.Time
	for _, q := range w.server.Ledger(standin.Coinify).Requests {
		at = append(at, q.At)
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := requests; i < len(at); i++ {
		if d := at[i].Sub(at[i-requests]); d < per {
			w.t.Errorf("%d requests within %s, the last at %s; %d are allowed", requests+1, d, at[i], requests)
		}
	}
	if len(at) == 0 {
		w.t.Error("nothing was asked")
	}
}

// The questions that verify asks count as well, though nothing is recorded of them.
func TestQuestionsCountOverARestart(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := strings.ReplaceAll(many(4, "rate_limit {\n    requests = 3\n    per      = \"1m\"\n  }"), "\n}\nsink", "\n  verify {\n    every = \"1s\"\n    path  = \"/users/me\"\n  }\n}\nsink") + loose
		w.set(config)
		time.Sleep(5 * time.Minute)
		for range 30 {
			w.crash()
			w.set(config)
			time.Sleep(4 * time.Second)
		}
		w.keepsToLimit(3, time.Minute)
	})
}
