package atomicfile

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// DirID is a directory, by whatever name it was reached.
type DirID struct{ Device, Inode uint64 }

// lineage is a directory with those above it, up to the root. It is found through
// the handle, so that no name can be exchanged in between.
func lineage(fd int) ([]DirID, error) {
	at, err := openat(fd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	var ids []DirID
	for {
		var st unix.Stat_t
		if err := unix.Fstat(at, &st); err != nil {
			_ = unix.Close(at)
			return nil, err
		}
		id := DirID{uint64(st.Dev), st.Ino}
		if len(ids) > 0 && ids[len(ids)-1] == id {
			_ = unix.Close(at)
			return ids, nil
		}
		ids = append(ids, id)
		up, err := openat(at, "..", unix.O_PATH|unix.O_DIRECTORY, 0)
		_ = unix.Close(at)
		if err != nil {
			return nil, err
		}
		at = up
	}
}

// usedFor is for how long an answer of [Writer.Refuse] counts for a handle. Another
// directory that the path leads to by then has another handle; what is moved with those
// above it is noticed so late.
const usedFor = time.Second

// used is what [Writer.Refuse] says of a directory.
type used struct {
	since time.Time
	what  func(name string) string // nil: of no use to anybody else
}

// refuse asks whether a file may be written in a directory that was opened.
func (w *Writer) refuse(d *dir, name string) error {
	if w.Refuse == nil {
		return nil
	}
	u := d.used.Load()
	if u == nil || time.Since(u.since) >= usedFor {
		now := time.Now()
		ids, err := lineage(d.fd)
		if err != nil {
			return fmt.Errorf("finding out where %s is: %w", d.path, err)
		}
		u = &used{now, w.Refuse(ids)}
		d.used.Store(u)
	}
	if u.what == nil {
		return nil
	}
	if what := u.what(name); what != "" {
		return fmt.Errorf("%w: %s leads to what %s; take the link away that leads there, or choose another path", ErrInUse, d.path, what)
	}
	return nil
}
