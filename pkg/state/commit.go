package state

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Commit implements [Store]. When the context ends before a batch has taken the
// changes, they are not made; when it ends later, the outcome is waited for,
// which takes no longer than the disk does.
func (s *Bolt) Commit(ctx context.Context, changes ...Change) error {
	if len(changes) == 0 {
		return nil
	}
	ops, err := prepare(changes)
	if err != nil {
		return err
	}
	if err := s.commit(ctx, ops); err != nil {
		return err
	}
	setVersions(changes)
	return nil
}

func (s *Bolt) commit(ctx context.Context, ops []op) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	s.seal(ops)
	q := newRequest(ops)
	if err := s.writer.submit(q); err != nil {
		return err
	}
	return q.wait(ctx)
}

// Later implements [Store]. The versions in the changes' heads are set at once,
// as if the changes had been made; when done reports a failure, the records are
// to be read again. A read of an address that Later writes waits for it. done
// is called by the goroutine that writes: it must return soon and must not wait
// for the store.
func (s *Bolt) Later(done func(error), changes ...Change) {
	if done == nil {
		done = func(error) {}
	}
	ops, err := prepare(changes)
	if err != nil || len(ops) == 0 {
		done(err)
		return
	}
	s.seal(ops)
	q := newRequest(ops)
	q.waited, q.done = false, done
	setVersions(changes)
	if err := s.writer.submit(q); err != nil {
		done(err)
	}
}

// seal seals the values in the caller's goroutine, so that the writer's has
// nothing to do but write.
func (s *Bolt) seal(ops []op) {
	for i := range ops {
		switch o := &ops[i]; o.kind {
		case opRecord:
			plain := o.value
			o.value = s.sealer.sealRecord(o.head, plain)
			leaveDraft(plain)
		case opIntent:
			o.value = s.sealer.seal(sealIntent, o.address, o.value)
		case opMeta:
			if o.value != nil {
				o.value = s.sealer.seal(sealMeta, o.address, o.value)
			}
		case opBlob:
			o.value = s.sealer.seal(sealBlob, o.address, o.value)
		}
	}
}

// PutBlob implements [Store].
func (s *Bolt) PutBlob(ctx context.Context, content []byte) (string, error) {
	if len(content) > maxValue {
		return "", fmt.Errorf("storing a blob: its %d bytes are too many, %d are possible", len(content), maxValue)
	}
	name := s.hasher.hash("blob", content)
	if _, err := s.Blob(ctx, name); err == nil {
		return name, nil
	} else if !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if err := s.commit(ctx, []op{{kind: opBlob, address: name, value: pack(content)}}); err != nil {
		return "", fmt.Errorf("storing a blob: %w", err)
	}
	return name, nil
}

// DropBlobs implements [Store]. Names that are not there are no error.
func (s *Bolt) DropBlobs(ctx context.Context, names []string) error {
	ops := make([]op, 0, len(names))
	for _, n := range names {
		if n != "" {
			ops = append(ops, op{kind: opDropBlob, address: n})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return s.commit(ctx, ops)
}

// RotateKey wraps the data key by another key; records and hashes stay as they
// are, so it takes one commit whatever the state's size, and nobody waits for
// it. The next Open needs the new key. Before the state takes it, what the new
// key wrapped is unwrapped again: a key that could not open the state is refused.
// A crash leaves the former key or the new one working.
func (s *Bolt) RotateKey(ctx context.Context, to KeySource) error {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	renewed, _ := to.(*localKey)
	if renewed != nil && !renewed.renew {
		renewed = nil
	}
	if renewed != nil {
		if err := s.settleFormer(renewed); err != nil {
			return fmt.Errorf("rotating the state's key: the key of the last rotation could not take its place: %w", err)
		}
	}
	wrapped, err := to.Wrap(ctx, s.sealer.data)
	if err != nil {
		return fmt.Errorf("rotating the state's key: %w", err)
	}
	if renewed == nil {
		if err := opens(ctx, to, wrapped, s.sealer.data); err != nil {
			return fmt.Errorf("rotating the state's key: %w; the former one is still in force", err)
		}
	}
	if err := s.commit(ctx, []op{{kind: opHousehold, address: houseKey, value: wrapped}}); err != nil {
		return fmt.Errorf("rotating the state's key: %w", err)
	}
	if renewed != nil {
		if err := renewed.settle(); err != nil {
			return fmt.Errorf("rotating the state's key: the state is sealed with the key in %s, which could not take its place: %w; it does so when the state is opened next", renewed.next(), err)
		}
	}
	return nil
}

// settleFormer ends an earlier rotation whose key could not take its place: its
// file must not be written over while it is what opens the state.
func (s *Bolt) settleFormer(k *localKey) error {
	var wrapped []byte
	err := s.view(func(tx *bbolt.Tx) error {
		wrapped = append(wrapped, tx.Bucket([]byte(bucketHouse)).Get([]byte(houseKey))...)
		return nil
	})
	if err != nil || wrappedLocally(k.String(), wrapped) != nil || !k.sealedByNext(wrapped) {
		return err
	}
	return k.settle()
}

func opens(ctx context.Context, key KeySource, wrapped, dataKey []byte) error {
	plain, err := key.Unwrap(ctx, wrapped)
	if err == nil && !hmac.Equal(plain, dataKey) {
		err = fmt.Errorf("%w: the %s gives back another key than it was given", ErrKey, key)
	}
	clear(plain)
	return err
}

// write is the writer's: it makes one transaction of a batch of requests.
func (s *Bolt) write(requests []*request) {
	for _, q := range requests {
		q.err = nil
	}
	if err := s.writeBatch(requests); err != nil {
		for _, q := range requests {
			if q.err == nil {
				q.err = err
			}
		}
	}
	s.writer.wrote(requests)
	touched := 0
	for _, q := range requests {
		touched += len(q.ops)
		q.finish()
	}
	s.touch(touched)
	if time.Since(s.markedAt) > markEvery {
		s.mark()
	}
}

// writeBatch sets the errors of requests that fail by themselves, and returns
// what concerns all others.
func (s *Bolt) writeBatch(requests []*request) error {
	if err := s.trust(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.abandon(); err != nil {
		return err
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.fail(err)
	}
	panicked := true
	err = guard(func() error {
		err := s.transact(tx, requests)
		panicked = false
		return err
	})
	if panicked {
		// bbolt may be left with its locks held: nothing of it is used again.
		s.failed = true
		return s.fail(err)
	}
	return err
}

// makeDurable commits, and lets nobody begin to read the whole meanwhile.
func (s *Bolt) makeDurable(tx *bbolt.Tx) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	txid := uint64(tx.ID())
	if err := tx.Commit(); err != nil {
		return s.fail(err)
	}
	s.ackedTx = txid
	s.leaves()
	return nil
}

// putStatus says in the file how far it has come, and when that was.
func (s *Bolt) putStatus(house *bbolt.Bucket, now status) error {
	if err := house.Put([]byte(houseStatus), s.sealer.sealStatus(s.lineage, now)); err != nil {
		return err
	}
	return house.Put([]byte(houseWritten), binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())))
}

func (s *Bolt) transact(tx *bbolt.Tx, requests []*request) error {
	room := s.makeRoom(tx, requests)
	s.lookInPlace()
	b := newBatch(tx, s.sealer, *s.damage.Load())
	for _, q := range requests {
		q.err = s.admitAway(b, q)
		if q.err == nil {
			q.err = room.admit(b, q, s.info.intents.Load()+b.more.intents)
		}
		if q.err == nil {
			q.err = b.apply(q)
		}
	}
	if b.applied == 0 {
		return tx.Rollback()
	}
	serial := s.info.serial.Load() + 1
	err := b.flush()
	tally := s.tally + b.more.tally
	if err == nil {
		err = s.putStatus(b.house, status{serial, tally})
	}
	if err != nil {
		_ = tx.Rollback()
		return fmt.Errorf("writing the state: %w", err)
	}
	if err := s.makeDurable(tx); err != nil {
		return err
	}
	s.tally = tally
	s.info.serial.Store(serial)
	s.info.syncs.Add(2) // bbolt syncs the pages, then the header
	s.info.records.Add(b.more.records)
	s.info.intents.Add(b.more.intents)
	s.mend(b)
	return nil
}
