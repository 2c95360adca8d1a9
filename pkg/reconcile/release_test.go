package reconcile

import (
	"log/slog"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// What is let go without a call, after a crash in the middle of its revocation,
// leaves no call of unknown outcome behind; another one's stays.
func TestWhatIsReleasedLeavesNoOpenRevocation(t *testing.T) {
	const addr = "credential.x.y"
	for of, left := range map[uint64]bool{1: false, 2: true} {
		store := state.NewMemory(state.MemoryOptions{})
		defer store.Close()
		old := state.Grant{Generation: 1, AccessToken: secret.New("old"), Retired: &state.Retired{Since: t0, Cause: causeReplace}}
		rec := state.Credential{Head: state.Head{Address: addr, Kind: state.KindCredential}, Retiring: []state.Grant{old}}
		open := state.Intent{Op: opRevoke, Generation: of, At: t0}
		if err := store.Commit(t.Context(), state.Change{Credential: &rec}, state.Change{IntentFor: addr, Intent: &open}); err != nil {
			t.Fatal(err)
		}
		w := &worker{store: store, tokens: newTokens(), log: slog.New(slog.DiscardHandler), now: time.Now}
		p := performer{w: w, ctx: t.Context(), j: &job{addr: addr, stored: true}, ob: &observed{}, step: Step{Action: ActRelease}, r: &result{}}
		p.ob.in.Record, p.ob.in.Intent = rec, &open
		p.release()
		got, intent, err := store.Credential(t.Context(), addr)
		if err != nil || len(got.Retiring) != 0 || (intent != nil) != left {
			t.Errorf("the revocation of %d: %d retiring, open %v, want %v (%v)", of, len(got.Retiring), intent, left, err)
		}
	}
}
