package state

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
)

// hashSize is how much of a hash is kept: two inputs that differ must not look
// equal, and 128 bits under a secret key are far beyond that.
const hashSize = 16

// A hasher computes keyed hashes. It is safe for concurrent use.
type hasher struct{ pool sync.Pool }

func newHasher(key []byte) *hasher {
	return &hasher{pool: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// hash puts the label's length in front, so that no label and content can be
// shifted against each other.
func (h *hasher) hash(label string, b []byte) string {
	m := h.pool.Get().(hash.Hash)
	m.Reset()
	m.Write(binary.AppendUvarint(nil, uint64(len(label))))
	m.Write([]byte(label))
	m.Write(b)
	var sum [sha256.Size]byte
	m.Sum(sum[:0])
	h.pool.Put(m)
	return base64.RawURLEncoding.EncodeToString(sum[:hashSize])
}
