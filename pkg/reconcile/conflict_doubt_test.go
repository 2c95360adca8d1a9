package reconcile_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// doubtingStore has somebody else find out, just before the outcome of a
// revocation is recorded, that the state is an older copy.
type doubtingStore struct {
	state.Store
	armed *atomic.Bool
}

func (s doubtingStore) Commit(ctx context.Context, changes ...state.Change) error {
	for _, c := range changes {
		if c.Credential == nil || !s.armed.Load() || len(changes) < 2 || !changes[1].ClearIntent {
			continue
		}
		s.armed.Store(false)
		rec, _, err := s.Store.Credential(ctx, c.Credential.Head.Address)
		if err != nil {
			return err
		}
		rec.Doubt(time.Now(), time.Time{})
		if err := s.Store.Commit(ctx, state.Change{Credential: &rec}); err != nil {
			return err
		}
	}
	return s.Store.Commit(ctx, changes...)
}

// That a refresh token may have been spent is not forgotten because a call was
// under way when it was found out.
func TestADoubtOutlivesACallThatWasUnderWay(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		doubting := doubtingStore{armed: new(atomic.Bool)}
		w.halt()
		w.wrap = func(s state.Store) state.Store { doubting.Store = s; return doubting }
		w.start()
		w.set(trader("a@example.com", ""))
		w.pass(time.Minute, time.Second, nil)
		w.set(trader("b@example.com", ""))
		w.pass(10*time.Second, time.Second, nil)
		before := w.server.Counts(standin.Coinify)
		doubting.armed.Store(true)
		w.pass(time.Minute, time.Second, nil) // the old token is revoked after its overlap
		if doubting.armed.Load() || w.server.Counts(standin.Coinify).Revocations == before.Revocations {
			t.Fatalf("nothing was revoked: %+v", w.line(traderCred))
		}
		w.pass(time.Hour, time.Minute, nil)
		if n := w.server.Counts(standin.Coinify).Grants; n != before.Grants+1 {
			t.Errorf("%d grants, and before the doubt %d: the refresh token in doubt was spent", n, before.Grants)
		}
		if rec, _, err := w.store.Credential(t.Context(), traderCred); err != nil || rec.Orphans.Total() != 1 || rec.Restored.IsZero() {
			t.Errorf("%d orphans, restored %s, %v", rec.Orphans.Total(), rec.Restored, err)
		}
	})
}
