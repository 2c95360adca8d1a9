package state

import (
	"errors"
	"fmt"
)

// What a caller may ask of an error, beside those that a Store's contract names.
var (
	// ErrSchema: the state was written by a newer tokend.
	ErrSchema = errors.New("the state was written by a newer tokend")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the state is closed")
)

// newerFormat says that what was read has a format of a later version. What is damaged
// fails its seal before its format is looked at.
type newerFormat struct {
	what  string
	found string
	knows string
}

func (e *newerFormat) Error() string {
	return fmt.Sprintf("its %s is %s and this tokend knows %s", e.what, e.found, e.knows)
}

// newerRecord is a record that only the tokend which wrote it can read. To who tells no
// two reasons apart why a record cannot be read it is a damaged one.
type newerRecord struct {
	address string
	err     *newerFormat
}

func (e *newerRecord) Error() string {
	return fmt.Sprintf("reading the record of %s: %v: %v; nothing was changed and its tokens live on: install the newer tokend again, "+
		"or put a backup from before it in place with `tokend state restore`, and what was obtained since is lost", e.address, ErrSchema, e.err)
}

func (e *newerRecord) Is(target error) bool { return target == ErrSchema || target == ErrDamaged }

// restoreHint ends every report of damage.
const restoreHint = "nothing was changed; put a backup in its place with `tokend state restore`"

// damagedRecord says that one record fails its check; the others go on.
func damagedRecord(address string, err error) error {
	var newer *newerFormat
	if errors.As(err, &newer) {
		return &newerRecord{address, newer}
	}
	return fmt.Errorf("reading the record of %s: %w: %w; nothing was changed and other records are not concerned: "+
		"put a backup in place with `tokend state restore`, or give this record up with `tokend state rm '%s'`", address, ErrDamaged, err, address)
}

// damagedFile says that the file as a whole cannot be used.
func damagedFile(path string, err error) error {
	return fmt.Errorf("opening the state in %s: %w: %w; %s", path, ErrDamaged, err, restoreHint)
}
