package state

import (
	"encoding/binary"
	"maps"
)

func appendSink(b []byte, s *Sink) []byte {
	b = append(b, sinkFormat)
	b = appendString(b, s.SinkKind)
	b = appendBytes(b, s.Written)
	b = appendHolds(b, s.Delivered)
	b = appendTime(b, s.WrittenAt)
	b = appendStrings(b, s.Notify)
	b = binary.AppendUvarint(b, uint64(len(s.Leaving)))
	for _, place := range s.Leaving {
		b = appendBytes(b, place)
	}
	b = appendFailure(b, s.Failure)
	b = binary.AppendUvarint(b, uint64(len(s.Left)))
	for place, holds := range s.Left {
		b = appendHolds(appendString(b, place), holds)
	}
	return b
}

// appendHolds appends which generation of which credential a place holds.
func appendHolds(b []byte, holds map[string]uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(holds)))
	for k, v := range holds {
		b = binary.AppendUvarint(appendString(b, k), v)
	}
	return b
}

func (r *reader) holds() map[string]uint64 {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]uint64, n)
	for range n {
		k := r.str()
		m[k] = r.uvarint()
	}
	return m
}

func decodeSink(b []byte) (Sink, error) {
	r := &reader{b: b}
	var s Sink
	format := r.version("sink", sinkFormat)
	r.full = format < 2
	s.SinkKind = r.str()
	s.Written = r.bytes()
	s.Delivered = r.holds()
	s.WrittenAt = r.time()
	s.Notify = r.strs()
	if n := r.count(1); n > 0 {
		s.Leaving = make([][]byte, n)
		for i := range s.Leaving {
			s.Leaving[i] = r.bytes()
		}
	}
	s.Failure = r.failure()
	r.dropped(func() { r.removing(); r.str() })
	switch {
	case format >= 3:
		if n := r.count(2); n > 0 {
			s.Left = make(map[string]map[string]uint64, n)
			for range n {
				place := r.str()
				s.Left[place] = r.holds()
			}
		}
	case len(s.Leaving) > 0 && len(s.Delivered) > 0: // which was the oldest of what any of its places may hold
		s.Left = map[string]map[string]uint64{"": maps.Clone(s.Delivered)}
	}
	if err := r.end(); err != nil {
		return Sink{}, err
	}
	return s, nil
}

func appendIntent(b []byte, i *Intent) []byte {
	b = append(b, intentFormat)
	b = appendString(b, i.Op)
	b = binary.AppendVarint(b, int64(i.Attempt))
	b = appendTime(b, i.At)
	b = appendString(b, i.Boot)
	b = binary.AppendVarint(b, int64(i.Monotonic))
	b = appendString(b, i.TokenHash)
	b = appendString(b, i.Endpoint)
	b = appendString(b, i.GrantType)
	b = appendString(b, i.Action)
	b = binary.AppendUvarint(b, i.Generation)
	b = appendBool(b, i.Replay)
	return appendBool(b, i.LastTry)
}

func decodeIntent(b []byte) (Intent, error) {
	r := &reader{b: b}
	r.version("intent", intentFormat)
	i := Intent{
		Op:         r.str(),
		Attempt:    r.int(),
		At:         r.time(),
		Boot:       r.str(),
		Monotonic:  r.duration(),
		TokenHash:  r.str(),
		Endpoint:   r.str(),
		GrantType:  r.str(),
		Action:     r.str(),
		Generation: r.uvarint(),
		Replay:     r.bool(),
		LastTry:    r.bool(),
	}
	if err := r.end(); err != nil {
		return Intent{}, err
	}
	return i, nil
}
