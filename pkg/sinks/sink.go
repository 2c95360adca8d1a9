package sinks

import (
	"context"
	"errors"
	"time"

	"tokend/pkg/spec"
)

// What a caller may ask of an error.
var (
	// ErrForeign: the place no longer holds what was written there, so it is
	// left alone.
	ErrForeign = errors.New("the place was changed by someone else")
	// ErrPermanent: trying again without a change (of configuration, rights,
	// file system) is pointless; the error's text says what to change.
	ErrPermanent = errors.New("the sink cannot be written as configured")
	// ErrUntouched: a Write failed before anything was sent to the place, or was
	// refused there whole: it certainly holds nothing of it.
	ErrUntouched = errors.New("nothing was sent to the place")
)

// Sink is one kind of place where values shall be. One Sink serves all blocks
// of its kind and must be safe for concurrent use; calls for one place never
// overlap. It tries once and never waits for its own retries.
type Sink interface {
	// Render turns a block's arguments, tokens and all, into what shall be
	// there. It is pure. Place depends on arguments alone that are known when
	// the directory is loaded, so a Render with unknown deferred arguments
	// still gives the Place (and an error that is ErrUnknown for the content).
	Render(args spec.Values) (Desired, error)
	// Check compares the place with what is desired and with what was last
	// written (nil: never), and says in words what differs; "" when nothing
	// does. It reads, and changes nothing.
	Check(ctx context.Context, d Desired, last []byte) (drift string, err error)
	// Write makes it so, atomically: a reader sees the old or the new, never a
	// mixture, also after a crash. It is idempotent. written is the kind's own
	// account of what it wrote and where (no value in clear; it is stored
	// sealed), enough for Check and Remove after the block is gone.
	Write(ctx context.Context, d Desired, last []byte) (written []byte, err error)
	// Intend is the account of a Write of d as far as it is known before: Remove
	// takes away by it what such a Write has left, where a crash came before its
	// own account. It is pure, so two are alike when place and content are.
	// Intact is true of none.
	Intend(d Desired) (intended []byte, err error)
	// Portray says what d is compared by where nobody can look at the place: with
	// written, what the place is since that Write; with nil, what it shall be. Two
	// fit exactly where a Write of the one would leave nothing to do for the other.
	// The content is given to hash, and nowhere else. It may look up the names of
	// users, and nothing else of the host.
	Portray(d Desired, written []byte, hash func(content []byte) string) (Portrait, error)
	// Wrote says that written is the account of a Write of d: of the same content at
	// the same place, with all that is asked for besides. It looks at no place.
	Wrote(d Desired, written []byte) bool
	// Intact says that the place certainly still is as Write left it, and that
	// the same arguments would be written the same way today, without being told
	// them. False says nothing: Check has to be asked. A hundred thousand places
	// are asked this when tokend starts. The first of Paths comes as it was then.
	Intact(ctx context.Context, written []byte) (Seen, bool)
	// Remove takes away what was written, if it is still what was written:
	// ErrForeign otherwise, and nothing is touched. A place that is gone
	// already is success.
	Remove(ctx context.Context, written []byte) error
	// Paths are the files whose events mean that somebody may have changed the
	// place; nil for a place that is not a file.
	Paths(written []byte) []string
}

// MendError is a failure of which the kind knows what a person has to do before another
// try can help.
type MendError struct {
	Err  error
	Mend string
}

func (e *MendError) Error() string { return e.Err.Error() }
func (e *MendError) Unwrap() error { return e.Err }

// Overtaker is a kind that tells beforehand how a place that somebody else has written
// changes besides its content when it is written, in words; "" for not at all. The
// content need not be known.
type Overtaker interface {
	Becomes(Desired) string
}

// Becomes asks a kind that, "" where it is none that tells.
func Becomes(s Sink, d Desired) string {
	if o, ok := s.(Overtaker); ok {
		return o.Becomes(d)
	}
	return ""
}

// ErrUnknown: an argument is not known yet.
var ErrUnknown = errors.New("an argument is not known yet")

// Desired is what shall be at a place. Content is opaque to everyone but the
// kind that made it.
type Desired struct {
	Place   string // canonical name of the place, unique over all kinds: "file:/run/x", "vault_kv:vault.main/kv/path"
	Target  string // what is shared by many places and can stall: "" for files, "vault.main" for a Vault
	Content any
	// Mark is what a place that can be marked says of who delivered there; zero:
	// nothing. Found, when set, is told by Check of the mark that the place bears.
	Mark  Mark
	Found func(Mark)
	// Replaces, when set, is told by a Write without an account of an earlier one
	// what it replaces, or would have where it failed ("version 3", "a file").
	Replaces func(what string)
	// Left, when set, is told by a Write how it left the first of Paths, where a file
	// system keeps to that: whoever touches the file afterwards changes it.
	Left func(Seen)
}

// Seen is a file as it was looked at; of a place that is none it is zero. Every
// change of a file changes the inode's time of change, in nanoseconds, or the inode;
// of two within a tick of the kernel's clock the second changes the content's.
type Seen struct {
	Path     string
	Inode    uint64
	Changed  int64
	Modified int64
}

// Mark says beside a place which state of tokend delivered there, and which
// generation of one of the tokens that was. A state that knows of an older one
// only is a copy that somebody put back.
type Mark struct {
	Lineage    string // of the state; "" for no mark
	Address    string // of the credential
	Generation uint64
	At         time.Time // when it was delivered
}

// Portrait is a place as it is, or as it shall be, for a comparison away from it.
type Portrait struct {
	// Content is a hash of what it holds, alike in two of one kind exactly where
	// that is.
	Content string
	// Parts are the names of what the content is made of (variables, members),
	// sorted; nil where it is all one.
	Parts []string
	// Traits are what else is compared, such as a mode: of a place as it is all
	// that would be right for it (its owner by name and by number), of one that
	// shall be what is asked for. What is not in it is not asked for.
	Traits map[string][]string
}
