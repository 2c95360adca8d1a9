//go:build linux

package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAFileThatIsGone takes the open file from its place, in each of the ways in
// which people do: no call is begun any more, what comes of the ones under way is in
// a copy of the open file, and all goes on where the file comes back.
func TestAFileThatIsGone(t *testing.T) {
	const under, next = "credential.a.under", "credential.a.next"
	for _, tc := range []struct {
		name  string
		take  func(t *testing.T, dir string)
		back  func(t *testing.T, dir string) // nil: it is gone for good
		words []string
	}{
		{"removed", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, FileName))) }, nil,
			[]string{"was removed", "tokend state backup FILE"}},
		{"with its directory", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, nil,
			[]string{"was removed", "tokend state rotate-key", "tokend state backup FILE"}},
		{"replaced", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("another"), 0o600))
			must(t, os.Rename(filepath.Join(dir, "other"), filepath.Join(dir, FileName)))
		}, nil, []string{"was replaced by another one", "restart tokend", "tokend state backup FILE"}},
		{"moved away for a while", func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".moved")) },
			func(t *testing.T, dir string) { must(t, os.Rename(dir+".moved", dir)) }, []string{"was removed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			s := mustOpen(t, dir)
			must(t, s.Commit(t.Context(), Change{IntentFor: under, Intent: &Intent{Op: "grant"}}))
			tc.take(t, dir)

			err := s.Commit(t.Context(), Change{IntentFor: next, Intent: &Intent{Op: "grant"}})
			if !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "nothing was spent") {
				t.Errorf("a call is begun with the file gone: %v", err)
			}
			if serr := s.Commit(t.Context(), Change{MetaKey: "a", Meta: []byte("b")}); !errors.Is(serr, ErrReadOnly) {
				t.Errorf("a value is written with the file gone: %v", serr)
			}
			for _, text := range []error{err, s.Info().Err} {
				for _, w := range tc.words {
					if text == nil || !strings.Contains(text.Error(), w) {
						t.Errorf("%q is not in: %v", w, text)
					}
				}
			}

			c, _, err := s.Credential(t.Context(), under)
			must(t, err)
			c.Note = "what came of the call"
			if err := s.Commit(t.Context(), Change{Credential: &c, ClearIntent: true}); err != nil {
				t.Fatalf("the outcome of a call under way is refused: %v", err)
			}
			if tc.back != nil {
				tc.back(t, dir)
				if err := s.Commit(t.Context(), Change{IntentFor: next, Intent: &Intent{Op: "grant"}}); err != nil {
					t.Errorf("a call is refused with the file back: %v", err)
				}
				if err := s.Info().Err; err != nil {
					t.Errorf("with the file back, Info says: %v", err)
				}
				return
			}
			must(t, os.MkdirAll(dir, 0o700))
			if _, err := os.Stat(filepath.Join(dir, GeneratedName)); err != nil {
				if err := s.RotateKey(t.Context(), RenewedKeyFile(filepath.Join(dir, GeneratedName))); err != nil {
					t.Fatalf("the key cannot be made anew: %v", err)
				}
			}
			var saved bytes.Buffer
			must(t, s.Backup(t.Context(), &saved))
			must(t, s.Close())
			must(t, os.WriteFile(filepath.Join(dir, FileName), saved.Bytes(), 0o600))
			s = mustOpen(t, dir)
			defer s.Close()
			if got := note(t, s, under); got != "what came of the call" {
				t.Errorf("the copy says %q", got)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestInfoWaitsForNoDisk: who feeds the watchdog asks for it, also while the file is
// read back from a disk that hangs.
func TestInfoWaitsForNoDisk(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "state"))
	s.mu.Lock() // as whoever reads the file back
	told := make(chan Info, 1)
	go func() { told <- s.Info() }()
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("Info waits for the file to be read back")
	}
	s.mu.Unlock()
}
