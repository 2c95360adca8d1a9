package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// The machine's clock is set back, while tokend runs or while it does not, by a
// little or by days: no place holds a dead token for longer than a moment, and
// nothing is refreshed over and over.
func TestTheClockIsSetBack(t *testing.T) {
	for name, c := range map[string]struct {
		by    time.Duration
		while bool          // tokend runs
		crash time.Duration // so soon after; 0: it does not
		told  bool          // the machine tells of it
	}{
		"minutes":                  {8 * time.Minute, true, 0, false},
		"minutes before a crash":   {8 * time.Minute, true, 35 * time.Second, false},
		"minutes, a crash at once": {8 * time.Minute, true, time.Second, true},
		"days":                     {50 * time.Hour, true, 0, false},
		"days, while it was down":  {50 * time.Hour, false, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.restartBySteppedClock()
				w.set(trader("a@example.com", ""))
				time.Sleep(10 * time.Minute) // of twenty that its token lives
				if c.while {
					w.wrong.Add(-int64(c.by))
					if c.told {
						w.clockSet <- struct{}{}
					}
					if c.crash > 0 {
						time.Sleep(c.crash)
						w.crash()
						w.set(trader("a@example.com", ""))
					}
				} else {
					w.halt()
					w.written = w.clock()()
					w.wrong.Add(-int64(c.by))
					w.start()
					w.set(trader("a@example.com", ""))
				}
				w.pass(3*time.Hour, time.Minute, func() {
					if !w.works(standin.Coinify, "trader") {
						t.Fatalf("%s the place holds a token that does not work", time.Now())
					}
				})
				if c := w.server.Counts(standin.Coinify); c.Refreshes > 3*6 || c.Grants != 1 || c.Reuses > 0 {
					t.Errorf("%d refreshes, %d grants, %d reuses", c.Refreshes, c.Grants, c.Reuses)
				}
			})
		})
	}
}

// A back-off from before the clock was set back by days does not last for days.
func TestABackOffEndsAfterTheClockWasSetBack(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.restartBySteppedClock()
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 500, Times: -1})
		w.set(trader("a@example.com", ""))
		time.Sleep(20 * time.Minute)
		w.server.ClearFaults()
		w.wrong.Add(-int64(50 * time.Hour))
		time.Sleep(16 * time.Minute) // after three refusals an account is left alone for fifteen
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("there is no token: %+v", w.line("credential.coinify.trader"))
		}
	})
}

// The same with a sink that could not be written, and with one whose clock was
// set while tokend was down.
func TestASinkIsTriedAgainAfterTheClockWasSetBack(t *testing.T) {
	for _, while := range []bool{true, false} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.restartBySteppedClock()
			w.places.failWith(errors.New("it cannot be written"))
			w.set(trader("a@example.com", ""))
			time.Sleep(10 * time.Minute)
			w.places.failWith(nil)
			if while {
				w.wrong.Add(-int64(50 * time.Hour))
			} else {
				w.halt()
				w.wrong.Add(-int64(50 * time.Hour))
				w.start()
				w.set(trader("a@example.com", ""))
			}
			time.Sleep(6 * time.Minute)
			if !w.works(standin.Coinify, "trader") {
				t.Errorf("the place was not written: %+v", w.line("sink.mem.trader"))
			}
		})
	}
}

// restartBySteppedClock has the loop go by a clock that can be wrong.
func (w *world) restartBySteppedClock() {
	w.halt()
	w.stepped = true
	w.start()
}
