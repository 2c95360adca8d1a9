package state

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	keySize   = 32
	epochSize = 8
	nonceSize = 12
	tagSize   = 16

	sealFormat = 1
	sealKey    = 1 // number of the data key; a later one lets records be sealed anew one by one
	prefixSize = 2 + epochSize + nonceSize

	// sealsPerEpoch keeps random nonces far from the 2^32 messages that
	// NIST SP 800-38D allows them under one key.
	sealsPerEpoch = 1 << 31
	// epochsKept bounds what a state of many restarts keeps derived.
	epochsKept = 256
)

var errSeal = errors.New("its seal is broken")

// What the associated data begins with, so that nothing sealed for one purpose
// opens for another.
const (
	sealRecord  = 'R'
	sealIntent  = 'I'
	sealMeta    = 'M'
	sealBlob    = 'B'
	sealHashKey = 'H'
	sealStatus  = 'S'
)

// A sealer seals and unseals under one data key. It is safe for concurrent use.
type sealer struct {
	data []byte // the data key

	current atomic.Pointer[epoch]

	mu     sync.RWMutex
	epochs map[[epochSize]byte]*epoch
}

// An epoch is a set of sealing keys derived from the data key and a random
// number.
type epoch struct {
	id   [epochSize]byte
	body cipher.AEAD
	head cipher.AEAD
	used atomic.Uint64
}

func newSealer(data []byte) (*sealer, error) {
	s := &sealer{data: bytes.Clone(data), epochs: make(map[[epochSize]byte]*epoch)}
	return s, s.turn()
}

// turn begins a new epoch.
func (s *sealer) turn() error {
	var id [epochSize]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	e, err := s.derive(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.epochs[id] = e
	s.mu.Unlock()
	s.current.Store(e)
	return nil
}

func (s *sealer) derive(id [epochSize]byte) (*epoch, error) {
	body, err := deriveAEAD(s.data, id[:], "tokend state seal")
	if err != nil {
		return nil, err
	}
	head, err := deriveAEAD(s.data, id[:], "tokend state head")
	if err != nil {
		return nil, err
	}
	return &epoch{id: id, body: body, head: head}, nil
}

func deriveAEAD(data, salt []byte, info string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, data, salt, info, keySize)
	if err != nil {
		return nil, fmt.Errorf("deriving a sealing key: %w", err)
	}
	return newGCM(key)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making a cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

// writing returns the epoch to seal under.
func (s *sealer) writing() *epoch {
	e := s.current.Load()
	if e.used.Add(1) == sealsPerEpoch {
		// Deriving cannot fail for keys that were derived before; if it did, the
		// old epoch is still good for as many again.
		_ = s.turn()
	}
	return e
}

// of returns the epoch that a sealed value names.
func (s *sealer) of(prefix []byte) (*epoch, error) {
	if len(prefix) < prefixSize {
		return nil, errShort
	}
	if prefix[0] != sealFormat || prefix[1] != sealKey {
		return nil, fmt.Errorf("its seal's format and key are %d and %d and this tokend knows %d and %d: it is damaged, or was written by a newer tokend: then install that again",
			prefix[0], prefix[1], sealFormat, sealKey)
	}
	id := [epochSize]byte(prefix[2:])
	if e := s.current.Load(); e.id == id {
		return e, nil
	}
	s.mu.RLock()
	e := s.epochs[id]
	s.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	e, err := s.derive(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if len(s.epochs) >= epochsKept {
		clear(s.epochs)
	}
	s.epochs[id] = e
	s.mu.Unlock()
	return e, nil
}

func (e *epoch) appendPrefix(b []byte) []byte {
	b = append(b, sealFormat, sealKey)
	b = append(b, e.id[:]...)
	n := len(b)
	b = append(b, make([]byte, nonceSize)...)
	_, _ = rand.Read(b[n:])
	return b
}

// seal seals plain for a purpose and a name.
func (s *sealer) seal(purpose byte, name string, plain []byte) []byte {
	e := s.writing()
	b := e.appendPrefix(make([]byte, 0, prefixSize+len(plain)+tagSize))
	return e.body.Seal(b, b[prefixSize-nonceSize:], plain, associated(purpose, name))
}

// unseal opens what seal made for the same purpose and name.
func (s *sealer) unseal(purpose byte, name string, sealed []byte) ([]byte, error) {
	e, err := s.of(sealed)
	if err != nil {
		return nil, err
	}
	plain, err := e.body.Open(nil, sealed[prefixSize-nonceSize:prefixSize], sealed[prefixSize:], associated(purpose, name))
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}

func associated(purpose byte, name string) []byte {
	return append(append(make([]byte, 0, 1+len(name)), purpose), name...)
}

// sealRecord makes a record's value of its head's bytes and its rest.
func (s *sealer) sealRecord(head, rest []byte) []byte {
	e := s.writing()
	b := make([]byte, 0, prefixSize+binary.MaxVarintLen32+len(head)+tagSize+len(rest)+tagSize)
	b = e.appendPrefix(b)
	nonce := b[prefixSize-nonceSize:]
	b = appendBytes(b, head)
	b = e.head.Seal(b, nonce, nil, head)
	return e.body.Seal(b, nonce, rest, associatedHead(head))
}

func associatedHead(head []byte) []byte {
	return append(append(make([]byte, 0, 1+len(head)), sealRecord), head...)
}

// splitRecord finds the head in a record's value without checking it.
func splitRecord(value []byte) (head, tag, rest []byte, err error) {
	if len(value) < prefixSize {
		return nil, nil, nil, errShort
	}
	r := &reader{b: value[prefixSize:]}
	head = r.raw()
	tag = r.take(tagSize)
	return head, tag, r.b, r.err
}

// openHead checks a record's head and decodes it; the rest stays sealed.
func (s *sealer) openHead(value []byte) (Head, error) {
	e, err := s.of(value)
	if err != nil {
		return Head{}, err
	}
	head, tag, _, err := splitRecord(value)
	if err != nil {
		return Head{}, err
	}
	if _, err := e.head.Open(nil, value[prefixSize-nonceSize:prefixSize], tag, head); err != nil {
		return Head{}, errors.New("its head fails its check")
	}
	return decodeHead(head)
}

// openRecord unseals a whole record. The seal covers the head, so the head that
// comes back is as trustworthy as the rest. scratch is used for the plain text
// when it is large enough; the caller clears it.
func (s *sealer) openRecord(value, scratch []byte) (Head, []byte, error) {
	e, err := s.of(value)
	if err != nil {
		return Head{}, nil, err
	}
	head, _, rest, err := splitRecord(value)
	if err != nil {
		return Head{}, nil, err
	}
	plain, err := e.body.Open(scratch[:0], value[prefixSize-nonceSize:prefixSize], rest, associatedHead(head))
	if err != nil {
		return Head{}, nil, errSeal
	}
	h, err := decodeHead(head)
	return h, plain, err
}
