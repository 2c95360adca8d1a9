package state

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// Limits of what one write may hold; far above what a sane record needs, and
// below what would make the file unwieldy.
const (
	maxAddress = 4 << 10
	maxMetaKey = 1 << 10
	maxValue   = 64 << 20
)

type opKind uint8

const (
	opRecord    opKind = iota // write the record of address
	opDelete                  // remove the record of address and its intent
	opIntent                  // open an intent for address
	opClear                   // clear address's intent
	opMeta                    // write (value) or delete (nil) a caller's named value
	opBlob                    // store value under address
	opDropBlob                // forget the blob address
	opHousehold               // write one of the state's own named values
)

// An op is the smallest write: a [Change] is one or two.
type op struct {
	kind    opKind
	address string // or the name of a meta value or blob
	record  Kind
	version uint64        // what the stored record must have
	head    []byte        // encoded, with the version that the write makes
	value   []byte        // encoded; sealed by who stores it
	now     func() []byte // of opMeta: gives the value as it is applied, and is sealed then
}

// prepare checks the changes' form and encodes them.
func prepare(changes []Change) ([]op, error) {
	ops := make([]op, 0, len(changes)+1)
	for i := range changes {
		var err error
		if ops, err = appendOps(ops, &changes[i]); err != nil {
			return nil, fmt.Errorf("committing change %d of %d: %w", i+1, len(changes), err)
		}
	}
	return ops, disjoint(ops)
}

func appendOps(ops []op, c *Change) ([]op, error) {
	groups := 0
	for _, set := range [...]bool{c.Credential != nil, c.Sink != nil, c.Delete != "", c.MetaKey != "", c.Credential == nil && c.IntentFor != ""} {
		if set {
			groups++
		}
	}
	if groups != 1 {
		return nil, errors.New("a change has exactly one of Credential, Sink, Delete, IntentFor and MetaKey")
	}
	if c.Intent != nil && c.ClearIntent {
		return nil, errors.New("a change cannot open and clear an intent at once")
	}
	if (c.Intent != nil || c.ClearIntent) && c.Credential == nil && c.IntentFor == "" {
		return nil, errors.New("an intent needs the address that it is for")
	}
	if c.MetaNow != nil && (c.MetaKey == "" || c.Meta != nil) {
		return nil, errors.New("a value that is given as it is applied needs a key, and no other value")
	}
	switch {
	case c.Credential != nil:
		if c.IntentFor != "" && c.IntentFor != c.Credential.Head.Address {
			return nil, fmt.Errorf("the record is of %s and the intent for %s: make them two changes", c.Credential.Head.Address, c.IntentFor)
		}
		ops = append(ops, op{kind: opRecord, address: c.Credential.Head.Address, record: KindCredential, version: c.Credential.Head.Version,
			head: encodeHead(headOf(c.Credential), KindCredential), value: appendCredential(draft(1024), c.Credential)})
		ops = appendIntentOps(ops, c.Credential.Head.Address, c)
	case c.Sink != nil:
		ops = append(ops, op{kind: opRecord, address: c.Sink.Head.Address, record: KindSink, version: c.Sink.Head.Version,
			head: encodeHead(c.Sink.Head, KindSink), value: appendSink(draft(512), c.Sink)})
	case c.Delete != "":
		ops = append(ops, op{kind: opDelete, address: c.Delete, version: c.DeleteVersion})
	case c.MetaKey != "":
		ops = append(ops, op{kind: opMeta, address: c.MetaKey, value: c.Meta, now: c.MetaNow})
	default:
		if c.Intent == nil && !c.ClearIntent {
			return nil, fmt.Errorf("nothing is said about the intent for %s", c.IntentFor)
		}
		ops = appendIntentOps(ops, c.IntentFor, c)
	}
	return ops, ops[len(ops)-1].check()
}

func appendIntentOps(ops []op, address string, c *Change) []op {
	switch {
	case c.Intent != nil:
		return append(ops, op{kind: opIntent, address: address, value: appendIntent(make([]byte, 0, 256), c.Intent)})
	case c.ClearIntent:
		return append(ops, op{kind: opClear, address: address})
	}
	return ops
}

// drafts are buffers of records that were sealed, cleared, for those that are encoded next.
var drafts sync.Pool // of *[]byte

// draftKept bounds what is kept of them: a record is larger only with raw replies in it.
const draftKept = 16 << 10

// draft is an empty buffer to encode a record in; a new one has so many bytes.
func draft(size int) []byte {
	if b, ok := drafts.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, size)
}

// leaveDraft clears what was encoded, once it is sealed, and gives its buffer back.
func leaveDraft(plain []byte) {
	clear(plain)
	if cap(plain) <= draftKept {
		drafts.Put(&plain)
	}
}

// headOf is a credential's head with what it repeats of the record.
func headOf(c *Credential) Head {
	h := c.Head
	h.Orphans = c.Orphans.head()
	return h
}

// encodeHead encodes the head as the write leaves it.
func encodeHead(h Head, kind Kind) []byte {
	h.Kind = kind
	h.Version++
	return appendHead(make([]byte, 0, 128), &h)
}

func (o *op) check() error {
	limit := maxAddress
	if o.kind == opMeta {
		limit = maxMetaKey
	}
	switch {
	case o.address == "":
		return errors.New("a record needs an address")
	case len(o.address) > limit:
		return fmt.Errorf("an address of %d bytes is too long, %d are possible", len(o.address), limit)
	case len(o.value) > maxValue:
		return fmt.Errorf("the record of %s has %d bytes, %d are possible", o.address, len(o.value), maxValue)
	case o.kind == opRecord && o.version == math.MaxUint64:
		return fmt.Errorf("the record of %s has no version to go on to", o.address)
	}
	return nil
}

// disjoint refuses two writes of one thing in one commit: which of them is
// meant to win cannot be known, and the second one's version would be wrong.
func disjoint(ops []op) error {
	if len(ops) < 2 {
		return nil
	}
	if len(ops) <= 4 { // nearly all are: a record, an intent
		for i := range ops {
			for j := range i {
				if ops[i].writes()&ops[j].writes() != 0 && ops[i].address == ops[j].address {
					return twice(ops, ops[i].address)
				}
			}
		}
		return nil
	}
	seen := make(map[string]space, len(ops))
	for i := range ops {
		o := &ops[i]
		if seen[o.address]&o.writes() != 0 {
			return twice(ops, o.address)
		}
		seen[o.address] |= o.writes()
	}
	return nil
}

func twice(ops []op, address string) error {
	return fmt.Errorf("committing %d changes: two of them write %s", len(ops), address)
}

// space is where addresses are told apart.
type space uint8

const (
	spaceRecords space = 1 << iota
	spaceIntents
	spaceNamed
)

// writes says where the op writes.
func (o *op) writes() space {
	switch o.kind {
	case opRecord:
		return spaceRecords
	case opDelete:
		return spaceRecords | spaceIntents
	case opIntent, opClear:
		return spaceIntents
	default:
		return spaceNamed
	}
}

// setVersions tells the caller's heads what the commit made of them.
func setVersions(changes []Change) {
	for i := range changes {
		switch c := &changes[i]; {
		case c.Credential != nil:
			c.Credential.Head.Version++
			c.Credential.Head.Kind, c.Credential.Head.Orphans = KindCredential, c.Credential.Orphans.head()
			if c.Intent != nil || c.ClearIntent {
				c.Credential.Head.Intent = c.Intent != nil
			}
		case c.Sink != nil:
			c.Sink.Head.Version++
			c.Sink.Head.Kind = KindSink
		}
	}
}
