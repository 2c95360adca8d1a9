package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"tokend/pkg/state"
)

// contested is a store that others write to as well, and of which some records
// cannot be read.
type contested struct {
	state.Store
	conflicts int              // so many commits lose
	after     func()           // what happens as one does
	unread    map[string]error // by address
	commits   int
}

func (s *contested) Sink(ctx context.Context, address string) (state.Sink, error) {
	if err := s.unread[address]; err != nil {
		return state.Sink{}, err
	}
	return s.Store.Sink(ctx, address)
}

func (s *contested) Commit(ctx context.Context, changes ...state.Change) error {
	if s.commits++; s.commits <= s.conflicts {
		if s.after != nil {
			s.after()
		}
		return fmt.Errorf("writing: %w", state.ErrConflict)
	}
	return s.Store.Commit(ctx, changes...)
}

// What a hook has answered is written down, or it is said that it is not: a record
// that others keep changing is not read again for ever, nor once nobody waits any
// more, and one that cannot be read is not taken for one that is gone.
func TestAHookThatCannotBeNotedHasNotRun(t *testing.T) {
	broken := errors.New("the disk does not answer")
	for name, c := range map[string]struct {
		conflicts int
		cancels   bool
		unread    map[string]error
		written   string // since the run began
		want      error
		commits   int
		owed      []string // the sinks whose record still names the hook
	}{
		"at once":                   {commits: 1},
		"against one other":         {conflicts: 1, commits: 3},
		"against many":              {conflicts: 1 << 30, want: state.ErrConflict, commits: 1 + 2*answerRounds, owed: []string{"sink.x.a", "sink.x.b"}},
		"nobody waits any more":     {conflicts: 1 << 30, cancels: true, want: context.Canceled, commits: 1, owed: []string{"sink.x.a", "sink.x.b"}},
		"one cannot be read":        {unread: map[string]error{"sink.x.a": broken}, want: broken, commits: 1, owed: []string{"sink.x.a"}},
		"one is written since then": {written: "sink.x.b", commits: 1, owed: []string{"sink.x.b"}},
		"one is gone since then":    {unread: map[string]error{"sink.x.a": state.ErrNotFound}, commits: 1, owed: []string{"sink.x.a"}},
	} {
		t.Run(name, func(t *testing.T) {
			store := state.NewMemory(state.MemoryOptions{})
			defer store.Close()
			sinks := []string{"sink.x.a", "sink.x.b"}
			for _, a := range sinks {
				rec := state.Sink{Head: state.Head{Address: a, Kind: state.KindSink, Flags: state.FlagHookPending}, SinkKind: "x", WrittenAt: t0, Notify: []string{"hook.x.tell"}}
				if err := store.Commit(t.Context(), state.Change{Sink: &rec}); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &contested{Store: store, conflicts: c.conflicts, unread: c.unread}
			if c.cancels {
				s.after = cancel
			}
			w := &worker{store: s, tokens: newTokens(), log: slog.New(slog.DiscardHandler), now: time.Now, answers: answers{turn: make(turn, 1)}}
			w.runs.begin("hook.x.tell")
			w.runs.wrote(c.written, []string{"hook.x.other", "hook.x.tell"})
			err := w.answered(ctx, &job{addr: "hook.x.tell", now: t0.Add(time.Second), pending: sinks})
			if !errors.Is(err, c.want) {
				t.Errorf("it ended with %v, want %v", err, c.want)
			}
			if s.commits != c.commits {
				t.Errorf("%d commits, want %d", s.commits, c.commits)
			}
			var owed []string
			for _, a := range sinks {
				if rec, err := store.Sink(t.Context(), a); err != nil {
					t.Error(err)
				} else if len(rec.Notify) > 0 {
					owed = append(owed, a)
				}
			}
			if fmt.Sprint(owed) != fmt.Sprint(c.owed) {
				t.Errorf("still owed to %v, want %v", owed, c.owed)
			}
		})
	}
}
