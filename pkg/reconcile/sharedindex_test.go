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
		if !k.wholly(moves) {
			return "moved"
		}
		held, coming, ok := k.others(addr, fate{access: secret.New(token)}, 0)
		if !ok {
			return "not known"
		}
		for _, a := range []string{"a", "b", "c", "d"} {
			if len(held) > 0 && k.address(a) == held[0] {
				return a
			}
		}
		return coming
	}
	moves, read := k.begin()
	if !read {
		t.Fatal("nothing was read")
	}
	k.commit(record("a", "new"))
	k.read(moves, "a", &state.Credential{Grant: grant("old")}) // was read before that commit
	k.read(moves, "b", &state.Credential{Grant: grant("one")})
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
	k.came("b", grant("two"), Traits{}, nil)
	if x, y := holds(moves, "one", "x"), holds(moves, "two", "x"); x != "b" || y != "b" {
		t.Errorf("held by %q and %q", x, y)
	}
	k.commit(record("b", "two"))
	if x, y := holds(moves, "one", "x"), holds(moves, "two", "x"); x != "" || y != "b" {
		t.Errorf("once recorded held by %q and %q", x, y)
	}
	k.commit(state.Change{Delete: "b"})
	if got := holds(moves, "two", "x"); got != "" {
		t.Errorf("a removed one holds it: %q", got)
	}
	// Of several that have the same, each is known, until it has another.
	k.commit(record("b", "many"), record("c", "many"), record("d", "many"))
	if x, y := holds(moves, "many", "x"), holds(moves, "many", "b"); x != "b" || y != "c" {
		t.Errorf("many have it: %q, and beside the first %q", x, y)
	}
	k.commit(record("c", "other"), state.Change{Delete: "b"})
	if x, y := holds(moves, "many", "x"), holds(moves, "many", "d"); x != "d" || y != "" {
		t.Errorf("one is left: %q, and beside it %q", x, y)
	}
	// Records that move make all of it worthless, also for who is reading.
	k.moved()
	if got := holds(moves, "new", "x"); got != "moved" {
		t.Errorf("after a move: %q", got)
	}
	k.read(moves, "a", &state.Credential{Grant: grant("new")})
	if again, read := k.begin(); !read || holds(again, "new", "x") != "" {
		t.Error("what was read before a move is believed")
	}
}

// A token that a call brings while it is revoked for another credential is known to be
// dead, and none is revoked that another credential has got since it was asked.
func TestRevocationsAndCallsAtTheSameMoment(t *testing.T) {
	tok := secret.New("t")
	for name, c := range map[string]struct {
		do       func(k *tokens) string
		want     string
		remember int // revocations that are remembered after it
	}{
		"brought while it is revoked": {func(k *tokens) string {
			b := k.begins()
			k.revoke("a", fate{access: tok}, false)
			return k.came("b", &state.Grant{AccessToken: tok}, Traits{}, b)
		}, "a", 1},
		"another token": {func(k *tokens) string {
			b := k.begins()
			k.revoke("a", fate{access: tok}, false)
			return k.came("b", &state.Grant{AccessToken: secret.New("u")}, Traits{}, b)
		}, "", 1},
		"the call began after its revocation": {func(k *tokens) string {
			k.revoke("a", fate{access: tok}, false)()
			return k.came("b", &state.Grant{AccessToken: tok}, Traits{}, k.begins())
		}, "", 0},
		"revoked while the call was under way": {func(k *tokens) string {
			b := k.begins()
			k.revoke("a", fate{access: tok}, false)()
			return k.came("b", &state.Grant{AccessToken: tok}, Traits{}, b)
		}, "a", 1},
		"and recorded": {func(k *tokens) string {
			b := k.begins()
			k.revoke("a", fate{access: tok}, false)()
			k.over(k.begins())
			died := k.came("b", &state.Grant{AccessToken: tok}, Traits{}, b)
			k.over(b)
			return died
		}, "a", 0},
		"brought first": {func(k *tokens) string {
			k.came("b", &state.Grant{AccessToken: tok}, Traits{}, k.begins())
			if k.revoke("a", fate{access: tok}, false) == nil {
				return "held"
			}
			return "revoked"
		}, "held", 0},
		"brought first, and recorded": {func(k *tokens) string {
			k.commit(state.Change{Credential: &state.Credential{Head: state.Head{Address: "b"}, Grant: &state.Grant{AccessToken: tok}}})
			if k.revoke("a", fate{access: tok}, false) == nil {
				return "held"
			}
			return "revoked"
		}, "held", 0},
		"another had it until a moment ago, as the records say": {func(k *tokens) string {
			g := state.Grant{AccessToken: tok, Retired: &state.Retired{Cause: causeReplace}}
			k.commit(state.Change{Credential: &state.Credential{Head: state.Head{Address: "b"}, Grant: &state.Grant{AccessToken: secret.New("u")}, Retiring: []state.Grant{g}}})
			if held, _, _ := k.others("a", fate{access: tok}, 0); len(held) != 1 {
				return "the records are not asked"
			}
			if k.revoke("a", fate{access: tok}, false) == nil {
				return "held"
			}
			return "revoked"
		}, "revoked", 1},
		"two are on their way that end each other's": {func(k *tokens) string {
			a, b := k.begins(), k.begins()
			first, second := k.revoke("a", fate{refresh: tok}, true), k.revoke("b", fate{refresh: tok}, true)
			first()
			one := k.came("a", &state.Grant{RefreshToken: tok}, Traits{}, a)
			second()
			return one + k.came("b", &state.Grant{RefreshToken: tok}, Traits{}, b)
		}, "ba", 1},
		"brought first, and a person wants it dead": {func(k *tokens) string {
			k.came("b", &state.Grant{AccessToken: tok}, Traits{}, k.begins())
			if k.revoke("a", fate{access: tok}, true) == nil {
				return "held"
			}
			return "revoked"
		}, "revoked", 1},
		"it is not known who holds what": {func(k *tokens) string {
			k.moved()
			if k.revoke("a", fate{access: tok}, false) == nil {
				return "held"
			}
			return "revoked"
		}, "held", 0},
		"for itself": {func(k *tokens) string {
			b := k.begins()
			k.revoke("a", fate{access: tok}, false)
			return k.came("a", &state.Grant{AccessToken: tok}, Traits{}, b)
		}, "", 1},
	} {
		k := newTokens()
		moves, _ := k.begin()
		k.wholly(moves)
		if got := c.do(k); got != c.want || len(k.revoking) != c.remember {
			t.Errorf("%s: %q, want %q; %d are remembered, want %d", name, got, c.want, len(k.revoking), c.remember)
		}
	}
}
