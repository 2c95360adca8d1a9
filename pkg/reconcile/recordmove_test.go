package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"tokend/pkg/state"
)

// refusing is a store that takes no change.
type refusing struct {
	state.Store
	with error
}

func (s refusing) Commit(context.Context, ...state.Change) error { return s.with }

// Where a sink is now has to be known before its earlier place is cleaned. When
// somebody else wrote the record first, as the answer of a hook does, it is read
// again at once; a disk that fails gets time.
func TestRecordingAMoveLosesToAnotherWriterForAMomentOnly(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		again bool
	}{
		"another writer": {state.ErrConflict, true},
		"a full disk":    {errors.New("no space left on device"), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := result{}
			p := sinkPerformer{w: &worker{store: refusing{with: c.err}, log: slog.New(slog.DiscardHandler), now: time.Now}, ctx: t.Context(), j: &job{}, r: &r}
			if err := p.commit(&state.Sink{}); !errors.Is(err, c.err) {
				t.Fatalf("it ended with %v", err)
			}
			if r.again != c.again || r.next.IsZero() != c.again || (r.standing == nil) != c.again {
				t.Errorf("it is looked at again at once: %v, else at %s", r.again, r.next)
			}
		})
	}
}
