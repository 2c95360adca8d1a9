package reconcile_test

import (
	"context"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// A provider that takes a second for each reply is never asked more than
// `concurrency` at a time, and never less while there is something to ask; status
// says what is under way and what waits.
func TestAConcurrencyLimitIsKept(t *testing.T) {
	const most = 3
	inWorld(t, standin.Options{Rules: standin.Rules{Latency: time.Second}}, func(t *testing.T, w *world) {
		w.set(`secret "mem" "pw" { value = "a-password" }` + crowd(1, "rate_limit { concurrency = 3 }"))
		time.Sleep(500 * time.Millisecond)
		for second := 1; second <= 60; second++ {
			time.Sleep(time.Second)
			if n := w.server.Counts(standin.Apirone).Requests; n > most*second || n < most*(second-1) {
				t.Fatalf("%d replies after %d seconds", n, second)
			}
		}
		v, err := w.loop.Status(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		if l := laneOf(v, "provider.apirone.default"); l.Concurrency != most || l.InFlight != most || l.Waiting < 700 {
			t.Errorf("status: %+v", l)
		}
	})
}
