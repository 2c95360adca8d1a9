package reconcile

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/spec"
)

// TestAnotherLimitCountsWhatWasSent: the provider sees no more than either limit
// allows, however often the configuration changes it.
func TestAnotherLimitCountsWhatWasSent(t *testing.T) {
	for name, limits := range map[string][]spec.RateLimit{
		"tighter":           {{Requests: 20, Per: time.Minute}, {Requests: 5, Per: time.Minute}},
		"looser":            {{Requests: 5, Per: time.Minute}, {Requests: 20, Per: time.Minute}},
		"back and forth":    {{Requests: 5, Per: time.Minute}, {Requests: 5, Per: time.Minute, Concurrency: 3}, {Requests: 5, Per: time.Minute}},
		"in other portions": {{Requests: 20, Per: time.Minute}, {Requests: 2, Per: 6 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lane{}
				var mu sync.Mutex
				var sent []time.Time
				var all sync.WaitGroup
				var last spec.RateLimit
				for _, limit := range limits {
					l.setLimit(limit)
					last = limit
					for range 4 {
						p := l.pace
						all.Go(func() {
							end, ok := p.pass(time.Now, nil)
							if !ok {
								t.Error("turned away")
								return
							}
							mu.Lock()
							sent = append(sent, time.Now())
							mu.Unlock()
							end()
						})
					}
					time.Sleep(13 * time.Second)
				}
				changed := time.Now().Add(-13 * time.Second)
				all.Wait()
				mu.Lock()
				defer mu.Unlock()
				// Of every window that ends under the last limit.
				for _, at := range sent {
					if at.Before(changed) {
						continue
					}
					n := 0
					for _, x := range sent {
						if !x.After(at) && at.Sub(x) < last.Per {
							n++
						}
					}
					if n > last.Requests {
						t.Errorf("at %s the provider counts %d requests, %d are allowed", at, n, last.Requests)
					}
				}
			})
		})
	}
}
