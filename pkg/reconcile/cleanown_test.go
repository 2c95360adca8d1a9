package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/sinks"
	"tokend/pkg/state"
)

// removes is a kind of sink of which some places cannot be cleaned.
type removes struct {
	sinks.Sink
	fails string
}

func (k removes) Remove(_ context.Context, written []byte) error {
	if string(written) == k.fails {
		return errors.New("it cannot be cleaned")
	}
	return nil
}

// What a sink's own place may hold besides is known still when its earlier places
// are clean, and when one of them cannot be: it is told apart from them.
func TestWhatItsOwnPlaceMayHoldOutlivesCleaning(t *testing.T) {
	account := func(place, content string) []byte { return withPlace([]byte(content), place) }
	for name, c := range map[string]struct {
		fails string
		want  []string
	}{
		"all clean":  {"", []string{"own\nperhaps"}},
		"one is not": {"second", []string{"own\nperhaps", "b\nsecond"}},
	} {
		t.Run(name, func(t *testing.T) {
			store := state.NewMemory(state.MemoryOptions{})
			defer store.Close()
			w := &worker{store: store, tokens: newTokens(), log: slog.New(slog.DiscardHandler), now: time.Now}
			rec := state.Sink{Head: state.Head{Address: "sink.x.y", Kind: state.KindSink}, SinkKind: "x", Written: account("own", "now"), WrittenAt: t0,
				Leaving: [][]byte{account("a", "first"), account("own", "perhaps"), account("b", "second")}}
			if err := store.Commit(t.Context(), state.Change{Sink: &rec}); err != nil {
				t.Fatal(err)
			}
			p := sinkPerformer{w: w, ctx: t.Context(), j: &job{addr: "sink.x.y"}, ob: &observedSink{kind: removes{fails: c.fails}}, step: Step{Action: ActClean}, r: &result{}}
			p.ob.in.Record, p.ob.in.Stored, p.ob.in.Declared = rec, true, true
			p.clean()
			kept, err := store.Sink(t.Context(), "sink.x.y")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range kept.Leaving {
				got = append(got, string(a))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("what is recorded of other places and its own (-want +got):\n%s", diff)
			}
		})
	}
}
