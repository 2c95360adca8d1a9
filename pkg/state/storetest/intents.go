package storetest

import (
	"testing"
	"time"

	"tokend/pkg/state"
)

func intentLives(t *testing.T, s state.Store) {
	c := credential(address, 3)
	commit(t, s, state.Change{Credential: &c})
	want := intent(1)
	commit(t, s, state.Change{Intent: want, IntentFor: address})
	got, i := read(t, s, address)
	diff(t, "the intent", want, i)
	if !got.Head.Intent || got.Head.Version != 1 {
		t.Errorf("the head says intent %v and version %d, want true and 1: an intent is no write of its record", got.Head.Intent, got.Head.Version)
	}
	c.Note = "working"
	commit(t, s, state.Change{Credential: &c})
	if _, i = read(t, s, address); i == nil {
		t.Fatal("writing the record took its intent away")
	}
	c.Grant.Generation++
	commit(t, s, state.Change{Credential: &c, ClearIntent: true})
	if got, i = read(t, s, address); i != nil || got.Head.Intent {
		t.Errorf("the intent is still %v", i)
	}
	if n := s.Info().Intents; n != 0 {
		t.Errorf("Info counts %d intents, want 0", n)
	}
}

func intentMakesRecord(t *testing.T, s state.Store) {
	commit(t, s, state.Change{Intent: intent(1), IntentFor: address})
	c, i := read(t, s, address)
	diff(t, "the intent", intent(1), i)
	diff(t, "the record that the intent made", state.Credential{Head: state.Head{Address: address, Kind: state.KindCredential, Intent: true}}, c)
	fresh := credential(address, 1)
	commit(t, s, state.Change{Credential: &fresh, ClearIntent: true})
	got, i := read(t, s, address)
	diff(t, "the first real record", fresh, got)
	if i != nil {
		t.Errorf("its intent is %v, want none", i)
	}

	commit(t, s, state.Change{Intent: intent(1), IntentFor: "credential.x.y"})
	commit(t, s, state.Change{ClearIntent: true, IntentFor: "credential.x.y"})
	_, _, err := s.Credential(t.Context(), "credential.x.y")
	wantError(t, "a record that only an intent made, once that is cleared", err, state.ErrNotFound)

	both := credential("credential.both.one", 1)
	commit(t, s, state.Change{Credential: &both, Intent: intent(2)})
	got, i = read(t, s, "credential.both.one")
	diff(t, "the record", both, got)
	diff(t, "the intent", intent(2), i)
	if info := s.Info(); info.Records != 2 || info.Intents != 1 {
		t.Errorf("Info counts %d records and %d intents, want 2 and 1", info.Records, info.Intents)
	}
}

func intentReplaced(t *testing.T, s state.Store) {
	commit(t, s, state.Change{Intent: intent(1), IntentFor: address})
	commit(t, s, state.Change{Intent: intent(2), IntentFor: address})
	_, i := read(t, s, address)
	diff(t, "the intent", intent(2), i)
	if n := s.Info().Intents; n != 1 {
		t.Errorf("Info counts %d intents, want 1", n)
	}
}

func laterOrder(t *testing.T, s state.Store) {
	c := credential(address, 1)
	commit(t, s, state.Change{Credential: &c})
	done := make(chan error, 3)
	c.Note = "first"
	s.Later(func(err error) { done <- err }, state.Change{Credential: &c})
	c.Note = "second"
	s.Later(func(err error) { done <- err }, state.Change{Credential: &c})
	s.Later(nil, state.Change{MetaKey: "k", Meta: []byte("v")})
	c.Note = "third"
	commit(t, s, state.Change{Credential: &c})
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Later's outcome = %v, want nil", err)
		}
	}
	got, _ := read(t, s, address)
	if got.Note != "third" || got.Head.Version != 4 || c.Head.Version != 4 {
		t.Errorf("the record has note %q and version %d, want third and 4", got.Note, got.Head.Version)
	}
	c.Note = "alone"
	s.Later(func(err error) { done <- err }, state.Change{Credential: &c})
	if got, _ = read(t, s, address); got.Note != "alone" {
		t.Errorf("a read right after Later gave the note %q, want alone", got.Note)
	}
	if err := <-done; err != nil {
		t.Errorf("Later's outcome = %v, want nil", err)
	}
	k := sink("sink.file.a")
	s.Later(func(err error) { done <- err }, state.Change{Sink: &k})
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Later's outcome = %v, want nil", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a Later that nothing rides along with was not written within ten seconds")
	}
}

func laterConflict(t *testing.T, s state.Store) {
	c := credential(address, 1)
	c.Head.Version = 3
	done := make(chan error, 2)
	s.Later(func(err error) { done <- err }, state.Change{Credential: &c})
	k := sink("sink.file.a")
	commit(t, s, state.Change{Sink: &k})
	wantError(t, "Later's outcome", <-done, state.ErrConflict)
	s.Later(func(err error) { done <- err }, state.Change{})
	if err := <-done; err == nil {
		t.Error("Later took a change that says nothing")
	}
}
