package state

import (
	"encoding/binary"
	"fmt"
)

// A head's bytes: format, kind, flags (2), version (8), then generation, times,
// digest, orphans (since format 2; since when and until when in format 3, where there
// are any) and address. What the writer reads for every
// commit, the version, has a fixed place.
const (
	headFormat  = 3
	headFixed   = 12
	headVersion = 4 // where the version begins
)

func appendHead(b []byte, h *Head) []byte {
	b = append(b, headFormat, byte(h.Kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.Flags))
	b = binary.LittleEndian.AppendUint64(b, h.Version)
	b = binary.AppendUvarint(b, h.Generation)
	b = appendTime(b, h.Due)
	b = appendTime(b, h.ExpiresAt)
	b = append(b, h.Digest[:]...)
	if b = binary.AppendUvarint(b, uint64(h.Orphans.Count)); h.Orphans.Count > 0 {
		b = appendTime(b, h.Orphans.Since)
		b = appendTime(b, h.Orphans.Until)
	}
	return appendString(b, h.Address)
}

func decodeHead(b []byte) (Head, error) {
	r := &reader{b: b}
	format := r.version("head", headFormat)
	fixed := r.take(headFixed - 1)
	if r.err != nil {
		return Head{}, r.err
	}
	h := Head{
		Kind:    Kind(fixed[0]),
		Flags:   Flags(binary.LittleEndian.Uint16(fixed[1:])),
		Version: binary.LittleEndian.Uint64(fixed[headVersion-1:]),
	}
	h.Generation = r.uvarint()
	h.Due = r.time()
	h.ExpiresAt = r.time()
	copy(h.Digest[:], r.take(uint64(len(h.Digest))))
	if format >= 2 {
		h.Orphans.Count = int(r.uvarint())
	}
	if format >= 3 && h.Orphans.Count > 0 {
		h.Orphans.Since, h.Orphans.Until = r.time(), r.time()
	}
	h.Address = r.str()
	if err := r.end(); err != nil {
		return Head{}, err
	}
	if h.Kind != KindCredential && h.Kind != KindSink {
		return Head{}, fmt.Errorf("its kind is %d, which this tokend does not know", h.Kind)
	}
	return h, nil
}

// headAddress finds the address in a head's bytes without taking the rest
// apart; nil when they are no head.
func headAddress(b []byte) []byte {
	r := &reader{b: b}
	fixed := r.take(headFixed)
	r.uvarint()
	times := func() {
		for range 2 {
			if r.bool() {
				r.varint()
				r.uvarint()
			}
		}
	}
	times()
	r.take(16)
	if len(fixed) > 0 && fixed[0] >= 2 && r.uvarint() > 0 && fixed[0] >= 3 {
		times()
	}
	a := r.raw()
	if r.end() != nil {
		return nil
	}
	return a
}
