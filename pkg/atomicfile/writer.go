package atomicfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// Attr is what a file shall have beside its content. The zero value is a
// private file (0600) of the user who writes it.
type Attr struct {
	Mode    fs.FileMode // permission bits; 0: 0600
	DirMode fs.FileMode // of directories that are missing; 0: 0750
	// Owner and Group are names or numbers; empty ones are left as the kernel
	// gives them, and are not compared. A directory that is made belongs to
	// whoever makes it and to the file's group, or the owner's primary one,
	// because its users must get through.
	Owner, Group string
}

// Change says what a write had to do.
type Change int

// Changes, from less to more.
const (
	Unchanged  Change = iota // content, mode and owner were right
	Attributes               // mode or owner was wrong, the content right
	Replaced                 // a new file is there
)

// Written says what is at the path after a write.
type Written struct {
	Change      Change
	Fingerprint Fingerprint
	Mode        fs.FileMode
	UID, GID    int
	// Stood: there was a file before; Unseen: it was not looked whether there was one, and
	// nothing was done. Both are said beside an error, too.
	Stood, Unseen bool
	// Untouched is said beside an error: nothing of the content came to the path, nor
	// is any of it left beside.
	Untouched bool
	// Left is the file as it was left; zero where another's change of it might go
	// unseen, as in [Writer.Untouched].
	Left Seen
}

// Writer writes files, many of them at once if asked to, and keeps a handle of
// each directory that it wrote to. The zero value is ready; it is safe for
// concurrent use. Calls for the same file must not overlap.
type Writer struct {
	// Refuse, when set before the first use, is asked about a directory before files are
	// written there, and again once a second while they are: which of them are in use by
	// others, and how ("": not at all; nil: none is). It is given the directory that was
	// opened and those above it.
	Refuse func(dirs []DirID) (used func(name string) (how string))

	mu     sync.Mutex
	dirs   map[string]*dir
	closed bool
	owners owners
}

// Close gives up the directory handles that are kept. The Writer can still be
// used, and keeps none from then on.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, d := range w.dirs {
		w.forget(d)
	}
}

// WriteFile makes path hold content, with the attributes. See [Writer.Write].
func WriteFile(path string, content []byte, a Attr) error {
	var w Writer
	defer w.Close()
	_, err := w.Write(path, content, a)
	return err
}

// Write makes the absolute path hold content, with the attributes, atomically
// and durably, and says what that took. It is idempotent. An error means that
// the old file is still there, whole; but where the directory could not be
// synced the new one is, and a crash may undo it: writing again syncs again.
func (w *Writer) Write(path string, content []byte, a Attr) (Written, error) {
	out, err := w.write(path, content, a)
	if err != nil {
		return Written{Stood: out.Stood, Unseen: out.Unseen, Untouched: out.Unseen || out.Untouched}, fmt.Errorf("writing %s: %w", path, err)
	}
	return out, nil
}

func (w *Writer) write(path string, content []byte, a Attr) (Written, error) {
	parent, name, err := splitPath(path)
	if err != nil {
		return Written{Unseen: true}, err
	}
	who, err := w.owners.resolve(a.Owner, a.Group)
	if err != nil {
		return Written{Unseen: true}, err
	}
	d, err := w.dir(parent, &made{mode: perm(a.DirMode, 0o750), gid: who.dirGID})
	if err != nil {
		return Written{Unseen: true}, err
	}
	defer w.release(d)
	if err := w.refuse(d, name); err != nil {
		return Written{Unseen: true}, err
	}
	d.sweep.Do(func() { _, _ = d.sweepTemps() }) // what cannot be swept must not keep a token from its place

	f := file{dir: d, name: name, mode: perm(a.Mode, 0o600), ids: who, content: content, sum: sha256.Sum256(content)}
	st, err := d.lstat(name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return f.replace()
	case err != nil:
		return Written{Untouched: true}, err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return Written{Untouched: true}, notRegular(st.Mode)
	}
	out, err := f.over(&st)
	out.Stood = true
	return out, err
}

// file is one write in progress.
type file struct {
	dir     *dir
	name    string
	mode    uint32
	ids     ids
	content []byte
	sum     [sha256.Size]byte
}

// over writes over the file that st describes, as far as it is another.
func (f *file) over(st *unix.Stat_t) (Written, error) {
	switch {
	case !f.holds(st):
		return f.replace()
	case f.furnished(st):
		return f.written(Unchanged, st), f.dir.settle()
	}
	if out, err := f.furnish(); err == nil {
		return out, nil
	}
	out, err := f.replace()
	out.Untouched = false // it holds the content already, perhaps by an earlier write
	return out, err
}

// holds reports whether the file that st describes has the content already.
func (f *file) holds(st *unix.Stat_t) bool {
	if st.Size != int64(len(f.content)) {
		return false
	}
	got, err := f.dir.read(f.name, st.Size)
	return err == nil && bytes.Equal(got, f.content)
}

// furnished reports whether mode and owner are right.
func (f *file) furnished(st *unix.Stat_t) bool {
	return st.Mode&0o7777 == f.mode &&
		(f.ids.uid == noID || int(st.Uid) == f.ids.uid) &&
		(f.ids.gid == noID || int(st.Gid) == f.ids.gid)
}

// furnish puts mode and owner right on the file that is there. Where that cannot
// be done, a new file may be the way out.
func (f *file) furnish() (Written, error) {
	fd, err := openat(f.dir.fd, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return Written{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Written{}, err
	}
	// A file with a second name is not ours alone to change.
	if st.Nlink != 1 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return Written{}, ErrChanged
	}
	// First only less: the new owner's group shall not read it by the old
	// mode, nor the old one's by the new mode.
	if err := unix.Fchmod(fd, st.Mode&f.mode&0o777); err != nil {
		return Written{}, err
	}
	if err := errors.Join(f.chown(fd), f.chmod(fd)); err != nil {
		return Written{}, err
	}
	if !f.dir.volatile {
		if err := again(func() error { return unix.Fsync(fd) }); err != nil {
			return Written{}, err
		}
	}
	if err := unix.Fstat(fd, &st); err != nil {
		return Written{}, err
	}
	return f.written(Attributes, &st), f.dir.settle()
}

func (f *file) chmod(fd int) error {
	if err := unix.Fchmod(fd, f.mode); err != nil {
		return fmt.Errorf("setting mode %04o: %w", f.mode, err)
	}
	return nil
}

func (f *file) chown(fd int) error {
	if f.ids.uid == noID && f.ids.gid == noID {
		return nil
	}
	if err := unix.Fchown(fd, f.ids.uid, f.ids.gid); err != nil {
		return fmt.Errorf("giving the file to owner %s, group %s: %w; run as root or with CAP_CHOWN, or leave owner and group out", idName(f.ids.uid), idName(f.ids.gid), err)
	}
	return nil
}

func idName(id int) string {
	if id == noID {
		return "as is"
	}
	return fmt.Sprint(id)
}

// replace writes a temporary file and renames it over the name.
func (f *file) replace() (Written, error) {
	temp, fd, err := f.dir.createTemp(f.name)
	if err != nil {
		return Written{Untouched: true}, fmt.Errorf("creating a file in %s: %w", f.dir.path, err)
	}
	// Open until the end: the lock that spares it from sweeping hangs on it.
	defer unix.Close(fd)
	out, err := f.fill(fd, temp)
	if err != nil {
		// Nothing more can be done about one that cannot be unlinked here: it
		// is swept later, and the error that counts is the first.
		gone := f.dir.unlink(temp) == nil
		return Written{Untouched: gone && out.Untouched}, err
	}
	f.dir.changes.Add(1)
	return out, f.dir.settle()
}

// fill makes the temporary file what it shall be and gives it its name.
func (f *file) fill(fd int, temp string) (Written, error) {
	// The owner goes last: once the file is another user's, changing its mode
	// takes one more capability than giving it away. It is empty still.
	given := f.ids.uid != noID || f.ids.gid != noID
	if f.mode != tempMode || given {
		if err := f.chmod(fd); err != nil {
			return Written{Untouched: true}, err
		}
	}
	if err := f.chown(fd); err != nil {
		return Written{Untouched: true}, err
	}
	if err := writeAll(fd, f.content); err != nil {
		return Written{Untouched: true}, fmt.Errorf("writing %d bytes: %w", len(f.content), err)
	}
	f.dir.date(temp)
	if !f.dir.volatile {
		if err := again(func() error { return unix.Fsync(fd) }); err != nil {
			return Written{Untouched: true}, fmt.Errorf("syncing the content: %w", err)
		}
	}
	if err := again(func() error { return unix.Renameat(f.dir.fd, temp, f.dir.fd, f.name) }); err != nil {
		if errors.Is(err, unix.EBUSY) {
			return Written{Untouched: true}, fmt.Errorf("%w, as a bind mount of a single file is, and cannot be replaced; mount its directory instead", ErrMountPoint)
		}
		return Written{}, fmt.Errorf("renaming the finished file: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Written{}, fmt.Errorf("examining the finished file: %w", err)
	}
	if !given && st.Mode&0o7777 != f.mode {
		return f.unmask(fd)
	}
	return f.written(Replaced, &st), nil
}

// unmask gives a file the mode that it was made with, of which what the process
// masks was taken away.
func (f *file) unmask(fd int) (Written, error) {
	if err := f.chmod(fd); err != nil {
		return Written{}, err
	}
	if !f.dir.volatile {
		if err := again(func() error { return unix.Fsync(fd) }); err != nil {
			return Written{}, fmt.Errorf("syncing the mode: %w", err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Written{}, fmt.Errorf("examining the finished file: %w", err)
	}
	return f.written(Replaced, &st), nil
}

func (f *file) written(c Change, st *unix.Stat_t) Written {
	w := Written{
		Change:      c,
		Fingerprint: Fingerprint{Size: int64(len(f.content)), SHA256: f.sum, Inode: st.Ino, Changed: ctime(st)},
		Mode:        fs.FileMode(st.Mode & 0o777),
		UID:         int(st.Uid), GID: int(st.Gid),
	}
	if left := seenOf(st); f.dir.tells(left) {
		w.Left = left
	}
	return w
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		var n int
		err := again(func() (err error) { n, err = unix.Write(fd, b); return err })
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
