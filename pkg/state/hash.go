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
	return &hasher{pool: sync.Pool{New: func() any { return &keyed{mac: hmac.New(sha256.New, key)} }}}
}

// keyed is one computation, with its scratch.
type keyed struct {
	mac   hash.Hash
	label []byte
	sum   [sha256.Size]byte
}

// hash puts the label's length in front, so that no label and content can be
// shifted against each other.
func (h *hasher) hash(label string, b []byte) string {
	k := h.pool.Get().(*keyed)
	defer h.pool.Put(k)
	k.mac.Reset()
	k.label = append(binary.AppendUvarint(k.label[:0], uint64(len(label))), label...)
	k.mac.Write(k.label)
	k.mac.Write(b)
	k.mac.Sum(k.sum[:0])
	return base64.RawURLEncoding.EncodeToString(k.sum[:hashSize])
}
