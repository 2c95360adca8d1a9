package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// A place was written, and a crash or a full disk came before any record of it.
// When its sink is no longer declared, the place is cleaned all the same;
// what somebody else has there by then is
// left alone.
func TestAPlaceOfWhichNoWriteIsRecordedIsCleaned(t *testing.T) {
	const sink = "sink.mem.trader"
	for name, c := range map[string]struct {
		forged string // by somebody else, after the write
		away   bool   // the place cannot be looked at for a while
		want   string
	}{
		"as it was left":         {want: ""},
		"away for a while":       {away: true, want: ""},
		"somebody else's by now": {forged: "theirs", want: "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", ""))
				time.Sleep(5 * time.Second)
				w.halt()
				if err := w.store.Commit(t.Context(), state.Change{Delete: sink}); err != nil {
					t.Fatal(err)
				}
				failed := state.Sink{Head: state.Head{Address: sink, Kind: state.KindSink}, SinkKind: "mem"} // an earlier try
				if err := w.store.Commit(t.Context(), state.Change{Sink: &failed}); err != nil {
					t.Fatal(err)
				}
				if c.forged != "" {
					w.places.forge("trader", c.forged)
				}
				if c.away {
					w.places.failWith(errors.New("it is away"))
				}
				w.start()
				config := trader("a@example.com", "")
				w.set(config[:strings.Index(config, "sink ")])
				time.Sleep(30 * time.Second)
				w.places.failWith(nil)
				time.Sleep(time.Minute)
				if got := w.places.get("trader"); got != c.want {
					t.Errorf("the place holds %q, want %q", got, c.want)
				}
				if n := w.server.Counts(standin.Coinify).Revocations; n != 0 {
					t.Errorf("%d revocations", n)
				}
				if _, err := w.store.Sink(t.Context(), sink); !errors.Is(err, state.ErrNotFound) {
					t.Errorf("its record is still there: %v", err)
				}
			})
		})
	}
}
