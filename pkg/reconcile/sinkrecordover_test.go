package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// answeringStore has a hook's answer written to a sink's record just before the
// record of the sink's next write.
type answeringStore struct {
	state.Store
	sink  string
	armed *atomic.Bool
}

func (s answeringStore) Later(done func(error), changes ...state.Change) {
	if k := changes[0].Sink; k != nil && k.Head.Address == s.sink && s.armed.CompareAndSwap(true, false) {
		if rec, err := s.Sink(context.Background(), s.sink); err == nil {
			rec.Notify = nil
			_ = s.Commit(context.Background(), state.Change{Sink: &rec})
		}
	}
	s.Store.Later(done, changes...)
}

// A hook that ends while its sink is written again wins the sink's record. What
// the place holds now is recorded all the same, without a look at the place, which
// may take minutes: after a crash it would be taken for somebody else's.
func TestAHooksAnswerCostsNoRecord(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const sink, credential = "sink.mem.trader", "credential.coinify.trader"
		s := answeringStore{sink: sink, armed: new(atomic.Bool)}
		w.halt()
		w.wrap = func(below state.Store) state.Store { s.Store = below; return s }
		w.start()
		w.set(trader("a@example.com", ""))
		w.pass(time.Minute, time.Second, nil)
		w.places.forget()
		s.armed.Store(true)
		if err := w.loop.Do(t.Context(), credential, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		w.pass(10*time.Second, time.Second, nil)
		if s.armed.Load() {
			t.Fatal("no record was written")
		}
		rec, err := w.store.Sink(t.Context(), sink)
		if err != nil {
			t.Fatal(err)
		}
		if held := w.places.get("trader"); !strings.Contains(string(rec.Written), held) {
			t.Errorf("the place holds %q, and its record says %q", held, rec.Written)
		}
		if n := strings.Count(w.places.events(), "write:trader"); n != 1 {
			t.Errorf("the place was written %d times: %s", n, w.places.events())
		}
		if l := w.line(sink); l.State != reconcile.Ready {
			t.Errorf("it is %s: %s", l.State, l.Why)
		}
	})
}

// A hook is struck off the record of a sink while that sink is looked at, since the
// configuration has it named no longer: it stays struck off, or it would run again after
// the next start, and a removal of the sink would wait for it.
func TestAHookThatIsStruckOffStaysSo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const sink = "sink.mem.trader"
		s := answeringStore{sink: sink, armed: new(atomic.Bool)}
		w.halt()
		w.wrap = func(below state.Store) state.Store { s.Store = below; return s }
		w.start()
		config := trader("a@example.com", "")
		w.places.failHooks(errors.New("it is broken"))
		w.set(config)
		w.pass(time.Minute, time.Second, nil)
		if rec, err := w.store.Sink(t.Context(), sink); err != nil || len(rec.Notify) != 1 {
			t.Fatalf("the record says that %q have still to run: %v", rec.Notify, err)
		}
		s.armed.Store(true)
		w.set(strings.Replace(config, "[hook.mem.tell]", "[]", 1))
		w.pass(10*time.Second, time.Second, nil)
		if s.armed.Load() {
			t.Fatal("no record was written")
		}
		rec, err := w.store.Sink(t.Context(), sink)
		if err != nil {
			t.Fatal(err)
		}
		if digest, _ := w.loop.Config().Digest(sink); rec.Head.Digest != digest {
			t.Error("the record is not as it is said now")
		}
		if len(rec.Notify) > 0 {
			t.Errorf("the record says that %q have still to run", rec.Notify)
		}
	})
}
