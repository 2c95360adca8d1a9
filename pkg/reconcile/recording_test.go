package reconcile_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// repliesStore takes its time for what calls brought and none for anything else, and
// knows how many intents were open for calls that nobody had answered.
type repliesStore struct {
	state.Store
	slow     time.Duration
	answered func() int

	mu           sync.Mutex
	opened, most int
}

func (s *repliesStore) Commit(ctx context.Context, changes ...state.Change) error {
	for _, c := range changes {
		if c.Intent != nil {
			s.mu.Lock()
			s.opened++
			s.most = max(s.most, s.opened-s.answered())
			s.mu.Unlock()
		}
		if c.ClearIntent {
			<-time.After(s.slow)
		}
	}
	return s.Store.Commit(ctx, changes...)
}

func (s *repliesStore) mostOpen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// What has been called for and is only to be recorded takes no room from those that
// have still to call; and no more intents wait to be sent for that.
func TestWhatIsToBeRecordedHoldsUpNoCall(t *testing.T) {
	const n, calls = 100, 4
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.halt()
		store := &repliesStore{slow: 10 * time.Second, answered: func() int { return int(w.server.Counts(standin.Coinify).Grants) }}
		w.wrap = func(s state.Store) state.Store {
			store.Store = s
			return store
		}
		w.start()
		w.set(many(n, `
  rate_limit { concurrency = 4 }`))
		time.Sleep(5 * time.Second)
		if c := w.server.Counts(standin.Coinify); c.Grants != 16*calls {
			t.Errorf("%d calls were made before the first was recorded, want %d", c.Grants, 16*calls)
		}
		if most := store.mostOpen(); most > 2*calls {
			t.Errorf("%d intents were open that nobody had answered, want no more than %d", most, 2*calls)
		}
		time.Sleep(5 * time.Minute)
		if got := w.filled(); got != n {
			t.Errorf("%d of %d places are written", got, n)
		}
	})
}
