package reconcile_test

import (
	"context"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// stoppedStore has tokend told to stop when the configuration is about to be kept.
type stoppedStore struct {
	state.Store
	stop func()
}

func (s stoppedStore) PutBlob(ctx context.Context, content []byte) (string, error) {
	s.stop()
	return s.Store.PutBlob(ctx, content)
}

// What has begun to act is in force, also where tokend is told to stop in that
// moment: the next start may find a directory that is broken.
func TestWhatHasBegunIsRecordedAsInForce(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.halt()
		ctx, stop := context.WithCancel(t.Context())
		w.wrap = func(s state.Store) state.Store { return stoppedStore{s, stop} }
		w.start()
		if _, err := w.loop.Set(ctx, w.config(trader("a@example.com", "")), reconcile.SetOptions{}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if !w.works(standin.Coinify, "trader") {
			t.Error("it has not begun")
		}
		if _, err := w.loop.Accepted(t.Context()); err != nil {
			t.Errorf("it is in force, and the state does not know: %v", err)
		}
	})
}
