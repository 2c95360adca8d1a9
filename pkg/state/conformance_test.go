package state_test

import (
	"testing"

	"tokend/pkg/state"
	"tokend/pkg/state/storetest"
)

func open(t *testing.T, o state.Options) *state.Bolt {
	t.Helper()
	s, err := state.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

func TestBoltKeepsTheContract(t *testing.T) {
	dirs := make(map[state.Store]string)
	storetest.Run(t, storetest.Harness{
		Open: func(t *testing.T) state.Store {
			dir := t.TempDir()
			s := open(t, state.Options{Dir: dir})
			dirs[s] = dir
			return s
		},
		Reopen: func(t *testing.T, s state.Store) state.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close = %v", err)
			}
			return open(t, state.Options{Dir: dirs[s]})
		},
	})
}

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(*testing.T) state.Store { return state.NewMemory(state.MemoryOptions{}) }})
}
