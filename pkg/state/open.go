package state

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The state's own values.
const (
	houseSchema  = "schema"
	houseLineage = "lineage"
	houseStatus  = "status"   // sealed, with the lineage; see status
	houseKey     = "key.1"    // the data key, wrapped by the key source
	houseHashKey = "hash_key" // sealed under the data key
	houseWritten = "written"  // when the last commit was made, by the machine's clock; see Info.Written
)

// mapAhead is the address space that bbolt's memory map takes from the start,
// so that the file can grow without waiting for readers to let go of the map.
const mapAhead = 1 << 30

func openBolt(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         100 * time.Millisecond,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapAhead,
		PageSize:        4096,
	})
}

// create makes a new state beside its place and renames it there, so that a
// crash leaves either none or a whole one.
func create(ctx context.Context, path string, key KeySource) (err error) {
	dataKey, hashKey, lineage := make([]byte, keySize), make([]byte, keySize), make([]byte, 16)
	for _, b := range [][]byte{dataKey, hashKey, lineage} {
		_, _ = rand.Read(b)
	}
	wrapped, err := key.Wrap(ctx, dataKey)
	if err != nil {
		return err
	}
	s, err := newSealer(dataKey)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp)
		}
	}()
	db, err := openBolt(tmp)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		house := tx.Bucket([]byte(bucketHouse))
		for _, v := range []struct {
			key   string
			value []byte
		}{
			{houseSchema, binary.BigEndian.AppendUint32(nil, Schema)},
			{houseLineage, []byte(hex.EncodeToString(lineage))},
			{houseStatus, s.sealStatus(hex.EncodeToString(lineage), status{})},
			{houseKey, wrapped},
			{houseHashKey, s.seal(sealHashKey, houseHashKey, hashKey)},
		} {
			if err := house.Put([]byte(v.key), v.value); err != nil {
				return err
			}
		}
		return nil
	})
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// openFile checks the file and opens it. The caller excludes readers.
func (s *Bolt) openFile() (err error) {
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening the state: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	readAhead(f)
	metas, torn, err := readMetas(f)
	if err != nil {
		return damagedFile(s.path, err)
	}
	if torn != nil {
		s.opts.Logger.Warn("one of the state's two headers is not valid, as after a power cut while it was written; going on from the other one",
			"path", s.path, "err", torn)
	}
	var sums indexSums
	if err := inspect(f, metas[0], sums.visitor()); err != nil {
		return damagedFile(s.path, err)
	}
	if err := guard(func() (err error) { s.db, err = openBolt(s.path); return err }); err != nil {
		if errors.Is(err, bolterrors.ErrTimeout) {
			return fmt.Errorf("opening the state: %w", heldWithoutLock(f, s.path))
		}
		return damagedFile(s.path, err)
	}
	s.file, s.ackedTx, s.allocated = f, metas[0].txid, 0
	s.found(metas)
	s.info.records.Store(int64(sums.records))
	s.info.intents.Store(int64(sums.intents))
	s.mismatch, s.tally = sums.differ(), sums.tally
	return nil
}

func (s *Bolt) closeFile() error {
	var err error
	if s.db != nil && !s.failed {
		err = s.db.Close()
	}
	s.db = nil
	if s.file != nil {
		if cerr := s.file.Close(); err == nil {
			err = cerr
		}
		s.file = nil
	}
	return err
}

func (s *Bolt) unwrap(ctx context.Context, wrapped, sealedHashKey []byte) error {
	if len(wrapped) == 0 || len(sealedHashKey) == 0 {
		return fmt.Errorf("%w: its wrapped key is missing; %s", ErrDamaged, restoreHint)
	}
	dataKey, err := s.opts.Key.Unwrap(ctx, wrapped)
	if err != nil {
		return err
	}
	if len(dataKey) != keySize {
		return fmt.Errorf("%w: the %s gave %d bytes for its data key, %d are needed", ErrKey, s.opts.Key, len(dataKey), keySize)
	}
	if s.sealer, err = newSealer(dataKey); err != nil {
		return err
	}
	hashKey, err := s.sealer.unseal(sealHashKey, houseHashKey, sealedHashKey)
	if err != nil {
		return fmt.Errorf("%w: what the %s unwrapped does not open it (%w)", ErrKey, s.opts.Key, err)
	}
	s.hasher = newHasher(hashKey)
	return nil
}

// indexSums compare the index with the records without holding either: both
// must give the same sum of hashes of (id, address).
type indexSums struct {
	seed             maphash.Seed
	index, record    uint64
	indexed, records int
	intents          int
	tally            uint64
}

func (s *indexSums) visitor() func(bucket string, key, value []byte) error {
	s.seed = maphash.MakeSeed()
	var buf []byte
	sum := func(id, address []byte) uint64 {
		buf = append(append(buf[:0], id...), address...)
		return maphash.Bytes(s.seed, buf)
	}
	return func(bucket string, key, value []byte) error {
		switch bucket {
		case bucketIndex:
			s.index += sum(value, key)
			s.indexed++
		case bucketRecords:
			head, _, _, _ := splitRecord(value)
			s.record += sum(key, headAddress(head))
			s.records++
		case bucketIntents:
			s.intents++
			s.tally += tallyOf(bucket, key)
		case bucketValues, bucketBlobs:
			s.tally += tallyOf(bucket, key)
		}
		return nil
	}
}

func (s *indexSums) differ() bool { return s.index != s.record || s.indexed != s.records }

// A status is what every commit writes of the state as a whole. It is sealed.
type status struct {
	serial uint64
	tally  uint64 // over the keys of intents, values and blobs
}

func (s *sealer) sealStatus(lineage string, v status) []byte {
	b := binary.BigEndian.AppendUint64(nil, v.serial)
	return s.seal(sealStatus, lineage, binary.BigEndian.AppendUint64(b, v.tally))
}

func (s *sealer) openStatus(lineage string, sealed []byte) (status, error) {
	b, err := s.unseal(sealStatus, lineage, sealed)
	if err != nil {
		return status{}, err
	}
	if len(b) != 16 {
		return status{}, errShort
	}
	return status{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// tallyOf is a key's share of its state's tally. A seal shows that a value is
// not the one of its key; only a sum over all keys shows that one is gone, and a
// lost intent must not look like none.
func tallyOf(bucket string, key []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(bucket))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(key)
	return h.Sum64()
}

// damages says of addresses why their records cannot be used. It is replaced as
// a whole, never changed.
type damages map[string]error

// nameDamage finds which addresses are concerned when index and records do not
// fit together, so that they are refused instead of taken for absent.
func (s *Bolt) nameDamage() error {
	found := make(damages)
	defer s.damage.Store(&found)
	if !s.mismatch {
		return nil
	}
	err := viewDB(s.db, func(tx *bbolt.Tx) error {
		index, records := tx.Bucket([]byte(bucketIndex)), tx.Bucket([]byte(bucketRecords))
		err := records.ForEach(func(id, value []byte) error {
			h, err := s.sealer.openHead(value)
			if err != nil {
				s.opts.Logger.Error("a record of the state is damaged", "path", s.path, "record", addressOf(id, value), "err", err)
			} else if string(index.Get([]byte(h.Address))) != string(id) {
				found[h.Address] = errors.New("the index of addresses does not lead to it")
			}
			return nil
		})
		if err != nil {
			return err
		}
		return index.ForEach(func(address, id []byte) error {
			h, err := s.sealer.openHead(records.Get(id))
			if err == nil && h.Address != string(address) {
				err = fmt.Errorf("the index of addresses leads to the record of %s", h.Address)
			}
			if err != nil {
				found[string(address)] = err
			}
			return nil
		})
	})
	for address, why := range found {
		s.opts.Logger.Error("a record of the state is damaged", "path", s.path, "address", address, "err", why)
	}
	return err
}

// mend forgets the damage of records that were given up.
func (s *Bolt) mend(b *batch) {
	old := *s.damage.Load()
	if len(old) == 0 {
		return
	}
	left := make(damages, len(old))
	for address, why := range old {
		if t := b.slots[address]; t == nil || t.damage != nil {
			left[address] = why
		}
	}
	s.damage.Store(&left)
}
