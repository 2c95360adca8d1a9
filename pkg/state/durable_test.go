package state

import (
	"fmt"
	"io"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// Who copies the state, or lists it, sees no commit that is under way: its header is
// in the memory map before the disk has it, and a power cut would take it back.
func TestWhatIsCopiedIsDurable(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	done := make(chan struct{})
	var writing sync.WaitGroup
	for w := range 2 {
		writing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if err := s.Commit(t.Context(), Change{MetaKey: fmt.Sprint(w), Meta: fmt.Append(nil, i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for s.Info().Serial < 100 {
		// The transaction is that of the last commit that was reported durable, or of
		// an earlier one that ended between the two.
		err := s.viewDurable(func(tx *bbolt.Tx) error {
			s.committing.RLock()
			acked := s.ackedTx
			s.committing.RUnlock()
			if id := uint64(tx.ID()); id > acked {
				return fmt.Errorf("commit %d is read, and %d is the last one that the disk has", id, acked)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	writing.Wait()
}

// A copy and a list wait for the commit that is under way; a record does not.
func TestACopyWaitsForACommit(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	c := Credential{Head: Head{Address: "credential.a.b"}}
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 2)
	s.committing.Lock()
	go func() {
		if err := s.Backup(t.Context(), io.Discard); err != nil {
			t.Error(err)
		}
		ended <- "the copy"
	}()
	go func() {
		if err := s.Heads(t.Context(), func(Head) error { return nil }); err != nil {
			t.Error(err)
		}
		ended <- "the list"
	}()
	if _, _, err := s.Credential(t.Context(), "credential.a.b"); err != nil {
		t.Error(err)
	}
	select {
	case what := <-ended:
		t.Errorf("%s did not wait", what)
	default:
	}
	s.committing.Unlock()
	<-ended
	<-ended
}
