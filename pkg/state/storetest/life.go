package storetest

import (
	"context"
	"errors"
	"testing"

	"tokend/pkg/state"
)

func serial(t *testing.T, s state.Store) {
	before := s.Info()
	c := credential(address, 1)
	commit(t, s, state.Change{Credential: &c})
	after := s.Info()
	if after.Serial <= before.Serial || after.Syncs <= before.Syncs || after.Lineage == "" || after.Lineage != before.Lineage || after.Records != 1 || after.Err != nil {
		t.Errorf("Info went from %+v to %+v", before, after)
	}
}

func endedContext(t *testing.T, s state.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := credential(address, 1)
	wantError(t, "Commit", s.Commit(ctx, state.Change{Credential: &c}), context.Canceled)
	_, _, err := s.Credential(t.Context(), address)
	wantError(t, "Credential", err, state.ErrNotFound)
}

func closed(t *testing.T, s state.Store) {
	c := credential(address, 1)
	commit(t, s, state.Change{Credential: &c})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
	}
	c.Note = "late"
	if err := s.Commit(t.Context(), state.Change{Credential: &c}); err == nil {
		t.Error("Commit on a closed store = nil, want an error")
	}
	if _, _, err := s.Credential(t.Context(), address); err == nil || errors.Is(err, state.ErrNotFound) {
		t.Errorf("Credential on a closed store = %v, want an error that does not say that nothing is there", err)
	}
	done := make(chan error, 1)
	s.Later(func(err error) { done <- err }, state.Change{Credential: &c})
	if err := <-done; err == nil {
		t.Error("Later on a closed store ended with nil, want an error")
	}
}

func reopened(t *testing.T, h Harness) {
	s := h.Open(t)
	c, k := credential(address, 3), sink("sink.file.a")
	commit(t, s, state.Change{Credential: &c, Intent: intent(1)}, state.Change{Sink: &k}, state.Change{MetaKey: "k", Meta: []byte("v")})
	name, err := s.PutBlob(t.Context(), []byte("content"))
	if err != nil {
		t.Fatalf("PutBlob = %v", err)
	}
	before, hash := s.Info(), s.Hash("l", []byte("b"))
	s = h.Reopen(t, s)
	t.Cleanup(func() { _ = s.Close() })
	got, i := read(t, s, address)
	diff(t, "the credential", c, got)
	diff(t, "the intent", intent(1), i)
	gotSink, err := s.Sink(t.Context(), "sink.file.a")
	if err != nil {
		t.Errorf("Sink = %v", err)
	}
	diff(t, "the sink", k, gotSink)
	if b, err := s.Blob(t.Context(), name); err != nil || string(b) != "content" {
		t.Errorf("Blob = %q, %v", b, err)
	}
	if b, err := s.Meta(t.Context(), "k"); err != nil || string(b) != "v" {
		t.Errorf("Meta = %q, %v", b, err)
	}
	after := s.Info()
	if after.Lineage != before.Lineage || after.Serial < before.Serial || after.Records != 2 || after.Intents != 1 || s.Hash("l", []byte("b")) != hash {
		t.Errorf("Info went from %+v to %+v, the hash from %s to %s", before, after, hash, s.Hash("l", []byte("b")))
	}
}

func laterAtClose(t *testing.T, h Harness) {
	s := h.Open(t)
	c := credential(address, 3)
	s.Later(nil, state.Change{Credential: &c})
	s = h.Reopen(t, s)
	t.Cleanup(func() { _ = s.Close() })
	got, _ := read(t, s, address)
	diff(t, "the credential", c, got)
}
