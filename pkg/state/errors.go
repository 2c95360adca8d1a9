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

// restoreHint ends every report of damage.
const restoreHint = "nothing was changed; put a backup in its place with `tokend state restore`"

// damagedRecord says that one record fails its check; the others go on.
func damagedRecord(address string, err error) error {
	return fmt.Errorf("reading the record of %s: %w: %w; nothing was changed and other records are not concerned: "+
		"put a backup in place with `tokend state restore`, or give this record up with `tokend state rm '%s'`", address, ErrDamaged, err, address)
}

// damagedFile says that the file as a whole cannot be used.
func damagedFile(path string, err error) error {
	return fmt.Errorf("opening the state in %s: %w: %w; %s", path, ErrDamaged, err, restoreHint)
}
