package reconcile_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/providers/catalog"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// lateStore takes its time for the intent of a repeated call.
type lateStore struct {
	state.Store
	by time.Duration
}

func (s lateStore) Commit(ctx context.Context, changes ...state.Change) error {
	for _, c := range changes {
		if c.Intent != nil && c.Intent.Replay {
			<-time.After(s.by)
		}
	}
	return s.Store.Commit(ctx, changes...)
}

// replaying is Coinify as an API that answers a repeated refresh alike for a
// while.
func replaying(t *testing.T, window string) string {
	own, err := catalog.FS.ReadFile("coinify.hcl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(own), "  refresh {", "  refresh {\n    replay_window = \""+window+"\"", 1)
}

// A refresh is repeated while its window is open, and not because it was when
// that was decided: the disk, a rate limit or a suspend may take longer.
func TestAReplayIsNotMadeTooLate(t *testing.T) {
	for name, by := range map[string]time.Duration{"in time": 0, "too late to get there": 16 * time.Second, "too late": time.Minute} {
		t.Run(name, func(t *testing.T) {
			o := strict()
			o.Rules.ReplayWindow = 20 * time.Second
			inWorld(t, o, func(t *testing.T, w *world) {
				w.halt()
				w.stepped = true // it goes by the bubble's time since the boot, too
				w.wrap = func(s state.Store) state.Store { return lateStore{s, by} }
				w.start()
				w.set(trader("a@example.com", replaying(t, "20s")))
				<-time.After(time.Minute)
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
				<-time.After(24 * time.Hour)
				c := w.server.Counts(standin.Coinify)
				if grants := map[bool]int{true: 1, false: 2}[by == 0]; c.Reuses != 0 || c.Grants != grants || c.Faulted != 1 {
					t.Errorf("%d reuses, %d grants, want %d; %d replies were lost", c.Reuses, c.Grants, grants, c.Faulted)
				}
				if !w.works(standin.Coinify, "trader") {
					t.Error("the place holds a token that does not work")
				}
			})
		})
	}
}

// A repeated refresh that has no connection when its time has gone by is not sent
// any more, and what it repeats is as unknown as before; one that has it in time is.
func TestAReplayThatConnectsTooLateIsNotSent(t *testing.T) {
	for name, by := range map[string]time.Duration{"in time": 10 * time.Second, "too late": 17 * time.Second} {
		t.Run(name, func(t *testing.T) {
			o := strict()
			o.Rules.ReplayWindow = 20 * time.Second
			inWorld(t, o, func(t *testing.T, w *world) {
				w.halt()
				w.stepped = true
				var lost atomic.Pointer[standin.Armed] // the first connection after that takes so long
				dial := w.dial
				w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					var wait time.Duration
					if f := lost.Load(); f != nil && hit(f) && lost.CompareAndSwap(f, nil) {
						wait = by
					}
					select {
					case <-time.After(wait):
						return dial(ctx, network, address)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}
				w.start()
				w.set(trader("a@example.com", replaying(t, "20s")))
				<-time.After(time.Minute)
				lost.Store(w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"}))
				<-time.After(24 * time.Hour)
				c := w.server.Counts(standin.Coinify)
				replays, grants := 1, 1
				if name == "too late" {
					replays, grants = 0, 2
				}
				if c.Replays != replays || c.Grants != grants || c.Reuses != 0 {
					t.Errorf("%d repeated, want %d; %d grants, want %d; %d reuses", c.Replays, replays, c.Grants, grants, c.Reuses)
				}
				if !w.works(standin.Coinify, "trader") {
					t.Error("the place holds a token that does not work")
				}
			})
		})
	}
}

func hit(a *standin.Armed) bool {
	select {
	case <-a.Hit():
		return true
	default:
		return false
	}
}

// A repeated refresh whose connection was being made while the machine slept has it
// too late, though no timer has gone off meanwhile.
func TestAReplayThatConnectsOverASuspendIsNotSent(t *testing.T) {
	for name, asleep := range map[string]time.Duration{"no suspend": 0, "a short one": 10 * time.Second, "a long one": time.Hour} {
		t.Run(name, func(t *testing.T) {
			var slept atomic.Int64
			o := strict()
			o.Rules.ReplayWindow = 20 * time.Second
			o.Now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) } // the provider does not sleep
			inWorld(t, o, func(t *testing.T, w *world) {
				var lost atomic.Pointer[standin.Armed]
				var over atomic.Bool
				dial := w.dial
				w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					// The machine sleeps while the first connection after the loss is made.
					if a := lost.Load(); a != nil && hit(a) && !over.Swap(true) {
						for _, by := range []*atomic.Int64{&slept, &w.slept, &w.wrong} {
							by.Add(int64(asleep))
						}
					}
					return dial(ctx, network, address)
				}
				w.restartBySteppedClock()
				w.set(trader("a@example.com", replaying(t, "20s")))
				<-time.After(time.Minute)
				lost.Store(w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"}))
				<-lost.Load().Hit()
				<-time.After(time.Hour)
				c := w.server.Counts(standin.Coinify)
				replays, grants := 1, 1
				if asleep > o.Rules.ReplayWindow {
					replays, grants = 0, 2
				}
				if !over.Load() || c.Replays != replays || c.Grants != grants || c.Reuses != 0 {
					t.Errorf("%d repeated, want %d; %d grants, want %d; %d reuses; connected %v", c.Replays, replays, c.Grants, grants, c.Reuses, over.Load())
				}
				if !w.works(standin.Coinify, "trader") {
					t.Error("the place holds a token that does not work")
				}
			})
		})
	}
}

// Where a repeated refresh is refused, the first may have brought a token that
// nobody has seen: it is counted.
func TestARefusedReplayLeavesAnOrphan(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", replaying(t, "1h")))
		<-time.After(time.Minute)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Grant: "refresh_token"})
		<-time.After(24 * time.Hour)
		rec, _, _, err := w.loop.Record(t.Context(), "credential.coinify.trader")
		if err != nil || rec.Orphans.Total() != 1 {
			t.Errorf("%d orphans are counted, want 1 (%v)", rec.Orphans.Total(), err)
		}
		if c := w.server.Counts(standin.Coinify); c.Faulted != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d faults; the place holds %q", c.Faulted, w.places.get("trader"))
		}
	})
}

// A repeated refresh that a web page answers may have spent what the first one
// brought, so it is not repeated again; what the API itself asks to be tried again,
// or what never got there, is repeated while the window is open.
func TestWhatAnswersAReplay(t *testing.T) {
	for name, c := range map[string]struct {
		fault         standin.Fault
		times, grants int
	}{
		"a page of another's": {standin.Fault{Kind: standin.FaultHTML, Status: http.StatusForbidden}, 1, 2},
		"a page":              {standin.Fault{Kind: standin.FaultHTML}, 1, 2},
		"the API is busy":     {standin.Fault{Kind: standin.FaultStatus, Status: http.StatusServiceUnavailable}, 3, 1},
		"too many requests":   {standin.Fault{Kind: standin.FaultThrottle, RetryAfter: 10 * time.Second}, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := strict()
			o.Rules.ReplayWindow = 10 * time.Minute
			inWorld(t, o, func(t *testing.T, w *world) {
				w.halt()
				w.stepped = true
				w.start()
				w.set(trader("a@example.com", replaying(t, "10m")))
				<-time.After(time.Minute)
				w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
				c.fault.API, c.fault.Grant = standin.Coinify, "refresh_token"
				for range c.times {
					w.server.Fail(c.fault)
				}
				<-time.After(24 * time.Hour)
				n := w.server.Counts(standin.Coinify)
				if n.Faulted-1 != c.times || n.Grants != c.grants || n.Reuses != 0 {
					t.Errorf("%d faults, %d replays, %d grants, %d reuses", n.Faulted, n.Replays, n.Grants, n.Reuses)
				}
				if !w.works(standin.Coinify, "trader") {
					t.Error("the place holds a token that does not work")
				}
			})
		})
	}
}
