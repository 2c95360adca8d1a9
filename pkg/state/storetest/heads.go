package storetest

import (
	"errors"
	"fmt"
	"testing"

	"tokend/pkg/state"
)

func copies(t *testing.T, s state.Store) {
	c := credential(address, 1)
	commit(t, s, state.Change{Credential: &c})
	c.Grant.Scopes[0], c.Grant.InputHashes["email"] = "changed", "changed"
	one, _ := read(t, s, address)
	if one.Grant.Scopes[0] != "trade" || one.Grant.InputHashes["email"] != "h1" {
		t.Error("changing what was committed changed what is stored")
	}
	one.Grant.Scopes[0], one.Retiring[0].Retired.Cause = "changed", "changed"
	two, _ := read(t, s, address)
	if two.Grant.Scopes[0] != "trade" || two.Retiring[0].Retired.Cause != "refresh" {
		t.Error("changing what was read changed what is stored")
	}
	value := []byte("value")
	commit(t, s, state.Change{MetaKey: "k", Meta: value})
	value[0] = 'X'
	if got, _ := s.Meta(t.Context(), "k"); string(got) != "value" {
		t.Errorf("the named value is %q, want %q", got, "value")
	}
}

func collect(t *testing.T, s state.Store) map[string]state.Head {
	t.Helper()
	got := make(map[string]state.Head)
	if err := s.Heads(t.Context(), func(h state.Head) error { got[h.Address] = h; return nil }); err != nil {
		t.Fatalf("Heads = %v", err)
	}
	return got
}

func heads(t *testing.T, s state.Store) {
	want := make(map[string]state.Head)
	for i := range 20 {
		c := credential(fmt.Sprintf("credential.a.b[%d]", i), uint64(i))
		change := state.Change{Credential: &c}
		if i%3 == 0 {
			change.Intent = intent(1)
		}
		commit(t, s, change)
		want[c.Head.Address] = c.Head
	}
	k := sink("sink.file.a")
	commit(t, s, state.Change{Sink: &k})
	want[k.Head.Address] = k.Head
	diff(t, "the heads", want, collect(t, s))
}

func headsStop(t *testing.T, s state.Store) {
	for i := range 3 {
		c := credential(fmt.Sprintf("credential.a.b[%d]", i), 1)
		commit(t, s, state.Change{Credential: &c})
	}
	stop, n := errors.New("enough"), 0
	err := s.Heads(t.Context(), func(state.Head) error { n++; return stop })
	wantError(t, "Heads", err, stop)
	if n != 1 {
		t.Errorf("the function was called %d times, want once", n)
	}
}
