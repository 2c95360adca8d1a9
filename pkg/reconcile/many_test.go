package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/state"
)

// manySinks is a trader with many sinks of a name, which tell two hooks.
func manySinks(name string, n int) string {
	return cutOut(trader("a@example.com", `
tokend {
  guard {
    settle              = "1s"
    max_revocations     = 100000
    max_revoked_percent = 100
  }
}
hook "mem" "also" {}
sink "mem" "`+name+`" {
  count   = `+fmt.Sprint(n)+`
  place   = "place-${count.index}"
  content = credential.coinify.trader.access_token
  notify  = [hook.mem.tell, hook.mem.also]
}
`), `sink "mem" "trader"`)
}

// Two hooks run for many sinks: that they have is recorded by few commits, and not
// by one of each sink.
func TestTheHooksOfManySinksAreAnsweredTogether(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const n = 300
		var commits, answers atomic.Int64
		w.halt()
		w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func(changes []state.Change) error {
			of := 0
			for _, c := range changes {
				if c.Sink != nil && len(c.Sink.Notify) == 1 {
					of++
				}
			}
			if of > 0 {
				commits.Add(1)
				answers.Add(int64(of))
			}
			return nil
		}})
		w.start()
		w.set(manySinks("many", n))
		time.Sleep(time.Minute)
		if a, c := answers.Load(), commits.Load(); a < n || c > n/10 {
			t.Errorf("%d answers in %d commits", a, c)
		}
		for i := range n {
			if rec, err := w.store.Sink(t.Context(), fmt.Sprintf("sink.mem.many[%d]", i)); err != nil || len(rec.Notify) > 0 {
				t.Fatalf("sink %d still has %v to tell (%v)", i, rec.Notify, err)
			}
		}
	})
}

// counting counts what is said so.
type counting struct {
	slog.Handler
	what string
	n    *atomic.Int64
}

func (c counting) Enabled(context.Context, slog.Level) bool { return true }
func (c counting) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c counting) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, c.what) {
		c.n.Add(1)
	}
	return nil
}

// All sinks get another name: their places are not called somebody else's, however
// many they are. What really is somebody else's is.
func TestARenameOfManySinksReplacesNobodysFiles(t *testing.T) {
	for _, n := range []int{20, 150} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			var said atomic.Int64
			w.halt()
			w.log = slog.New(counting{slog.DiscardHandler, "a sink replaces", &said})
			w.kind = askedSink{w.places}
			w.places.forge("place-3", "somebody else's")
			w.start()
			w.set(manySinks("many", n))
			time.Sleep(time.Minute)
			if got := said.Swap(0); got != 1 {
				t.Errorf("%d sinks: what stands at places was said %d times at first, want once", n, got)
			}
			w.places.forge("elsewhere", "somebody else's")
			w.set(manySinks("renamed", n) + `
sink "mem" "more" {
  place   = "elsewhere"
  content = "a"
}`)
			time.Sleep(time.Minute)
			if got := said.Load(); got != 1 {
				t.Errorf("%d sinks: %d were said to replace what somebody else wrote, want the one that does", n, got)
			}
		})
	}
}
