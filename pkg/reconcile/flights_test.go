package reconcile

import (
	"context"
	"slices"
	"testing"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// commit has the index take over changes that the state took.
func (t *tokens) commit(changes ...state.Change) {
	t.committed(changes, t.commits(changes), true)
}

// lateStore answers the commits of some versions late.
type lateStore struct {
	state.Store
	late map[uint64]chan struct{}
	took chan uint64
}

func (s lateStore) Commit(ctx context.Context, changes ...state.Change) error {
	err := s.Store.Commit(ctx, changes...)
	v := changes[0].DeleteVersion
	if c := changes[0].Credential; c != nil {
		v = c.Head.Version
	}
	if wait, is := s.late[v]; is {
		s.took <- v
		<-wait
	}
	return err
}

// Two write one record, and the one who was first hears of it last: the index knows what
// the second has written; also where that has deleted the record, or it began anew since.
func TestTheIndexNeverGoesBackToAnOlderRecord(t *testing.T) {
	rec := func(version uint64, token string) state.Change {
		c := recordOf("credential.api.b", grantOf("me", "1", token))
		c.Credential.Head.Version, c.Credential.Head.Kind = version, state.KindCredential
		return c
	}
	gone := state.Change{Delete: "credential.api.b", DeleteVersion: 2}
	for name, c := range map[string]struct {
		then  []state.Change
		holds string
	}{
		"it is written again":        {[]state.Change{rec(2, "newer")}, "newer"},
		"and once more":              {[]state.Change{rec(2, "newer"), rec(3, "newest")}, "newest"},
		"it is deleted":              {[]state.Change{gone}, ""},
		"it is deleted, and is anew": {[]state.Change{gone, rec(0, "first")}, "first"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newTokens()
			moves, _ := k.begin()
			k.wholly(moves)
			late := lateStore{Store: state.NewMemory(state.MemoryOptions{}), late: map[uint64]chan struct{}{2: make(chan struct{})}, took: make(chan uint64)}
			store := timedStore{late, new(average), k}
			if err := store.Commit(t.Context(), rec(0, "oldest")); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() { done <- store.Commit(t.Context(), rec(1, "older")) }() // which is version 2
			<-late.took
			store.Store = late.Store
			for _, change := range c.then {
				if err := store.Commit(t.Context(), change); err != nil {
					t.Fatal(err)
				}
			}
			close(late.late[2])
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for _, token := range []string{"oldest", "older", "newer", "newest", "first"} {
				held, _, ok := k.others("x", fate{access: secret.New(token)}, 0)
				if has := slices.Equal(held, []uint64{k.address("credential.api.b")}); !ok || has != (token == c.holds) {
					t.Errorf("it has %s: %v", token, held)
				}
			}
			if len(k.flights) > 0 {
				t.Errorf("commits are said to be under way: %v", k.flights)
			}
		})
	}
}

// What the state did not take is not known, and what a reading of all records found is
// newer than what a commit says that returns after it.
func TestTheIndexTakesOverWhatTheStateTook(t *testing.T) {
	first, second := recordOf("b", grantOf("me", "1", "first")), recordOf("b", grantOf("me", "1", "second"))
	first.Credential.Head.Version, second.Credential.Head.Version = 1, 2
	k := newTokens()
	moves, _ := k.begin()
	k.committed([]state.Change{first}, k.commits([]state.Change{first}), false)
	at := k.commits([]state.Change{first})
	k.read(moves, "b", second.Credential)
	k.committed([]state.Change{first}, at, true)
	k.wholly(moves)
	if held, _, ok := k.others("x", fate{access: secret.New("first")}, 0); !ok || len(held) > 0 || len(k.flights) > 0 {
		t.Errorf("the older one is held by %v; under way %v", held, k.flights)
	}
}

// A token that is about to be recorded stays known where somebody else writes the record
// as it was in between.
func TestWhatComesStaysKnown(t *testing.T) {
	k := newTokens()
	moves, _ := k.begin()
	k.wholly(moves)
	k.commit(recordOf("b", grantOf("me", "1", "old")))
	k.came("b", grantOf("me", "1", "new"), Traits{}, nil)
	k.commit(recordOf("b", grantOf("me", "1", "old")))
	if k.revoke("a", fate{access: secret.New("new")}, false) != nil {
		t.Error("it is revoked though another is about to have it")
	}
	k.commit(recordOf("b", grantOf("me", "1", "new")))
	k.commit(recordOf("b", grantOf("me", "1", "newer")))
	if k.revoke("a", fate{access: secret.New("new")}, false) == nil || len(k.coming) > 0 {
		t.Errorf("it has come and gone, and is known still: %v", k.coming)
	}
	k.came("b", grantOf("me", "1", "given up"), Traits{}, nil)
	if k.comesNot("b"); len(k.coming) > 0 {
		t.Errorf("it was given up, and is known still: %v", k.coming)
	}
}
