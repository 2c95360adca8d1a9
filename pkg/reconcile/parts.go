package reconcile

import (
	"bytes"
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

// Part is a piece of what a configuration was read from. Of a large directory
// most pieces are the same after a change, and only the others are packed and
// recorded again.
type Part struct {
	Sum  [sha256.Size]byte // of what it holds
	Pack func() ([]byte, error)
}

// parted begins the content of a configuration that is kept in parts, as no
// other begins. After it comes a [partedSnapshot].
var parted = []byte("\x00parts\n")

// partedSnapshot says what a configuration is put together from.
type partedSnapshot struct {
	First []byte       `json:"first"` // what Options.Snapshot wrote
	Parts []storedPart `json:"parts"`
}

// storedPart is a part that the state has.
type storedPart struct {
	Sum  []byte `json:"sum"`
	Name string `json:"name"`
}

// putParts keeps the parts that the state does not have yet, and returns what
// stands for the whole.
func (b *blobs) putParts(ctx context.Context, first []byte, parts []Part) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.learnParts(ctx); err != nil {
		return nil, err
	}
	all := partedSnapshot{First: first, Parts: make([]storedPart, len(parts))}
	var missing []int
	for i, p := range parts {
		all.Parts[i] = storedPart{Sum: p.Sum[:], Name: b.parts[p.Sum]}
		if all.Parts[i].Name == "" {
			missing = append(missing, i)
		}
	}
	errs := make([]error, len(parts))
	atOnceDo(missing, func(i int) {
		var content []byte
		if content, errs[i] = parts[i].Pack(); errs[i] == nil {
			all.Parts[i].Name, errs[i] = b.store.PutBlob(ctx, content)
		}
	})
	for i, p := range all.Parts {
		if errs[i] == nil {
			b.parts[parts[i].Sum] = p.Name
			b.name(p.Name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	text, err := json.Marshal(all)
	return append(slices.Clone(parted), text...), err
}

// partsTogether is how many parts are packed and recorded at a time: enough to
// share commits.
const partsTogether = 8

func atOnceDo(list []int, do func(i int)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(partsTogether, len(list)) {
		wg.Go(func() {
			for i := range work {
				do(i)
			}
		})
	}
	for _, i := range list {
		work <- i
	}
	close(work)
	wg.Wait()
}

// learnParts reads, once, which parts the state has of the configuration that is
// in force. One that it lost is not trusted to be there.
func (b *blobs) learnParts(ctx context.Context) error {
	if b.parts != nil {
		return nil
	}
	b.parts = map[[sha256.Size]byte]string{}
	name, err := b.store.Meta(ctx, metaAccepted)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading which configuration is in force: %w", err)
	}
	all, err := b.partedAt(ctx, string(name))
	if err != nil || all == nil {
		return nil // then all parts are recorded again
	}
	there, err := b.store.Blobs(ctx)
	if err != nil {
		return fmt.Errorf("reading what the state has of the configuration: %w", err)
	}
	slices.Sort(there)
	for _, p := range all.Parts {
		if _, ok := slices.BinarySearch(there, p.Name); ok && len(p.Sum) == sha256.Size {
			b.parts[[sha256.Size]byte(p.Sum)] = p.Name
		}
	}
	return nil
}

// partedAt is how a content is put together; nil: it is whole.
func (b *blobs) partedAt(ctx context.Context, name string) (*partedSnapshot, error) {
	content, err := b.store.Blob(ctx, name)
	if err != nil {
		return nil, err
	}
	return readParted(content)
}

func readParted(content []byte) (*partedSnapshot, error) {
	text, ok := bytes.CutPrefix(content, parted)
	if !ok {
		return nil, nil
	}
	var all partedSnapshot
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading what a configuration is put together from: %w", err)
	}
	return &all, nil
}

// withParts adds to names of configurations those of their parts.
func (b *blobs) withParts(ctx context.Context, names []string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, n := range slices.Clone(names) {
		list, known := b.partNames[n]
		if !known {
			all, err := b.partedAt(ctx, n)
			if err != nil {
				if !errors.Is(err, state.ErrNotFound) {
					errs = append(errs, err)
				}
				continue
			}
			if all != nil {
				for _, p := range all.Parts {
					list = append(list, p.Name)
				}
			}
			if b.partNames == nil {
				b.partNames = map[string][]string{}
			}
			b.partNames[n] = list
		}
		names = append(names, list...)
	}
	return names, errors.Join(errs...)
}

// forgetParts is for contents that are dropped.
func (b *blobs) forgetParts(names []string) {
	gone := map[string]bool{}
	for _, n := range names {
		gone[n] = true
		delete(b.partNames, n)
	}
	for sum, n := range b.parts {
		if gone[n] {
			delete(b.parts, sum)
		}
	}
}

// whole puts a configuration's content together again.
func (b *blobs) whole(ctx context.Context, name string) ([]byte, error) {
	content, err := b.get(ctx, name)
	if err != nil {
		return nil, err
	}
	all, err := readParted(content)
	if err != nil || all == nil {
		return content, err
	}
	out := all.First
	for _, p := range all.Parts {
		part, err := b.get(ctx, p.Name)
		if err != nil {
			return nil, fmt.Errorf("reading a part of the configuration: %w", err)
		}
		out = append(append(out, '\n'), part...)
	}
	return out, nil
}

// keepSnapshot records what a configuration was read from.
func (l *Loop) keepSnapshot(ctx context.Context, cfg *spec.Config) (string, error) {
	b, err := l.o.Snapshot(cfg)
	if err != nil {
		return "", fmt.Errorf("packing the configuration: %w", err)
	}
	if l.o.SnapshotParts != nil {
		if parts := l.o.SnapshotParts(cfg); len(parts) > 0 {
			if b, err = l.w.blobs.putParts(ctx, b, parts); err != nil {
				return "", fmt.Errorf("recording the configuration: %w", err)
			}
		}
	}
	name, err := l.w.blobs.put(ctx, b)
	if err != nil {
		return "", fmt.Errorf("recording the configuration: %w", err)
	}
	return name, nil
}
