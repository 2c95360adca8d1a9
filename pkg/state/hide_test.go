package state

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A commit whose header is in the file, and whose last sync failed, was reported
// as failed: nobody reads it as made, neither before the file is opened anew nor
// where its header cannot be taken back.
func TestACommitThatFailedIsNotRead(t *testing.T) {
	for name, broken := range map[string]bool{"the header can be taken back": false, "it cannot": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { notReadAsMade(t, dir, broken) })
		})
	}
}

func notReadAsMade(t *testing.T, dir string, broken bool) {
	s := mustOpen(t, dir)
	defer s.Close()
	failAfterHeader(t, s, broken)
	read, open, err := s.Credential(t.Context(), "credential.a.b")
	switch {
	case broken && !errors.Is(err, ErrReadOnly):
		t.Errorf("Credential = %+v, %v; want ErrReadOnly", open, err)
	case !broken && (err != nil || open != nil || read.Note != "acknowledged"):
		t.Errorf("Credential = %q with the intent %+v, %v; want what was acknowledged", read.Note, open, err)
	}
	s.triedAt = time.Now().Add(-time.Minute) // it is tried again once a second
	if err := s.Commit(t.Context(), Change{MetaKey: "k", Meta: []byte("v")}); err != nil {
		t.Fatalf("Commit once the disk is back = %v", err)
	}
	if _, open, err := s.Credential(t.Context(), "credential.a.b"); err != nil || open != nil {
		t.Errorf("once the disk is back: the intent %+v, %v", open, err)
	}
}

// failAfterHeader opens an intent whose commit fails in the sync after its
// header. Where the disk is broken, the header cannot be taken back then; it is
// whole again when failAfterHeader returns.
func failAfterHeader(t *testing.T, s *Bolt, broken bool) {
	t.Helper()
	c := Credential{Head: Head{Address: "credential.a.b"}, Note: "acknowledged"}
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // the writer rests: what is its own may be looked at
	acked, serial, tally := s.ackedTx, s.info.serial.Load(), s.tally
	intent := Intent{Op: "refresh"}
	if err := s.Commit(t.Context(), Change{IntentFor: "credential.a.b", Intent: &intent}); err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * idleAfter) // no timer wakes the writer from now on
	synctest.Wait()
	s.ackedTx, s.tally = acked, tally
	s.info.serial.Store(serial)
	good := s.file
	if broken {
		var err error
		if s.file, err = os.Open(s.path); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.fail(errors.New("sync: input/output error"))
	if broken {
		_ = s.file.Close()
		s.file = good
	}
}

// A file that cannot be read is opened again though nobody writes: who would
// write reads first.
func TestAFileThatIsNotReadIsOpenedAgainByItself(t *testing.T) {
	t.Run("a header that could not be taken back", func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := mustOpen(t, dir)
			defer s.Close()
			failAfterHeader(t, s, true)
			s.writer.signal() // as after any batch: the writer looks what is to be done
			if _, _, err := s.Credential(t.Context(), "credential.a.b"); !errors.Is(err, ErrReadOnly) {
				t.Fatalf("Credential = %v, want ErrReadOnly", err)
			}
			<-time.After(2 * retryOpen) // no time at all in the bubble
			synctest.Wait()
			readAgain(t, s)
		})
	})
	t.Run("a file that could not be opened anew", func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := mustOpen(t, dir)
			defer s.Close()
			failAfterHeader(t, s, true)
			away := s.path + ".away"
			if err := os.Rename(s.path, away); err != nil {
				t.Fatal(err)
			}
			<-time.After(retryOpen)
			if err := s.Commit(t.Context(), Change{MetaKey: "k", Meta: []byte("v")}); !errors.Is(err, ErrReadOnly) {
				t.Fatalf("Commit without the file = %v, want ErrReadOnly", err)
			}
			<-time.After(time.Hour)
			if _, _, err := s.Credential(t.Context(), "credential.a.b"); !errors.Is(err, ErrReadOnly) {
				t.Fatalf("Credential without the file = %v, want ErrReadOnly", err)
			}
			if err := os.Rename(away, s.path); err != nil {
				t.Fatal(err)
			}
			<-time.After(seldomOpen + retryOpen)
			synctest.Wait()
			readAgain(t, s)
		})
	})
}

// A file that can be read stays so while it cannot be opened for writing, however
// often that is tried.
func TestAFileThatCannotBeOpenedForWritingIsReadOn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir)
		defer s.Close()
		failAfterHeader(t, s, false)
		away := s.path + ".away"
		if err := os.Rename(s.path, away); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			<-time.After(2 * retryOpen)
			if err := s.Commit(t.Context(), Change{MetaKey: "k", Meta: []byte("v")}); !errors.Is(err, ErrReadOnly) {
				t.Fatalf("Commit without the file = %v, want ErrReadOnly", err)
			}
			if c, open, err := s.Credential(t.Context(), "credential.a.b"); err != nil || open != nil || c.Note != "acknowledged" {
				t.Fatalf("Credential without the file = %q with the intent %+v, %v; want what was acknowledged", c.Note, open, err)
			}
			if s.Info().Err == nil {
				t.Fatal("nobody hears that the state cannot be written")
			}
		}
		if err := os.Rename(away, s.path); err != nil {
			t.Fatal(err)
		}
		<-time.After(seldomOpen + retryOpen)
		synctest.Wait()
		readAgain(t, s)
	})
}

// readAgain checks that a file is read, and that nobody hears of a trouble with it.
func readAgain(t *testing.T, s *Bolt) {
	t.Helper()
	c, open, err := s.Credential(t.Context(), "credential.a.b")
	if err != nil || open != nil || c.Note != "acknowledged" {
		t.Errorf("once the disk is back: %q with the intent %+v, %v; want what was acknowledged", c.Note, open, err)
	}
	if err := s.Info().Err; err != nil {
		t.Errorf("once the disk is back: Info().Err = %v", err)
	}
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Errorf("once the disk is back: Commit = %v", err)
	}
}
