package reconcile_test

import (
	"context"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// tickingStore is on a disk whose sync takes its time: whatever comes meanwhile
// shares the next.
type tickingStore struct {
	state.Store
	began time.Time
	every time.Duration
}

func (s tickingStore) Commit(ctx context.Context, changes ...state.Change) error {
	into := time.Since(s.began) % s.every
	<-time.After(2*s.every - into) // the rest of the sync that is under way, and one of its own
	return s.Store.Commit(ctx, changes...)
}

// A disk whose sync takes 300 ms holds up neither the requests that a limit lets
// through, nor the places that are written for the first time.
func TestASlowDiskHoldsUpNobody(t *testing.T) {
	// By the limit alone it takes 5 s.
	fillsOnASlowDisk(t, 1500, 9*time.Second, `
  rate_limit {
    requests    = 300
    per         = "1s"
    concurrency = 64
  }`, func(t *testing.T, w *world) {
		if v, err := w.loop.Status(t.Context(), reconcile.CountsOnly); err != nil || v.Store.CommitSeconds < 0.3 || v.Store.CommitSeconds > 0.6 {
			t.Errorf("a commit is said to take %g s of late (%v)", v.Store.CommitSeconds, err)
		}
	})
}

// A provider that answers at once is asked for as much as a few syncs of 300 ms have
// room for, though nobody has said how much that would bear.
func TestASlowDiskHoldsUpNoFastProvider(t *testing.T) {
	// With half as many in progress it takes 9 s.
	fillsOnASlowDisk(t, 3000, 7500*time.Millisecond, `
  rate_limit { concurrency = 64 }`, func(*testing.T, *world) {})
}

// fillsOnASlowDisk has n credentials of a provider obtained and written, which may take
// at most that long where a sync takes 300 ms, and then looks at how it stands.
func fillsOnASlowDisk(t *testing.T, n int, atMost time.Duration, provider string, then func(*testing.T, *world)) {
	t.Helper()
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.halt()
		w.wrap = func(s state.Store) state.Store { return tickingStore{s, time.Now(), 300 * time.Millisecond} }
		w.start()
		began := time.Now()
		w.set(many(n, provider))
		var took time.Duration
		w.pass(time.Minute, 100*time.Millisecond, func() {
			if took == 0 && w.filled() == n {
				took = time.Since(began)
			}
		})
		if took == 0 || took > atMost {
			t.Errorf("%d of %d places are written, the last after %s", w.filled(), n, took)
		}
		then(t, w)
		t.Logf("after %s", took)
	})
}

// filled counts the places that hold something.
func (w *world) filled() int {
	w.places.mu.Lock()
	defer w.places.mu.Unlock()
	return len(w.places.held)
}
