package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAFileThatIsWrittenOver puts something else into the open file, as cp does: no
// call is begun, nothing of it is read, and it is left as it was put there.
func TestAFileThatIsWrittenOver(t *testing.T) {
	const address = "credential.a.b"
	for name, other := range map[string]func(t *testing.T, older []byte) []byte{
		"by an older copy of itself": func(_ *testing.T, older []byte) []byte { return older },
		"by another state": func(t *testing.T, _ []byte) []byte {
			dir := filepath.Join(t.TempDir(), "other")
			s := mustOpen(t, dir)
			must(t, s.Commit(t.Context(), Change{MetaKey: "a", Meta: []byte("b")}))
			must(t, s.Close())
			b, err := os.ReadFile(filepath.Join(dir, FileName))
			must(t, err)
			return b
		},
		"by something else": func(_ *testing.T, older []byte) []byte { return bytes.Repeat([]byte("x"), len(older)) },
		"by nothing":        func(*testing.T, []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			path := filepath.Join(dir, FileName)
			s := mustOpen(t, dir)
			var older bytes.Buffer
			must(t, s.Backup(t.Context(), &older))
			must(t, s.Commit(t.Context(), Change{Credential: &Credential{Head: Head{Address: address}, Note: "newer"}}))
			for range 3 {
				must(t, s.Commit(t.Context(), Change{IntentFor: address, Intent: &Intent{Op: "grant"}}))
			}
			if err := s.Info().Err; err != nil {
				t.Fatalf("nothing was done to it: %v", err)
			}
			put := other(t, older.Bytes())
			must(t, os.WriteFile(path, put, 0o600))

			if err := s.Info().Err; !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "was written over") {
				t.Errorf("Info says: %v", err)
			}
			for range 2 {
				err := s.Commit(t.Context(), Change{IntentFor: address, Intent: &Intent{Op: "grant"}})
				if !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "was written over while it was open") || !strings.Contains(err.Error(), "restart tokend") {
					t.Errorf("a call is begun: %v", err)
				}
			}
			if c, _, err := s.Credential(t.Context(), address); err == nil {
				t.Errorf("it is read: %q", c.Note)
			}
			if err := s.Info().Err; !errors.Is(err, ErrReadOnly) {
				t.Errorf("Info says: %v", err)
			}
			must(t, s.Close())
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, put) {
				t.Errorf("what was put there is changed: %v", err)
			}
		})
	}
}

// Nor is what was put there changed by the end of a process that has written nothing
// since.
func TestAFileThatIsWrittenOverBeforeTheEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, FileName)
	s := mustOpen(t, dir)
	var older bytes.Buffer
	must(t, s.Backup(t.Context(), &older))
	must(t, s.Commit(t.Context(), Change{MetaKey: "a", Meta: []byte("b")}))
	must(t, os.WriteFile(path, older.Bytes(), 0o600))
	must(t, s.Close())
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, older.Bytes()) {
		t.Errorf("it is changed: %v", err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if _, err := s.Meta(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the copy holds what came after it: %v", err)
	}
}

// A copy that comes while a commit is written has the header of that commit, and another
// beside it than the one that was left before.
func TestAFileThatIsWrittenOverDuringACommit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := mustOpen(t, dir)
	defer func() { _ = s.Close() }()
	for range 3 {
		must(t, s.Commit(t.Context(), Change{MetaKey: "a", Meta: []byte("b")}))
	}
	metas, _, err := readMetas(s.file)
	must(t, err)
	s.committing.Lock()
	s.left = metas[1]
	s.leaves() // as after the last commit
	s.committing.Unlock()
	must(t, s.Info().Err)
	other := metas[1]
	other.txid -= 2
	s.committing.Lock()
	s.left = other
	s.leaves()
	s.committing.Unlock()
	if err := s.Info().Err; !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "was written over") {
		t.Errorf("Info says: %v", err)
	}
}

// TestACopyIsWorkedOn puts a copy in the place of a state that nobody has open, as cp
// does: what is written to it is the work of who opens it, whichever of the two headers
// that goes over.
func TestACopyIsWorkedOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := mustOpen(t, dir)
	for i := range 4 {
		must(t, s.Commit(t.Context(), Change{MetaKey: "a", Meta: []byte{byte(i)}}))
		var copied bytes.Buffer
		must(t, s.Backup(t.Context(), &copied))
		must(t, s.Close())
		must(t, os.WriteFile(filepath.Join(dir, FileName), copied.Bytes(), 0o600))
		s = mustOpen(t, dir)
		for j := range 3 {
			if err := s.Commit(t.Context(), Change{MetaKey: "b", Meta: []byte{byte(j)}}); err != nil {
				t.Fatalf("copy %d, commit %d: %v", i, j, err)
			}
			if err := s.Info().Err; err != nil {
				t.Fatalf("copy %d, after commit %d: %v", i, j, err)
			}
		}
		if i%2 == 1 { // the next one's number is of the other kind
			must(t, s.Commit(t.Context(), Change{MetaKey: "b", Meta: nil}))
		}
	}
	must(t, s.Close())
}
