package reconcile

import (
	"encoding/json"
	"testing"
	"time"

	"tokend/pkg/spec"
)

// Requests that come evenly are told apart by the grain, however many there are: under a
// limit that is used up a start waits hardly longer than it would have waited without.
func TestABusyLimitIsReadBackByItsGrain(t *testing.T) {
	limit := spec.RateLimit{Requests: 100, Per: time.Hour}
	p := newPace(limit)
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 300 {
		n, wait := p.try(at)
		for wait > 0 {
			at = at.Add(wait)
			n, wait = p.try(at)
		}
		p.end(n, at)
	}
	var rec sentBefore
	if err := json.Unmarshal(p.sent(at, "a boot", time.Hour), &rec); err != nil {
		t.Fatal(err)
	}
	_, without := p.try(at)
	again := newPace(limit)
	again.recall(rec, at, "a boot", time.Hour)
	if _, wait := again.try(at); wait < without || wait > without+again.per/sentGrains {
		t.Errorf("after a start the next one waits for %s, without one for %s", wait, without)
	}
}
