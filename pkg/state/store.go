package state

import (
	"context"
	"errors"
	"time"

	"tokend/pkg/secret"
)

// What a caller may ask of an error.
var (
	// ErrNotFound: there is no such record, intent, blob or meta value.
	ErrNotFound = errors.New("not found in the state")
	// ErrConflict: the record was changed by another since it was read.
	ErrConflict = errors.New("the record was changed by another writer")
	// ErrLocked: another process holds the state (the error's text names its pid).
	ErrLocked = errors.New("the state is in use by another process")
	// ErrKey: the key is missing or is not the one that sealed this state.
	ErrKey = errors.New("the state cannot be opened with this key")
	// ErrDamaged: a file, record or header fails its check.
	ErrDamaged = errors.New("the state is damaged")
	// ErrReadOnly: after a failed write the store takes no more until the file
	// has been reopened and checked.
	ErrReadOnly = errors.New("the state cannot be written")
)

// Store keeps records durably. An implementation need not be alone with them:
// every write names the version that it was derived from, and may lose against
// another writer with [ErrConflict]. All methods are safe for concurrent use.
type Store interface {
	// Heads calls f for every record, in no particular order, without
	// unsealing any. f must not call the store.
	Heads(ctx context.Context, f func(Head) error) error
	// Credential reads one credential's record and its open intent (nil when
	// none is open). ErrNotFound when there is no record.
	Credential(ctx context.Context, address string) (Credential, *Intent, error)
	// Sink reads one sink's record.
	Sink(ctx context.Context, address string) (Sink, error)
	// Sinks calls f for every sink's record, in no particular order and from
	// several goroutines at once; for a start, which reads all of them. A record
	// that is damaged is left out: who reads it by itself is told. f must not
	// call the store; its error ends the scan.
	Sinks(ctx context.Context, f func(Sink) error) error
	// Commit applies the changes as one, durably, and returns once they are on
	// disk: many commits share one sync (group commit). Nothing of a failed
	// commit is applied. The new versions are set in the changes' heads.
	Commit(ctx context.Context, changes ...Change) error
	// Later applies the changes with some later commit, within a second, in
	// order with everything that the same caller commits afterwards. done (nil
	// is fine) is called with the outcome.
	Later(done func(error), changes ...Change)
	// Blob returns immutable bytes by the name that PutBlob gave them.
	Blob(ctx context.Context, name string) ([]byte, error)
	// PutBlob stores bytes under a name derived from their content (keyed
	// hash), durably and once.
	PutBlob(ctx context.Context, content []byte) (name string, err error)
	// Blobs lists all blob names; DropBlobs forgets the named ones.
	Blobs(ctx context.Context) ([]string, error)
	DropBlobs(ctx context.Context, names []string) error
	// Meta returns a small named value (guard log, approvals, accepted
	// snapshot); Change.Meta writes one.
	Meta(ctx context.Context, key string) ([]byte, error)
	// Hash is a hash of b keyed by a secret of this state that survives a
	// rotation of the sealing key; for telling whether an input changed. label
	// separates uses.
	Hash(label string, b []byte) string
	// Info says where the state is and how it does.
	Info() Info
	Close() error
}

// Change is one write. Exactly one of its groups is set.
type Change struct {
	// Credential is written when its Head.Version still is the stored one (0:
	// not stored yet), else ErrConflict. Intent and ClearIntent may ride along.
	Credential *Credential
	// Sink likewise.
	Sink *Sink
	// Delete removes the record of this address (and its intent), if its
	// version is still DeleteVersion (0: any).
	Delete        string
	DeleteVersion uint64

	// Intent is recorded for IntentFor (an address that has a record or gets
	// one in this commit; a record is made when there is none). Room for the
	// grant that may follow is reserved; a full disk fails here, before
	// anything is spent.
	Intent      *Intent
	IntentFor   string
	ClearIntent bool // clears IntentFor's (or Credential's) intent

	// Meta is written when MetaKey is set; nil deletes.
	MetaKey string
	Meta    []byte
	// MetaNow, when set, gives the value in the place of Meta, as the change is applied:
	// what many write at a time says all that is so then, whoever came first. It must
	// return soon and must not call the store. Several changes of one key that are
	// applied together may share one call.
	MetaNow func() []byte
}

// Info describes a store.
type Info struct {
	Path    string
	Lineage string // random, made with the state
	Serial  uint64 // grows with every commit
	Schema  int
	Records int
	Intents int
	Bytes   int64
	Syncs   uint64 // disk syncs since opened
	// Written is when it was written last before it was opened, by the machine's clock
	// as it was then; zero: that is not known. Unlike the file's own time it goes with a
	// copy.
	Written time.Time
	Err     error // why it takes no writes now, nil when it does
}

// HashText is s.Hash of a secret, which is not revealed to the caller.
func HashText(s Store, label string, t secret.Text) string { return s.Hash(label, []byte(t.Reveal())) }
