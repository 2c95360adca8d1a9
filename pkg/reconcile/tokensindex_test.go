package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// indexed is an index that has read all records, of an account whose questions it knows.
func indexed(who ...account) (*tokens, int) {
	k := newTokens()
	for _, a := range who {
		k.learns(a)
	}
	moves, _ := k.begin()
	k.wholly(moves)
	return k, moves
}

func grantOf(user, password, token string) *state.Grant {
	return &state.Grant{Type: "api", GrantType: "password", InputHashes: map[string]string{"user": user, "password": password}, AccessToken: secret.New(token)}
}

func recordOf(addr string, g *state.Grant, before ...state.Grant) state.Change {
	return state.Change{Credential: &state.Credential{Head: state.Head{Address: addr, Kind: state.KindCredential, Generation: 1}, Grant: g, Retiring: before}}
}

// Where a provider type says of an input that it is sensitive, and said otherwise when an
// old token was obtained, both are asked about: what was read for one question is not
// thrown away for the other, or each would read all records, for ever.
func TestAccountsAreKnownInTwoWaysAtOnce(t *testing.T) {
	open, hides := Traits{}, Traits{Secrets: []string{"password"}}
	k := newTokens()
	var read int
	for range 5 {
		for _, of := range []Traits{open, hides} {
			k.learns(accountOfGrant(grantOf("me", "1", ""), of))
			moves, must := k.begin()
			if !must {
				continue
			}
			read++
			k.read(moves, "a", recordOf("a", grantOf("me", "1", "ta")).Credential)
			k.read(moves, "b", recordOf("b", grantOf("me", "2", "tb")).Credential)
			k.wholly(moves)
		}
	}
	if read != 2 {
		t.Errorf("ten questions had all records read %d times, want once for each way", read)
	}
	for name, c := range map[string]struct {
		of     Traits
		others []string // of a's account
	}{
		"its password tells": {open, nil},
		"and does not":       {hides, []string{"b"}},
	} {
		f := fate{account: accountOfGrant(grantOf("me", "1", ""), c.of)}
		held, _, ok := k.others("a", f, 0)
		var names []string
		for _, h := range held {
			names = append(names, map[uint64]string{k.address("a"): "a", k.address("b"): "b"}[h])
		}
		if !ok || !slices.Equal(names, c.others) {
			t.Errorf("%s: %q, %v, want %q", name, names, ok, c.others)
		}
		if end := k.revoke("a", f, false); (end == nil) != (len(c.others) > 0) {
			t.Errorf("%s: whether it may be revoked: %v", name, end != nil)
		}
	}
	// What is about to be in force is of both, too.
	k.commit(recordOf("b", grantOf("you", "2", "tb2")))
	k.came("c", grantOf("me", "3", "tc"), open, nil)
	if _, coming, _ := k.others("a", fate{account: accountOfGrant(grantOf("me", "1", ""), hides)}, 0); coming != "c" {
		t.Errorf("%q is about to have one of the account, want c", coming)
	}
}

// counted counts the records that are read.
type counted struct {
	*state.Memory
	reads int
}

func (c *counted) Credential(ctx context.Context, addr string) (state.Credential, *state.Intent, error) {
	c.reads++
	return c.Memory.Credential(ctx, addr)
}

// Of an account that thousands of credentials have, one that holds a token says enough: a
// question costs the same as where there are two, also under the mutex that each commit
// takes, and the end of one wakes none that does not wait for the session.
func TestAnAccountOfThousands(t *testing.T) {
	const n = 3000
	who := accountOfGrant(grantOf("me", "1", ""), Traits{})
	k, _ := indexed(who)
	store := &counted{Memory: state.NewMemory(state.MemoryOptions{})}
	w := &worker{tokens: k, store: store, now: func() time.Time { return t0 }}
	for i := range n {
		c := recordOf(fmt.Sprint("credential.api.", i), grantOf("me", "1", fmt.Sprint("t", i)))
		if err := store.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		k.commit(c)
	}
	f := fate{account: who}
	for range 2 { // names are found out by the first
		store.reads = 0
		with, what, err := w.sharedWith(t.Context(), "credential.api.0", f, true)
		if err != nil || with != "credential.api.1" || what != sameFate {
			t.Fatalf("%q %q %v", with, what, err)
		}
		if store.reads != 1 {
			t.Errorf("%d records were read, want 1", store.reads)
		}
	}
	if got := testing.AllocsPerRun(10, func() { k.others("credential.api.0", f, holdersAtOnce) }); got > 10 {
		t.Errorf("a question makes %v allocations", got)
	}
	if held, _, _ := k.others("credential.api.0", f, 0); len(held) != n-1 {
		t.Errorf("%d others are known, want %d", len(held), n-1)
	}
	// Only the last one has a token in force: those before it had theirs a moment ago, and
	// it is found all the same.
	for i := range n - 1 {
		old := *grantOf("me", "1", fmt.Sprint("t", i))
		old.Retired = &state.Retired{Cause: causeReplace, Since: t0.Add(-48 * time.Hour), DeliveredAt: t0.Add(-48 * time.Hour)}
		c := recordOf(fmt.Sprint("credential.api.", i), grantOf("you", "1", fmt.Sprint("u", i)), old)
		rec, _, err := store.Memory.Credential(t.Context(), c.Credential.Head.Address)
		if err != nil {
			t.Fatal(err)
		}
		c.Credential.Head.Version = rec.Head.Version
		if err := store.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		k.commit(c)
	}
	if with, _, err := w.sharedWith(t.Context(), "credential.api.0", f, true); err != nil || with != fmt.Sprint("credential.api.", n-1) {
		t.Errorf("held by %q, %v", with, err)
	}
	you := grantOf("you", "1", "")
	if waiting := k.leaves("credential.api.0", nil); len(waiting) != 0 {
		t.Errorf("%d are woken that do not wait", len(waiting))
	}
	waits := recordOf("credential.api.7", grantOf("you", "1", "u7"))
	waits.Credential.Failure = &state.Failure{Op: opGrant, Class: classSession, Stopped: true, InputHash: you.InputHashes}
	k.commit(waits)
	if waiting := k.leaves("credential.api.0", nil); !slices.Equal(waiting, []uint64{k.address("credential.api.7")}) {
		t.Errorf("%d are woken, want the one that waits", len(waiting))
	}
	if waiting := k.leaves("credential.api.0", you); len(waiting) != 0 {
		t.Errorf("%d are woken for one that stays", len(waiting))
	}
}

// Nothing is kept of a credential that is removed, and of one that has no old token in use
// nothing for that.
func TestTheIndexForgetsWhatIsRemoved(t *testing.T) {
	me := accountOfGrant(grantOf("me", "1", ""), Traits{})
	k, _ := indexed(me)
	old := *grantOf("you", "1", "old")
	old.Retired = &state.Retired{Cause: causeReplace}
	var names []uint64
	for i := range 100 {
		addr := fmt.Sprint("credential.api.", i)
		c := recordOf(addr, grantOf("me", "1", fmt.Sprint("t", i%50)))
		if i == 0 {
			c.Credential.Retiring = []state.Grant{old}
		}
		k.commit(c)
		names = append(names, k.address(addr))
		k.name(map[uint64]string{names[i]: addr})
	}
	if len(k.of) != 100 || len(k.beside) != 1 || len(k.names) != 100 {
		t.Fatalf("it keeps %d, %d beside, %d names", len(k.of), len(k.beside), len(k.names))
	}
	for i := range 100 {
		k.commit(state.Change{Delete: fmt.Sprint("credential.api.", i)})
	}
	k.name(map[uint64]string{names[0]: "credential.api.0"}) // found out before it was removed
	if n := len(k.of) + len(k.beside) + len(k.by) + len(k.more) + len(k.names); n != 0 {
		t.Errorf("it keeps %d of what was removed: %v %v %v %v", n, k.of, k.beside, k.by, k.names)
	}
	// While the records are read, it is remembered: one that was read before the removal
	// says nothing.
	k.moved()
	moves, _ := k.begin()
	k.commit(state.Change{Delete: "a"})
	k.read(moves, "a", recordOf("a", grantOf("me", "1", "t")).Credential)
	if k.wholly(moves); len(k.of) != 0 {
		t.Errorf("a removed one is known again: %v", k.of)
	}
	if held, _, ok := k.others("x", fate{access: secret.New("t")}, 0); !ok || len(held) != 0 {
		t.Errorf("held by %v, %v", held, ok)
	}
}

// A revocation that met another credential's new token says whose, and the way out.
func TestARevocationThatMeetsAnotherNamesIt(t *testing.T) {
	who := accountOfGrant(grantOf("me", "1", ""), Traits{Secrets: []string{"password"}})
	for name, c := range map[string]struct {
		does func(k *tokens, store state.Store)
		want string
	}{
		"recorded": {func(k *tokens, store state.Store) {
			c := recordOf("credential.api.b", grantOf("me", "2", "tb"))
			_ = store.Commit(t.Context(), c)
			k.commit(c)
		}, "credential.api.b has a token of the same account, which the revocation would end: it is revoked once that one holds none any more, or by `tokend revoke api.a`, which ends both; or it is given up by `tokend revoke --forget api.a`, and lives on"},
		"about to be": {func(k *tokens, _ state.Store) {
			k.came("credential.api.b", grantOf("x", "2", "ta"), Traits{}, nil)
		}, "credential.api.b has a token of the same account, which"},
		"not known": {func(k *tokens, _ state.Store) { k.moved(); k.reading.Lock() },
			"another credential has got what the revocation would end; which one is found out at the next look, or `tokend revoke api.a` ends both"},
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := indexed(who)
			w := &worker{tokens: k, store: state.NewMemory(state.MemoryOptions{}), now: func() time.Time { return t0 }}
			old := grantOf("me", "1", "ta")
			old.Retired = &state.Retired{Cause: causeRemove}
			p := performer{w: w, ctx: t.Context(), j: &job{addr: "credential.api.a"}, ob: &observed{}, step: Step{Action: ActRevoke}}
			p.ob.in = Input{Address: "credential.api.a", Now: t0, RetiredTraits: []Traits{{Session: spec.SessionSharedGrant, Secrets: []string{"password"}}}}
			p.ob.in.Record.Retiring = []state.Grant{*old}
			c.does(k, w.store)
			_, err := p.ending(&call{op: opRevoke})
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.Is(err, errNotBegun) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// A token that another credential had a moment ago is found by whoever asks; how long that
// matters say the records, so that the index alone keeps none from being revoked.
func TestAnOldTokenElsewhereIsFoundAndHoldsNothingUp(t *testing.T) {
	me := accountOfGrant(grantOf("me", "1", ""), Traits{})
	k, _ := indexed(me)
	older, old := *grantOf("me", "1", "t1"), *grantOf("me", "1", "t2")
	older.RefreshToken = secret.New("r1")
	older.Retired, old.Retired = &state.Retired{Cause: causeReplace}, &state.Retired{Cause: causeExpired}
	k.commit(recordOf("b", grantOf("you", "1", "t3"), older, old))
	for name, f := range map[string]fate{
		"the last":       {access: secret.New("t2")},
		"the one before": {access: secret.New("t1")},
		"its refresh":    {refresh: secret.New("r1")},
		"its account":    {account: me},
	} {
		if held, _, ok := k.others("a", f, 0); !ok || !slices.Equal(held, []uint64{k.address("b")}) {
			t.Errorf("%s: held by %v, %v", name, held, ok)
		}
		end := k.revoke("a", f, false)
		if end == nil {
			t.Errorf("%s: the index holds its revocation up", name)
			continue
		}
		end()
	}
	k.commit(recordOf("b", grantOf("you", "1", "t3")))
	if n := len(k.beside); n != 0 {
		t.Errorf("it keeps %d old ones that are over", n)
	}
	if held, _, _ := k.others("a", fate{access: secret.New("t1")}, 0); len(held) != 0 {
		t.Errorf("held by %v, though it is over", held)
	}
}
