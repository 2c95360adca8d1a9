package atomicfile

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxHandles bounds the directory handles that a Writer keeps while nothing is
// being written there.
const maxHandles = 128

// dir is an open directory. It is used by one or more calls at a time, and
// closed when it is neither used nor kept.
type dir struct {
	fd       int
	path     string
	dev, ino uint64
	volatile bool // in memory: never synced
	faithful bool // see there
	sweep    sync.Once
	used     atomic.Pointer[used]

	refs int  // guarded by Writer.mu
	kept bool // in Writer.dirs; guarded by Writer.mu

	// changes counts renames and removals here; synced is up to which of them
	// the directory was synced. They start apart, because a process before
	// this one may have been killed between a rename and its sync.
	changes atomic.Uint64
	syncing sync.Mutex
	synced  uint64 // guarded by syncing
}

// dir returns a handle of the directory, which the caller gives back with
// [Writer.release]. A kept handle is used again only if the path still leads to
// the same directory.
func (w *Writer) dir(path string, m *made) (*dir, error) {
	if d := w.keptDir(path); d != nil {
		var st unix.Stat_t
		err := again(func() error { return unix.Stat(path, &st) })
		if err == nil && uint64(st.Dev) == d.dev && st.Ino == d.ino {
			if err := checkDir(&st, path); err != nil {
				w.release(d)
				return nil, err
			}
			return d, nil
		}
		w.drop(d)
	}
	fd, err := openDir(path, m)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("examining %s: %w", path, err)
	}
	kind := kindOf(fd)
	d := &dir{fd: fd, path: path, dev: uint64(st.Dev), ino: st.Ino, volatile: volatile(kind), faithful: faithful(kind)}
	d.changes.Store(1)
	return w.keep(d), nil
}

func (w *Writer) keptDir(path string) *dir {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.dirs[path]
	if d != nil {
		d.refs++
	}
	return d
}

// keep registers a handle and returns it, or the one that another call
// registered in the meantime.
func (w *Writer) keep(d *dir) *dir {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other := w.dirs[d.path]; other != nil && other.ino == d.ino && other.dev == d.dev {
		_ = unix.Close(d.fd)
		other.refs++
		return other
	} else if other != nil {
		w.forget(other)
	}
	d.refs = 1
	if w.closed {
		return d
	}
	if w.dirs == nil {
		w.dirs = map[string]*dir{}
	}
	for _, idle := range w.dirs {
		if len(w.dirs) < maxHandles {
			break
		}
		if idle.refs == 0 {
			w.forget(idle)
		}
	}
	d.kept = true
	w.dirs[d.path] = d
	return d
}

// forget takes a handle out of the kept ones; Writer.mu is held.
func (w *Writer) forget(d *dir) {
	if d.kept {
		d.kept = false
		delete(w.dirs, d.path)
		d.closeIdle()
	}
}

func (d *dir) closeIdle() {
	if d.refs == 0 && !d.kept {
		_ = unix.Close(d.fd)
	}
}

// release gives a handle back.
func (w *Writer) release(d *dir) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d.refs--
	d.closeIdle()
}

// drop gives back a handle that is of no use any more.
func (w *Writer) drop(d *dir) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d.refs--
	if d.kept {
		w.forget(d)
		return
	}
	d.closeIdle()
}

// settle makes all changes in the directory so far outlive a crash. Calls that
// come while another one syncs share the next sync.
func (d *dir) settle() error {
	if d.volatile {
		return nil
	}
	mine := d.changes.Load()
	d.syncing.Lock()
	defer d.syncing.Unlock()
	if d.synced >= mine {
		return nil
	}
	upTo := d.changes.Load()
	err := again(func() error { return unix.Fsync(d.fd) })
	// Some network file systems cannot sync a directory, and say it so.
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("syncing directory %s: %w", d.path, err)
	}
	d.synced = upTo
	return nil
}

// lstat examines a name without following it.
func (d *dir) lstat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

func (d *dir) unlink(name string) error {
	return again(func() error { return unix.Unlinkat(d.fd, name, 0) })
}
