package reconcile

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// twinsWorker has a state with some credentials.
func twinsWorker(t *testing.T, recs ...state.Credential) *worker {
	t.Helper()
	store := state.NewMemory(state.MemoryOptions{})
	t.Cleanup(func() { _ = store.Close() })
	for _, rec := range recs {
		rec.Head.Kind, rec.Head.Generation = state.KindCredential, 1
		if err := store.Commit(t.Context(), state.Change{Credential: &rec}); err != nil {
			t.Fatal(err)
		}
	}
	return &worker{store: store, tokens: newTokens(), log: slog.New(slog.DiscardHandler), now: time.Now, relook: func(string, error) {}}
}

// Who else has the refresh token is found before the call, of all records, and told before
// its reply is recorded, whatever it says: also where nobody can read it, or it never came.
func TestTwinsAreToldBeforeTheReplyIsRecorded(t *testing.T) {
	twin := func(addr, refresh string) state.Credential {
		return state.Credential{Head: state.Head{Address: addr}, Grant: &state.Grant{Generation: 1, AccessToken: secret.New("at-" + addr), RefreshToken: secret.New(refresh)}}
	}
	w := twinsWorker(t, twin("credential.x.a", "r"), twin("credential.x.b", "r"), twin("credential.x.c", "another"))
	p := performer{w: w, ctx: t.Context(), j: &job{addr: "credential.x.a"}, ob: &observed{}}
	p.ob.in.Held = Traits{InvalidatesAccessToken: true, Rotates: spec.RotatesNever}
	end, err := p.ending(&call{op: opRefresh, spends: secret.New("r")})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if !slices.Equal(p.twins.holders, []string{"credential.x.b"}) {
		t.Fatalf("with all records read: %+v", p.twins)
	}
	p.twinsEnd()
	for addr, dead := range map[string]bool{"credential.x.a": false, "credential.x.b": true, "credential.x.c": false} {
		rec, _, err := w.store.Credential(t.Context(), addr)
		if err != nil || knownDead(&rec, rec.Grant) != dead {
			t.Errorf("%s: known to be dead: %v, %v", addr, knownDead(&rec, rec.Grant), err)
		}
	}
}

// One that has a token in force is found behind others that had it until a moment ago.
func TestWhoHasItInForceGoesBeforeWhoHadIt(t *testing.T) {
	now := time.Now()
	had := func(addr string) state.Credential {
		old := state.Grant{Generation: 1, AccessToken: secret.New("shared"), Retired: &state.Retired{Cause: causeReplace, Since: now}}
		return state.Credential{Head: state.Head{Address: addr}, Grant: &state.Grant{Generation: 2, AccessToken: secret.New("of " + addr)},
			Retiring: []state.Grant{old}, Lifecycle: state.Lifecycle{Overlap: time.Hour, MaxOverlap: time.Hour}}
	}
	recs := []state.Credential{}
	for _, n := range []string{"b", "c", "d", "e", "f", "g", "h", "i", "j", "k"} {
		recs = append(recs, had("credential.x."+n))
	}
	w := twinsWorker(t, append(recs, state.Credential{Head: state.Head{Address: "credential.x.z"}, Grant: &state.Grant{Generation: 1, AccessToken: secret.New("shared")}})...)
	f := fate{access: secret.New("shared")}
	if with, what, err := w.sharedWith(t.Context(), "credential.x.a", f, true); err != nil || with != "credential.x.z" || what != sameAccess {
		t.Errorf("%q has %q, %v", with, what, err)
	}
}

// A call that has ended before another began is none that its token met.
func TestACallThatIsOverIsNotMet(t *testing.T) {
	for _, over := range []bool{true, false} {
		k := newTokens()
		moves, _ := k.begin()
		k.wholly(moves)
		f := fate{refresh: secret.New("r")}
		k.begins() // some call that goes on meanwhile
		first := k.revoke("a", f, true)
		if over {
			first()
		}
		by := k.begins()
		k.revoke("b", f, true)()
		want := "a"
		if over {
			want = ""
		}
		if got := k.came("b", &state.Grant{AccessToken: secret.New("new"), RefreshToken: secret.New("r")}, Traits{}, by); got != want {
			t.Errorf("over: %v: it is taken to have ended with %q, want %q", over, got, want)
		}
	}
}
