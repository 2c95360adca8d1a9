// Package secret holds one type, [Text]: a string that no formatter, logger or
// encoder prints.
//
// Everything in tokend that must not be published travels as a Text from where
// it is read to where it is used; [Text.Reveal] is the only way out, and a test
// lists the packages that may call it. The value sits behind a pointer because
// package fmt prints plain string fields of nested structs even when the type
// has a String method; a pointer it prints as an address at worst, and Text's
// Format method answers first wherever fmt can reach it.
//
// [Scrub] is the net below the rope: it takes known secrets out of text that
// somebody else wrote (an API's error body), in clear and in the encodings in
// which such bodies echo them. It is never the mechanism.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
)

// Redacted is what every formatter prints in a Text's place.
const Redacted = "[secret]"

// ErrEncode is returned by the encoders that would otherwise write a secret
// into a document.
var ErrEncode = errors.New("encoding a secret is refused: reveal it explicitly where it must be written")

// Text is a secret string. The zero value is the empty secret. It is
// immutable, may be copied, and is safe for concurrent use. Texts are not
// comparable by == in a useful way; use [Text.Equal].
type Text struct{ p *string }

// New wraps s.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{p: &s}
}

// Reveal returns the secret itself. Call it where the value goes onto the
// wire, into a sink or into a seal, and nowhere else.
func (t Text) Reveal() string {
	if t.p == nil {
		return ""
	}
	return *t.p
}

// Empty reports whether the secret is the empty string.
func (t Text) Empty() bool { return t.p == nil }

// Len is the secret's length in bytes.
func (t Text) Len() int {
	if t.p == nil {
		return 0
	}
	return len(*t.p)
}

// Equal compares two secrets in a time that does not depend on where they
// differ (it does depend on their lengths).
func (t Text) Equal(o Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(o.Reveal())) == 1
}

// Sum is a hash for an index in memory. Outside of this process, which alone has the
// seed, it tells nothing of the secret.
func (t Text) Sum(seed maphash.Seed) uint64 { return maphash.String(seed, t.Reveal()) }

// String returns [Redacted].
func (t Text) String() string { return Redacted }

// GoString returns [Redacted].
func (t Text) GoString() string { return Redacted }

// Format prints [Redacted] for every verb and flag.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue logs [Redacted].
func (t Text) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON refuses with [ErrEncode].
func (t Text) MarshalJSON() ([]byte, error) { return nil, ErrEncode }

// MarshalText refuses with [ErrEncode].
func (t Text) MarshalText() ([]byte, error) { return nil, ErrEncode }

// MarshalBinary refuses with [ErrEncode].
func (t Text) MarshalBinary() ([]byte, error) { return nil, ErrEncode }

// GobEncode refuses with [ErrEncode].
func (t Text) GobEncode() ([]byte, error) { return nil, ErrEncode }
