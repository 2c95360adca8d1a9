package state_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/state"
)

func TestMemoryFaults(t *testing.T) {
	fault := errors.New("no space left on device")
	var fail bool
	var seen int
	m := state.NewMemory(state.MemoryOptions{BeforeCommit: func(changes []state.Change) error {
		seen += len(changes)
		if fail {
			return fault
		}
		return nil
	}})
	c := state.Credential{Head: state.Head{Address: "credential.a.b"}}
	fail = true
	if err := m.Commit(t.Context(), state.Change{Credential: &c}, state.Change{MetaKey: "k", Meta: []byte("v")}); !errors.Is(err, fault) {
		t.Errorf("Commit = %v, want the hook's error", err)
	}
	if i := m.Info(); i.Records != 0 || i.Serial != 0 || c.Head.Version != 0 || seen != 2 {
		t.Errorf("after a commit that failed: %+v, version %d, %d changes seen", i, c.Head.Version, seen)
	}
	fail = false
	if err := m.Commit(t.Context(), state.Change{Credential: &c}); err != nil {
		t.Errorf("Commit = %v, want nil", err)
	}
	fail = true
	var outcome error
	m.Later(func(err error) { outcome = err }, state.Change{Credential: &c})
	if _, _, err := m.Credential(t.Context(), "credential.a.b"); err != nil || !errors.Is(outcome, fault) {
		t.Errorf("Credential = %v and Later's outcome %v, want nil and the hook's error", err, outcome)
	}
}

func TestMemoryCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := state.NewMemory(state.MemoryOptions{})
		c := state.Credential{Head: state.Head{Address: "credential.a.b"}, Note: "durable"}
		if err := m.Commit(t.Context(), state.Change{Credential: &c, Intent: &state.Intent{Op: "refresh"}}); err != nil {
			t.Fatal(err)
		}
		c.Note = "lost"
		told := false
		m.Later(func(error) { told = true }, state.Change{Credential: &c})
		next := m.Crash()
		time.Sleep(time.Hour)
		if told {
			t.Error("a Later that a crash took was told of an outcome")
		}
		if err := m.Commit(t.Context(), state.Change{MetaKey: "k"}); !errors.Is(err, state.ErrClosed) {
			t.Errorf("Commit by the crashed process = %v, want ErrClosed", err)
		}
		got, intent, err := next.Credential(t.Context(), "credential.a.b")
		if err != nil || got.Note != "durable" || intent == nil || got.Head.Version != 1 {
			t.Errorf("after the crash: note %q, version %d, intent %v, %v", got.Note, got.Head.Version, intent, err)
		}
		got.Note = "after"
		next.Later(nil, state.Change{Credential: &got})
		time.Sleep(time.Second)
		last := next.Crash()
		if got, _, err := last.Credential(t.Context(), "credential.a.b"); err != nil || got.Note != "after" {
			t.Errorf("a Later from more than a second before the crash: note %q, %v", got.Note, err)
		}
	})
}
