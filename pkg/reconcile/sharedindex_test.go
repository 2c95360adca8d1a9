package reconcile

import (
	"testing"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// What is known of tokens in force holds over commits that fail and moves in its midst.
func TestTokensInForceAreKnown(t *testing.T) {
	grant := func(token string) *state.Grant { return &state.Grant{AccessToken: secret.New(token)} }
	record := func(addr, token string) state.Change {
		return state.Change{Credential: &state.Credential{Head: state.Head{Address: addr}, Grant: grant(token)}}
	}
	k := newTokens()
	holds := func(moves int, token, addr string) string {
		t.Helper()
		held, coming, ok := k.others(moves, addr, grant(token))
		if !ok {
			return "moved"
		}
		if len(held) > 0 {
			return held[0]
		}
		return coming
	}
	moves, read := k.begin()
	if !read {
		t.Fatal("nothing was read")
	}
	k.committed([]state.Change{record("a", "new")})
	k.read(moves, "a", grant("old")) // was read before that commit
	k.read(moves, "b", grant("one"))
	if _, read = k.begin(); !read {
		t.Error("the reading is taken for over before it is")
	}
	for token, want := range map[string]string{"new": "a", "old": "", "one": "b"} {
		if got := holds(moves, token, "x"); got != want {
			t.Errorf("%s is held by %q, want %q", token, got, want)
		}
	}
	if got := holds(moves, "one", "b"); got != "" {
		t.Errorf("its own holder is in its way: %q", got)
	}
	// One that came and cannot be recorded is in force beside the one before.
	k.came("b", secret.New("two"))
	if x, y := holds(moves, "one", "x"), holds(moves, "two", "x"); x != "b" || y != "b" {
		t.Errorf("held by %q and %q", x, y)
	}
	k.committed([]state.Change{record("b", "two")})
	if x, y := holds(moves, "one", "x"), holds(moves, "two", "x"); x != "" || y != "b" {
		t.Errorf("once recorded held by %q and %q", x, y)
	}
	k.committed([]state.Change{{Delete: "b"}})
	if got := holds(moves, "two", "x"); got != "" {
		t.Errorf("a removed one holds it: %q", got)
	}
	// Records that move make all of it worthless, also for who is reading.
	k.moved()
	if got := holds(moves, "new", "x"); got != "moved" {
		t.Errorf("after a move: %q", got)
	}
	k.read(moves, "a", grant("new"))
	if again, read := k.begin(); !read || holds(again, "new", "x") != "" {
		t.Error("what was read before a move is believed")
	}
}
