package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"tokend/pkg/state"
)

// allSinks: a scan gives each sink's record whole, as reading it by itself does,
// what Later was given included, and no credential's.
func allSinks(t *testing.T, s state.Store) {
	const n = 700 // more than are handed over at a time
	want := make(map[string]state.Sink)
	for i := range n {
		k := sink(fmt.Sprintf("sink.file.a[%d]", i))
		k.Written = fmt.Appendf(nil, "place %d", i)
		if i%2 == 0 {
			s.Later(nil, state.Change{Sink: &k})
		} else {
			commit(t, s, state.Change{Sink: &k})
		}
		want[k.Head.Address] = k
	}
	c := credential("credential.a.b", 1)
	commit(t, s, state.Change{Credential: &c})
	var mu sync.Mutex
	got := make(map[string]state.Sink)
	err := s.Sinks(t.Context(), func(k state.Sink) error {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := got[k.Head.Address]; twice {
			t.Errorf("%s came twice", k.Head.Address)
		}
		got[k.Head.Address] = k
		return nil
	})
	if err != nil {
		t.Fatalf("Sinks = %v", err)
	}
	diff(t, "the sinks", want, got)
}

func sinksStop(t *testing.T, s state.Store) {
	const n = 2000
	for i := range n {
		k := sink(fmt.Sprintf("sink.file.a[%d]", i))
		s.Later(nil, state.Change{Sink: &k})
	}
	stop := errors.New("enough")
	var calls atomic.Int64
	err := s.Sinks(t.Context(), func(state.Sink) error {
		calls.Add(1)
		return stop
	})
	wantError(t, "Sinks", err, stop)
	if calls.Load() >= n {
		t.Errorf("the function was called %d times after it said to stop", calls.Load())
	}
}
