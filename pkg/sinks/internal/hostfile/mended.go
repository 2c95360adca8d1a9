package hostfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
)

// mended adds to the failure of a write what a person has to do about it, where that is
// known.
func mended(path string, err error) error {
	what, dir := "", filepath.Dir(path)
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, sinks.ErrForeign):
		return err // which says it
	case errors.Is(err, atomicfile.ErrUnknownOwner):
		what = "create that user or group, or name another in the block"
	case errors.Is(err, fs.ErrPermission):
		what = fmt.Sprintf("let %s, as whom tokend runs, write in %s (and give files away, where owner or group is another's), or choose another path", userName(os.Geteuid()), dir)
	case errors.Is(err, fs.ErrNotExist):
		what = fmt.Sprintf("make %s, which tokend cannot make, or choose another path", dir)
	default:
		return err
	}
	return &sinks.MendError{Err: err, Mend: what}
}
