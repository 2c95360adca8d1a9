package state

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
)

// guard runs f and makes an error of a panic: bbolt panics on a page that
// contradicts itself, and a page that the disk cannot read is a fault in the
// memory map.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return f()
}

// view runs f in a read transaction. It may see the commit that is under way: what
// this process makes of that comes to the disk behind it.
func (s *Bolt) view(f func(*bbolt.Tx) error) error { return s.viewFrom(s.begin, f) }

// viewDurable is view, and sees nothing that a power cut could take back: for what
// outlives this process, as a copy does. It waits for a commit that is under way.
func (s *Bolt) viewDurable(f func(*bbolt.Tx) error) error {
	return s.viewFrom(func() (*bbolt.Tx, error) {
		s.committing.RLock()
		defer s.committing.RUnlock()
		return s.begin()
	}, f)
}

func (s *Bolt) viewFrom(begin func() (*bbolt.Tx, error), f func(*bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tx, err := begin()
	if err != nil {
		return err
	}
	return viewTx(tx, f)
}

func (s *Bolt) begin() (*bbolt.Tx, error) {
	if s.db == nil || s.hidden.Load() {
		return nil, s.absent()
	}
	return beginRead(s.db)
}

func beginRead(db *bbolt.DB) (*bbolt.Tx, error) {
	tx, err := db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	return tx, nil
}

func viewDB(db *bbolt.DB, f func(*bbolt.Tx) error) error {
	tx, err := beginRead(db)
	if err != nil {
		return err
	}
	return viewTx(tx, f)
}

func viewTx(tx *bbolt.Tx, f func(*bbolt.Tx) error) error {
	defer func() { _ = tx.Rollback() }()
	return guard(func() error { return f(tx) })
}

// absent says why there is no file to read, or none that may be.
func (s *Bolt) absent() error {
	s.health.Lock()
	defer s.health.Unlock()
	return cmp.Or(s.unwell, ErrClosed)
}

// Heads implements [Store]. A record whose head fails its check does not end
// the scan: f is called for all the others, and then the error is [ErrDamaged]
// and names each.
func (s *Bolt) Heads(ctx context.Context, f func(Head) error) error {
	if err := s.writer.settle(ctx, ""); err != nil {
		return err
	}
	var damaged []error
	known := maps.Clone(*s.damage.Load())
	n := 0
	err := s.viewDurable(func(tx *bbolt.Tx) error {
		intents := tx.Bucket([]byte(bucketIntents)).Cursor()
		open, _ := intents.First()
		return tx.Bucket([]byte(bucketRecords)).ForEach(func(id, value []byte) error {
			if n++; n%1000 == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.scanned(tx, n)
			for open != nil && bytes.Compare(open, id) < 0 {
				open, _ = intents.Next()
			}
			h, err := s.sealer.openHead(value)
			if err != nil {
				damaged = append(damaged, damagedRecord(addressOf(id, value), err))
				delete(known, addressOf(id, value))
				return nil
			}
			if known[h.Address] != nil {
				return nil
			}
			h.Intent = bytes.Equal(open, id)
			return f(h)
		})
	})
	s.Trim()
	if err != nil {
		return err
	}
	for _, address := range slices.Sorted(maps.Keys(known)) {
		damaged = append(damaged, damagedRecord(address, known[address]))
	}
	return errors.Join(damaged...)
}

// addressOf names a damaged record as well as can be.
func addressOf(id, value []byte) string {
	head, _, _, _ := splitRecord(value)
	if a := headAddress(head); a != nil {
		return string(a)
	}
	return fmt.Sprintf("record %x", id)
}

// plainTexts holds buffers for unsealed records; they are cleared before they
// come back.
type plainTexts struct{ pool sync.Pool }

const plainSize = 4 << 10

func (p *plainTexts) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, plainSize)
	return &b
}

func (p *plainTexts) put(b *[]byte) { p.pool.Put(b) }

// record reads one record and hands its head and unsealed rest to f, with the
// sealed intent. f must not keep either slice.
func (s *Bolt) record(ctx context.Context, address string, kind Kind, f func(h Head, plain, intent []byte) error) error {
	if err := s.writer.settle(ctx, address); err != nil {
		return err
	}
	s.touch(1)
	scratch := s.plain.get()
	defer s.plain.put(scratch)
	return s.view(func(tx *bbolt.Tx) error {
		if why := (*s.damage.Load())[address]; why != nil {
			return damagedRecord(address, why)
		}
		id := tx.Bucket([]byte(bucketIndex)).Get([]byte(address))
		if id == nil {
			return fmt.Errorf("reading the record of %s: %w", address, ErrNotFound)
		}
		h, plain, err := s.sealer.openRecord(tx.Bucket([]byte(bucketRecords)).Get(id), *scratch)
		defer clear(plain)
		switch {
		case err != nil:
			return damagedRecord(address, err)
		case h.Address != address:
			return damagedRecord(address, fmt.Errorf("it says that it is the record of %s", h.Address))
		case h.Kind != kind:
			return fmt.Errorf("reading the record of %s as a %s: %w: it is a %s", address, kind, ErrNotFound, h.Kind)
		}
		intent := tx.Bucket([]byte(bucketIntents)).Get(id)
		h.Intent = intent != nil
		return f(h, plain, intent)
	})
}

// Credential implements [Store].
func (s *Bolt) Credential(ctx context.Context, address string) (c Credential, open *Intent, err error) {
	err = s.record(ctx, address, KindCredential, func(h Head, plain, sealed []byte) error {
		if c, err = decodeCredential(plain); err != nil {
			return damagedRecord(address, err)
		}
		c.Head = h
		if sealed == nil {
			return nil
		}
		b, err := s.sealer.unseal(sealIntent, address, sealed)
		if err != nil {
			return damagedRecord(address, fmt.Errorf("its open intent: %w", err))
		}
		i, err := decodeIntent(b)
		if err != nil {
			return damagedRecord(address, fmt.Errorf("its open intent: %w", err))
		}
		open = &i
		return nil
	})
	if err != nil {
		return Credential{}, nil, err
	}
	return c, open, nil
}

// Sink implements [Store].
func (s *Bolt) Sink(ctx context.Context, address string) (k Sink, err error) {
	err = s.record(ctx, address, KindSink, func(h Head, plain, _ []byte) error {
		if k, err = decodeSink(plain); err != nil {
			return damagedRecord(address, err)
		}
		k.Head = h
		return nil
	})
	if err != nil {
		return Sink{}, err
	}
	return k, nil
}

// named reads and unseals a value by its name.
func (s *Bolt) named(ctx context.Context, bucket, what, name string, purpose byte) (plain []byte, err error) {
	if err := s.writer.settle(ctx, name); err != nil {
		return nil, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		sealed := tx.Bucket([]byte(bucket)).Get([]byte(name))
		if sealed == nil {
			return fmt.Errorf("reading the %s %q: %w", what, name, ErrNotFound)
		}
		plain, err = s.sealer.unseal(purpose, name, sealed)
		if err != nil {
			return fmt.Errorf("reading the %s %q: %w: %w; %s", what, name, ErrDamaged, err, restoreHint)
		}
		return nil
	})
	return plain, err
}

// Meta implements [Store].
func (s *Bolt) Meta(ctx context.Context, key string) ([]byte, error) {
	return s.named(ctx, bucketValues, "value", key, sealMeta)
}

// Blob implements [Store].
func (s *Bolt) Blob(ctx context.Context, name string) ([]byte, error) {
	packed, err := s.named(ctx, bucketBlobs, "blob", name, sealBlob)
	if err != nil {
		return nil, err
	}
	content, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("reading the blob %q: %w: %w; %s", name, ErrDamaged, err, restoreHint)
	}
	return content, nil
}

// Blobs implements [Store].
func (s *Bolt) Blobs(ctx context.Context) (names []string, err error) {
	if err := s.writer.settle(ctx, ""); err != nil {
		return nil, err
	}
	err = s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketBlobs)).ForEach(func(name, _ []byte) error {
			names = append(names, string(name))
			return nil
		})
	})
	return names, err
}
