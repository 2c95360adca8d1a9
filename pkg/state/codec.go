package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tokend/pkg/secret"
)

// The codec is positional: a version byte, then every field in order. A field
// is added by raising the version and reading it only from that version on, so
// an older program that meets it says so instead of dropping it on the next
// write.

// errShort: the bytes end, or lie, before the record does.
var errShort = errors.New("it ends too early or a length in it is wrong")

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// appendTime keeps years that do not fit in nanoseconds since 1970: providers
// have been seen to say 9999-12-31.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func appendMap(b []byte, m map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for k, v := range m {
		b = appendString(appendString(b, k), v)
	}
	return b
}

// A reader takes a record's bytes apart. Its first error sticks, and every read
// after it gives the zero value, so that a decoder checks once at its end.
type reader struct {
	b    []byte
	err  error
	full bool // the record is of an older format, with what nothing reads
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errShort)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool {
	switch r.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	r.fail(errors.New("a yes or no in it is neither"))
	return false
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int { return int(r.varint()) }

func (r *reader) duration() time.Duration { return time.Duration(r.varint()) }

// take returns the next n bytes without copying them.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) raw() []byte { return r.take(r.uvarint()) }

func (r *reader) bytes() []byte {
	v := r.raw()
	if len(v) == 0 {
		return nil
	}
	return append([]byte(nil), v...)
}

// str copies: a substring would keep a whole unsealed record alive for as long
// as anyone holds a note of it.
func (r *reader) str() string { return string(r.raw()) }

func (r *reader) text() secret.Text { return secret.New(r.str()) }

func (r *reader) time() time.Time {
	if !r.bool() {
		return time.Time{}
	}
	sec, nsec := r.varint(), r.uvarint()
	if nsec >= uint64(time.Second) {
		r.fail(errors.New("a time in it has more than a second of nanoseconds"))
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

// count reads the length of a list whose elements take at least size bytes
// each, so that a wrong length cannot ask for more memory than the record has.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail(errShort)
		return 0
	}
	return int(n)
}

func (r *reader) strs() []string {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.str()
	}
	return list
}

func (r *reader) strMap() map[string]string {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := r.str()
		m[k] = r.str()
	}
	return m
}

// version reads the first byte and refuses what this program does not know.
func (r *reader) version(what string, newest byte) byte {
	v := r.byte()
	switch {
	case r.err != nil:
	case v == 0:
		r.fail(fmt.Errorf("its %s format is 0, which there is none", what))
	case v > newest:
		r.fail(&newerFormat{what + " format", fmt.Sprint(v), fmt.Sprintf("1 to %d", newest)})
	}
	return v
}

// end reports the first error; bytes that nothing read are one.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.err = fmt.Errorf("%d bytes follow its last field", len(r.b))
	}
	return r.err
}
