package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tokend/pkg/state"
)

// Who waits for a state is told who works on it, also by a lock that an earlier
// version wrote, or that nobody can read.
func TestWhoHoldsAState(t *testing.T) {
	dir := t.TempDir()
	held, err := state.Open(t.Context(), state.Options{Dir: dir, Holder: "tokend apply"})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	lock := filepath.Join(dir, state.LockName)
	kernelSays := 0 // Linux tells of a lock whose text does not
	if runtime.GOOS == "linux" {
		kernelSays = os.Getpid()
	}
	for _, c := range []struct {
		text string // "": as it was written
		want state.LockedError
	}{
		{"", state.LockedError{PID: os.Getpid(), Holder: "tokend apply"}},
		{"4711\n", state.LockedError{PID: 4711}},
		{"4711 tokend plan\n", state.LockedError{PID: 4711, Holder: "tokend plan"}},
		{"\n", state.LockedError{PID: kernelSays}},
		{"somebody else\n", state.LockedError{PID: kernelSays}},
	} {
		text, want := c.text, c.want
		if text != "" {
			if err := os.WriteFile(lock, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := state.Open(t.Context(), state.Options{Dir: dir, Holder: "tokend run"})
		var by *state.LockedError
		if !errors.As(err, &by) || !errors.Is(err, state.ErrLocked) {
			t.Fatalf("%q: %v", text, err)
		}
		if by.PID != want.PID || by.Holder != want.Holder {
			t.Errorf("%q: process %d (%s), want %d (%s)", text, by.PID, by.Holder, want.PID, want.Holder)
		}
		if want.Holder != "" && !strings.Contains(err.Error(), "("+want.Holder+")") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
