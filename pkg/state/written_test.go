package state_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tokend/pkg/state"
)

// When a state was written last goes with a copy of it, whose file is as old as the
// copy; and a new state was never written.
func TestWhenAStateWasWrittenGoesWithACopy(t *testing.T) {
	key := state.GeneratedKeyFile(filepath.Join(t.TempDir(), "key"))
	from, to := t.TempDir(), t.TempDir()
	s := open(t, state.Options{Dir: from, Key: key})
	if at := s.Info().Written; !at.IsZero() {
		t.Errorf("a new state was written at %s", at)
	}
	began := time.Now()
	if err := s.Commit(t.Context(), state.Change{MetaKey: "k", Meta: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	b, err := os.ReadFile(filepath.Join(from, state.FileName))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(to, state.FileName)
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(copied, began.Add(-time.Hour), began.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	c := open(t, state.Options{Dir: to, Key: key})
	if at := c.Info().Written; at.Before(began) || at.After(ended) {
		t.Errorf("it was written at %s, and that was from %s to %s", at, began, ended)
	}
	if err := c.Commit(t.Context(), state.Change{MetaKey: "k", Meta: []byte("w")}); err != nil {
		t.Fatal(err)
	}
	if at := c.Info().Written; at.After(ended) {
		t.Errorf("what this process wrote counts: %s", at)
	}
}
