package reconcile

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tokend/pkg/spec"
)

// TestPaceIsKeptHoweverRequestsBunch: whenever they are let go, no window of the
// limit's length has more requests than the limit.
func TestPaceIsKeptHoweverRequestsBunch(t *testing.T) {
	for _, limit := range []spec.RateLimit{{Requests: 500, Per: time.Second}, {Requests: 1, Per: time.Minute}, {Requests: 20_000, Per: time.Second}} {
		t.Run(fmt.Sprintf("%d in %s", limit.Requests, limit.Per), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(limit.Requests)))
			p, now := newPace(limit), time.Unix(1_000_000_000, 0)
			var sent []time.Time
			for len(sent) < 3*limit.Requests+40 {
				for range 1 + random.IntN(40) { // a commit lets go of many
					sent = append(sent, now.Add(p.reserve(now)))
				}
				now = now.Add(time.Duration(random.Int64N(int64(limit.Per) / int64(limit.Requests) * 30)))
			}
			for i := range sent {
				j := i + limit.Requests
				if j < len(sent) && sent[j].Sub(sent[i]) < limit.Per {
					t.Fatalf("requests %d and %d are %s apart: more than %d in %s", i, j, sent[j].Sub(sent[i]), limit.Requests, limit.Per)
				}
				if i > 0 && sent[i].Before(sent[i-1]) {
					t.Fatalf("request %d is sent before the one before it", i)
				}
			}
		})
	}
}

func TestPaceDelaysNobodyBelowTheLimit(t *testing.T) {
	p, now := newPace(spec.RateLimit{Requests: 5, Per: time.Second}), time.Unix(1_000_000_000, 0)
	for i := range 50 {
		if d := p.reserve(now); d > 0 {
			t.Fatalf("request %d waits %s", i, d)
		}
		now = now.Add(stretched(time.Second) / 5)
	}
}
