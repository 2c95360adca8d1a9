package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// blobs are the state's contents that records and named values refer to:
// configurations that were in force, providers that issued a grant. What nothing
// refers to any more is dropped, but never what this process may be about to
// refer to: everything that it named or read stays until it ends.
type blobs struct {
	store state.Store

	mu    sync.Mutex
	named map[string]bool

	parts     map[[sha256.Size]byte]string // that the state has, by what they hold; nil: not known yet
	partNames map[string][]string          // of configurations, by their name
}

// put keeps a content, and its name from being dropped.
func (b *blobs) put(ctx context.Context, content []byte) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name, err := b.store.PutBlob(ctx, content)
	if err == nil {
		b.name(name)
	}
	return name, err
}

// get reads a content, and keeps its name from being dropped: who reads it may
// refer to it again.
func (b *blobs) get(ctx context.Context, name string) ([]byte, error) {
	b.mu.Lock()
	b.name(name)
	b.mu.Unlock()
	return b.store.Blob(ctx, name)
}

func (b *blobs) name(name string) {
	if b.named == nil {
		b.named = map[string]bool{}
	}
	b.named[name] = true
}

// drop forgets contents of which the caller knows that nothing refers to them.
func (b *blobs) drop(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range names {
		delete(b.named, n)
	}
	b.forgetParts(names)
	return b.store.DropBlobs(ctx, names)
}

// sweep drops what nothing refers to. It reads every record, so it is for
// seldom. A record that cannot be read may refer to anything: then nothing is
// dropped.
func (b *blobs) sweep(ctx context.Context) (int, error) {
	listed, err := b.store.Blobs(ctx)
	if err != nil {
		return 0, err
	}
	used, err := b.used(ctx)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	left := slices.DeleteFunc(listed, func(n string) bool { return used[n] || b.named[n] })
	if len(left) == 0 {
		return 0, nil
	}
	return len(left), b.store.DropBlobs(ctx, left)
}

// used are the names that the state refers to.
func (b *blobs) used(ctx context.Context) (map[string]bool, error) {
	var heads []state.Head
	if err := b.store.Heads(ctx, func(h state.Head) error { heads = append(heads, h); return nil }); err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, h := range heads {
		if err := b.usedBy(ctx, h, used); err != nil {
			return nil, err // one that is not there any more may be at another address now
		}
	}
	names, err := snapshotNames(ctx, b.store)
	if err != nil {
		return nil, err
	}
	if names, err = b.withParts(ctx, names); err != nil {
		return nil, err
	}
	for _, n := range names {
		used[n] = true
	}
	return used, nil
}

func (b *blobs) usedBy(ctx context.Context, h state.Head, used map[string]bool) error {
	if h.Kind == state.KindSink {
		return nil // it refers to none
	}
	rec, intent, err := b.store.Credential(ctx, h.Address)
	if rec.Grant != nil {
		used[rec.Grant.Endpoint] = true
	}
	for i := range rec.Retiring {
		used[rec.Retiring[i].Endpoint] = true
	}
	if rec.Raw != nil {
		used[rec.Raw.Endpoint] = true
	}
	for i := range rec.Kept {
		used[rec.Kept[i].Endpoint] = true
	}
	if intent != nil {
		used[intent.Endpoint] = true
	}
	return err
}

// snapshotNames are the names of the configurations that the state refers to.
func snapshotNames(ctx context.Context, s state.Store) ([]string, error) {
	var names []string
	b, err := s.Meta(ctx, metaAccepted)
	if err == nil {
		names = append(names, string(b))
	} else if !errors.Is(err, state.ErrNotFound) {
		return nil, fmt.Errorf("reading which configuration is in force: %w", err)
	}
	b, err = s.Meta(ctx, metaLeaving)
	if errors.Is(err, state.ErrNotFound) {
		return names, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which configurations removals need: %w", err)
	}
	var leaving map[string][]spec.Address
	if err := json.Unmarshal(b, &leaving); err != nil {
		return nil, fmt.Errorf("reading which configurations removals need: %w", err)
	}
	for n := range leaving {
		names = append(names, n)
	}
	return names, nil
}

const (
	// sweepFrom is the number of contents from which on a sweep is worth reading
	// all records: below it what a crash left behind costs next to nothing.
	sweepFrom = 64
	// fewRecords are so few that reading them costs next to nothing, too.
	fewRecords = 1000
)

// few says whether the state has few records.
func few(ctx context.Context, s state.Store) bool {
	n, enough := 0, errors.New("enough")
	err := s.Heads(ctx, func(state.Head) error {
		if n++; n > fewRecords {
			return enough
		}
		return nil
	})
	return err == nil
}

// sweepBlobs drops what crashes, and providers that changed long ago, have left
// in the state: once in a process, in the background.
func (l *Loop) sweepBlobs() {
	l.swept.Do(func() {
		l.wg.Add(1)
		go func() {
			defer l.wg.Done()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				select {
				case <-l.ended:
					cancel()
				case <-ctx.Done():
				}
			}()
			names, err := l.o.Store.Blobs(ctx)
			from := sweepFrom
			if few(ctx, l.o.Store) {
				from = 1
			}
			if err != nil || len(names) < from {
				return
			}
			needed, err := snapshotNames(ctx, l.o.Store)
			if err != nil {
				return
			}
			if needed, err = l.w.blobs.withParts(ctx, needed); err != nil || len(names)-len(needed) < from {
				return
			}
			n, err := l.w.blobs.sweep(ctx)
			if err != nil && ctx.Err() == nil {
				l.log.Warn("looking for what the state no longer needs failed; nothing was dropped", "error", err)
			}
			if n > 0 {
				l.log.Info("dropped what nothing in the state refers to any more", "contents", n)
			}
		}()
	})
}
