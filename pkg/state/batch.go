package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// The buckets of the file.
const (
	bucketHouse   = "state"   // the state's own: schema, lineage, serial, keys
	bucketIndex   = "index"   // address -> id
	bucketRecords = "records" // id -> record
	bucketIntents = "intents" // id -> sealed intent
	bucketValues  = "values"  // name -> sealed value (Meta)
	bucketBlobs   = "blobs"   // name -> sealed content
)

func buckets() []string {
	return []string{bucketHouse, bucketIndex, bucketRecords, bucketIntents, bucketValues, bucketBlobs}
}

// recordFill is how full a page of records is left when it is split: records
// come in the order of their ids and grow little afterwards.
const recordFill = 0.9

// A slot is what a batch knows of one address: what the file holds, as changed
// by the batch's requests so far.
type slot struct {
	address string
	id      uint64
	exists  bool
	kind    Kind
	version uint64
	intent  bool
	damage  error // the stored record fails its check
	misled  bool  // the index leads to a record of another address

	indexed              bool // the file's index has the address
	recordPut, recordDel bool
	intentPut, intentDel bool
	record, sealedIntent []byte
}

// A batch collects what its requests change, so that each page of the file is
// touched once and in the order of its keys.
type batch struct {
	tx     *bbolt.Tx
	sealer *sealer
	damage damages

	house, index, records, intents, values, blobs *bbolt.Bucket
	// A cursor keeps its way through the pages, which a Get makes anew each time.
	atIndex, atRecords, atIntents *bbolt.Cursor

	key     []byte // scratch
	slots   map[string]*slot
	named   map[string]map[string][]byte // bucket -> key -> value (nil: delete)
	given   map[string]bool              // keys whose value was given as it was applied
	applied int                          // requests that change something
	more    struct {
		records, intents int64
		tally            uint64
	}
}

func newBatch(tx *bbolt.Tx, s *sealer, damage damages) *batch {
	b := &batch{tx: tx, sealer: s, damage: damage, slots: make(map[string]*slot), named: make(map[string]map[string][]byte)}
	b.house, b.index, b.records = tx.Bucket([]byte(bucketHouse)), tx.Bucket([]byte(bucketIndex)), tx.Bucket([]byte(bucketRecords))
	b.intents, b.values, b.blobs = tx.Bucket([]byte(bucketIntents)), tx.Bucket([]byte(bucketValues)), tx.Bucket([]byte(bucketBlobs))
	b.records.FillPercent = recordFill
	b.atIndex, b.atRecords, b.atIntents = b.index.Cursor(), b.records.Cursor(), b.intents.Cursor()
	return b
}

// slot finds what is known of an address.
func (b *batch) slot(address string) *slot {
	if s := b.slots[address]; s != nil {
		return s
	}
	s := &slot{address: address, damage: b.damage[address]}
	b.slots[address] = s
	b.key = append(b.key[:0], address...)
	key := get(b.atIndex, b.key)
	if key == nil {
		return s
	}
	s.indexed, s.exists = true, true
	if len(key) != 8 {
		s.damage = errShort
		return s
	}
	s.id = binary.BigEndian.Uint64(key)
	s.intent = get(b.atIntents, key) != nil
	head, err := b.sealer.openHead(get(b.atRecords, key))
	if err == nil && head.Address != address {
		s.misled = true
		err = fmt.Errorf("the index of addresses leads to the record of %s", head.Address)
	}
	if err != nil {
		s.damage = err
		return s
	}
	s.kind, s.version = head.Kind, head.Version
	return s
}

// get is the value of a key.
func get(c *bbolt.Cursor, key []byte) []byte {
	if k, v := c.Seek(key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

// apply checks all of a request's conditions and then makes its changes; a
// request that fails has changed nothing.
func (b *batch) apply(q *request) error {
	for i := range q.ops {
		if err := b.allowed(&q.ops[i]); err != nil {
			return err
		}
	}
	for i := range q.ops {
		if err := b.change(&q.ops[i]); err != nil {
			return err
		}
	}
	b.applied++
	return nil
}

// allowed checks one write against what is stored.
func (b *batch) allowed(o *op) error {
	if o.kind >= opMeta {
		return nil
	}
	s := b.slot(o.address)
	// Deleting a damaged record whatever its version is how a person gives it
	// up; a good one of another address must not go in its stead.
	givenUp := o.kind == opDelete && o.version == 0 && s.exists && !s.misled
	if s.damage != nil && !givenUp {
		return damagedRecord(o.address, s.damage)
	}
	return permitted(o, s.exists, s.kind, s.version)
}

// permitted is the contract's compare-and-swap.
func permitted(o *op, exists bool, kind Kind, version uint64) error {
	switch o.kind {
	case opRecord:
		if exists && kind != o.record {
			return fmt.Errorf("writing the record of %s: %w: it is a %s now and was to be a %s", o.address, ErrConflict, kind, o.record)
		}
		if o.version != version {
			return fmt.Errorf("writing the record of %s: %w: it has version %d, and the change was made from version %d: read it again", o.address, ErrConflict, version, o.version)
		}
	case opDelete:
		if !exists {
			return fmt.Errorf("deleting the record of %s: %w", o.address, ErrNotFound)
		}
		if o.version != 0 && o.version != version {
			return fmt.Errorf("deleting the record of %s: %w: it has version %d, and version %d was to be deleted: read it again", o.address, ErrConflict, version, o.version)
		}
	}
	return nil
}

func (b *batch) change(o *op) error {
	switch o.kind {
	case opRecord:
		return b.putRecord(o.address, o.record, o.version+1, o.value)
	case opDelete:
		b.delete(b.slot(o.address))
	case opIntent:
		return b.putIntent(o)
	case opClear:
		b.clearIntent(b.slot(o.address))
	case opMeta:
		b.putValue(o)
	case opBlob:
		b.put(bucketBlobs, o.address, o.value)
	case opDropBlob:
		b.put(bucketBlobs, o.address, nil)
	case opHousehold:
		b.put(bucketHouse, o.address, o.value)
	}
	return nil
}

// putValue writes a caller's named value. One that is given as it is applied is asked
// for once in a batch: all that wrote it were there before the batch was made.
func (b *batch) putValue(o *op) {
	if o.now == nil {
		b.put(bucketValues, o.address, o.value)
		delete(b.given, o.address)
		return
	}
	if b.given[o.address] {
		return
	}
	value := o.now()
	if value != nil {
		value = b.sealer.seal(sealMeta, o.address, value)
	}
	b.put(bucketValues, o.address, value)
	if b.given == nil {
		b.given = make(map[string]bool)
	}
	b.given[o.address] = true
}

func (b *batch) put(bucket, key string, value []byte) {
	if b.named[bucket] == nil {
		b.named[bucket] = make(map[string][]byte)
	}
	b.named[bucket][key] = value
}

func (b *batch) putRecord(address string, kind Kind, version uint64, value []byte) error {
	s := b.slot(address)
	if !s.exists {
		if s.id == 0 {
			id, err := b.records.NextSequence()
			if err != nil {
				return fmt.Errorf("numbering the record of %s: %w", address, err)
			}
			s.id = id
		}
		b.more.records++
	}
	s.exists, s.kind, s.version = true, kind, version
	s.record, s.recordPut, s.recordDel = value, true, false
	return nil
}

func (b *batch) putIntent(o *op) error {
	s := b.slot(o.address)
	if !s.exists {
		// A record that only its intent made has version 0, so that who writes the
		// first real one need not know of it.
		h := Head{Address: o.address, Kind: KindCredential}
		value := b.sealer.sealRecord(appendHead(nil, &h), appendCredential(nil, &Credential{}))
		if err := b.putRecord(o.address, KindCredential, 0, value); err != nil {
			return err
		}
	}
	if !s.intent {
		b.more.intents++
	}
	s.intent, s.sealedIntent, s.intentPut, s.intentDel = true, o.value, true, false
	return nil
}

func (b *batch) clearIntent(s *slot) {
	if !s.intent {
		return
	}
	b.more.intents--
	s.intent, s.intentPut, s.intentDel = false, false, true
	if s.exists && s.version == 0 {
		b.delete(s) // nothing but the intent was ever known of it
	}
}

func (b *batch) delete(s *slot) {
	if s.intent {
		b.more.intents--
	}
	b.more.records--
	s.exists, s.version, s.damage = false, 0, nil
	s.recordPut, s.recordDel = false, true
	s.intent, s.intentPut, s.intentDel = false, false, true
}

// flush brings the changes into the transaction.
func (b *batch) flush() error {
	slots := make([]*slot, 0, len(b.slots))
	for _, s := range b.slots {
		slots = append(slots, s)
	}
	slices.SortFunc(slots, func(x, y *slot) int {
		switch {
		case x.id < y.id:
			return -1
		case x.id > y.id:
			return 1
		}
		return 0
	})
	for _, s := range slots {
		if err := b.flushSlot(s); err != nil {
			return fmt.Errorf("writing the record of %s: %w", s.address, err)
		}
	}
	slices.SortFunc(slots, func(x, y *slot) int { return strings.Compare(x.address, y.address) })
	for _, s := range slots {
		if err := b.flushIndex(s); err != nil {
			return fmt.Errorf("writing the address %s: %w", s.address, err)
		}
	}
	for name, values := range b.named {
		for key, value := range values {
			if err := b.set(name, []byte(key), value); err != nil {
				return fmt.Errorf("writing %q: %w", key, err)
			}
		}
	}
	return nil
}

func (b *batch) flushSlot(s *slot) error {
	if s.id == 0 {
		return nil
	}
	key := binary.BigEndian.AppendUint64(nil, s.id)
	var err error
	switch {
	case s.recordPut:
		err = b.records.Put(key, s.record)
	case s.recordDel:
		err = b.records.Delete(key)
	}
	switch {
	case err != nil:
	case s.intentPut:
		err = b.set(bucketIntents, key, s.sealedIntent)
	case s.intentDel:
		err = b.set(bucketIntents, key, nil)
	}
	return err
}

func (b *batch) flushIndex(s *slot) error {
	switch {
	case s.exists && !s.indexed:
		return b.index.Put([]byte(s.address), binary.BigEndian.AppendUint64(nil, s.id))
	case !s.exists && s.indexed:
		return b.index.Delete([]byte(s.address))
	}
	return nil
}

// set writes or deletes (nil) a value, and keeps the tally of keys.
func (b *batch) set(bucket string, key, value []byte) error {
	in := b.bucket(bucket)
	if bucket != bucketHouse {
		if was := b.has(bucket, in, key); was && value == nil {
			b.more.tally -= tallyOf(bucket, key)
		} else if !was && value != nil {
			b.more.tally += tallyOf(bucket, key)
		}
	}
	if value == nil {
		return in.Delete(key)
	}
	return in.Put(key, value)
}

func (b *batch) has(name string, in *bbolt.Bucket, key []byte) bool {
	if name == bucketIntents {
		return get(b.atIntents, key) != nil
	}
	return in.Get(key) != nil
}

func (b *batch) bucket(name string) *bbolt.Bucket {
	switch name {
	case bucketIntents:
		return b.intents
	case bucketValues:
		return b.values
	case bucketBlobs:
		return b.blobs
	}
	return b.house
}

// String names the kind of a record.
func (k Kind) String() string {
	switch k {
	case KindCredential:
		return "credential"
	case KindSink:
		return "sink"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
