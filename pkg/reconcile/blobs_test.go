package reconcile

import (
	"context"
	"testing"

	"tokend/pkg/state"
)

// movingStore moves a record as soon as all heads were read.
type movingStore struct {
	state.Store
	t        *testing.T
	from, to string
}

func (s *movingStore) Heads(ctx context.Context, f func(state.Head) error) error {
	if err := s.Store.Heads(ctx, f); err != nil || s.from == "" {
		return err
	}
	rec, _, err := s.Credential(ctx, s.from)
	if err != nil {
		s.t.Fatal(err)
	}
	gone := state.Change{Delete: s.from, DeleteVersion: rec.Head.Version}
	rec.Head.Address, rec.Head.Version = s.to, 0
	s.from = ""
	return s.Store.Commit(ctx, gone, state.Change{Credential: &rec})
}

// A record that is moved while the state is looked through goes on to refer to
// what issued its token.
func TestASweepDropsNothingOfWhatIsMovedMeanwhile(t *testing.T) {
	ctx, memory := t.Context(), state.NewMemory(state.MemoryOptions{})
	used, err := memory.PutBlob(ctx, []byte("the provider that issued it"))
	if err != nil {
		t.Fatal(err)
	}
	unused, err := memory.PutBlob(ctx, []byte("what nothing refers to"))
	if err != nil {
		t.Fatal(err)
	}
	rec := state.Credential{Head: state.Head{Address: "credential.a.old"}, Grant: &state.Grant{Generation: 1, Endpoint: used}}
	if err := memory.Commit(ctx, state.Change{Credential: &rec}); err != nil {
		t.Fatal(err)
	}
	b := &blobs{store: &movingStore{memory, t, "credential.a.old", "credential.a.new"}}
	_, _ = b.sweep(ctx)
	if _, err := memory.Blob(ctx, used); err != nil {
		t.Errorf("after a sweep: %v", err)
	}
	if n, err := b.sweep(ctx); n != 1 || err != nil {
		t.Errorf("the next sweep dropped %d, %v; want what nothing refers to", n, err)
	}
	if _, err := memory.Blob(ctx, unused); err == nil {
		t.Error("what nothing refers to is there still")
	}
}
