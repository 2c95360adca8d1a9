package state

import (
	"errors"
	"os"
	"testing"
	"time"
)

// A commit whose header is in the file, and whose last sync failed, was reported
// as failed: nobody reads it as made, neither before the file is opened anew nor
// where its header cannot be taken back.
func TestACommitThatFailedIsNotRead(t *testing.T) {
	for name, broken := range map[string]bool{"the header can be taken back": false, "it cannot": true} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, t.TempDir())
			defer s.Close()
			c := Credential{Head: Head{Address: "credential.a.b"}, Note: "acknowledged"}
			if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
				t.Fatal(err)
			}
			acked, serial, tally := s.ackedTx, s.info.serial.Load(), s.tally
			intent := Intent{Op: "refresh"}
			if err := s.Commit(t.Context(), Change{IntentFor: "credential.a.b", Intent: &intent}); err != nil {
				t.Fatal(err)
			}
			// As if the sync after the header had failed.
			s.ackedTx, s.tally = acked, tally
			s.info.serial.Store(serial)
			mend := func() {}
			if broken {
				good := s.file
				var err error
				if s.file, err = os.Open(s.path); err != nil {
					t.Fatal(err)
				}
				mend = func() { _ = s.file.Close(); s.file = good }
			}
			_ = s.fail(errors.New("sync: input/output error"))
			mend()
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
		})
	}
}
