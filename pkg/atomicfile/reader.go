package atomicfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Fingerprint recognises a file that [Writer.Write] left, without its content.
// The hash is not keyed: where contents could be guessed, keep it sealed.
type Fingerprint struct {
	Size   int64
	SHA256 [sha256.Size]byte
	// Inode and Changed (the inode's change time, in nanoseconds) recognise
	// a file that may not be read, because it was given away to another user.
	// Zero: unknown.
	Inode   uint64
	Changed int64
}

// Sum is the fingerprint of a content, without inode.
func Sum(content []byte) Fingerprint {
	return Fingerprint{Size: int64(len(content)), SHA256: sha256.Sum256(content)}
}

// Hex is the hash in hexadecimal.
func (f Fingerprint) Hex() string { return hex.EncodeToString(f.SHA256[:]) }

// Info is what is at a path.
type Info struct {
	Type     string      // in words: "a regular file", "a symbolic link", …
	Regular  bool        // all that follows is of a regular file only
	Mode     fs.FileMode // permission bits, setuid and the like included
	UID, GID int
	Links    int
	// Match is the index of the first fingerprint that the file answers to,
	// -1 if none.
	Match int
}

// Inspect says what is at the absolute path, without following a symbolic link
// there, and which of the fingerprints it answers to. It changes nothing.
// Nothing at the path, or no directory, is [fs.ErrNotExist]. A file that may not
// be read, and cannot be recognised otherwise, is [fs.ErrPermission]; the Info
// is valid then, too.
func (w *Writer) Inspect(path string, known ...Fingerprint) (Info, error) {
	d, name, err := w.find(path)
	if err != nil {
		return Info{}, fmt.Errorf("examining %s: %w", path, err)
	}
	defer w.release(d)
	info, err := d.inspect(name, known)
	if err != nil {
		return info, fmt.Errorf("examining %s: %w", path, err)
	}
	return info, nil
}

// Remove takes the file at the absolute path away if it answers to the
// fingerprint, durably; otherwise it fails with [ErrChanged] and touches
// nothing. It reports false when there is no such file.
func (w *Writer) Remove(path string, f Fingerprint) (removed bool, err error) {
	removed, err = w.remove(path, f)
	if err != nil {
		return removed, fmt.Errorf("removing %s: %w", path, err)
	}
	return removed, nil
}

func (w *Writer) remove(path string, f Fingerprint) (bool, error) {
	d, name, err := w.find(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer w.release(d)
	info, err := d.inspect(name, []Fingerprint{f})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// An earlier removal may have been killed before its sync.
		return false, d.settle()
	case err != nil:
		return false, err
	case !info.Regular:
		return false, fmt.Errorf("%w: it is %s now", ErrChanged, info.Type)
	case info.Match < 0:
		return false, fmt.Errorf("%w: it holds something else now", ErrChanged)
	}
	if err := d.unlink(name); err != nil && !errors.Is(err, unix.ENOENT) {
		if errors.Is(err, unix.EBUSY) {
			return false, fmt.Errorf("%w and cannot be removed; unmount it first", ErrMountPoint)
		}
		return false, err
	}
	d.changes.Add(1)
	return true, d.settle()
}

// find returns the directory of a path, if it exists, and the name.
func (w *Writer) find(path string) (*dir, string, error) {
	parent, name, err := splitPath(path)
	if err != nil {
		return nil, "", err
	}
	d, err := w.dir(parent, nil)
	if errors.Is(err, unix.ENOTDIR) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err) // there is nothing below a file
	}
	return d, name, err
}

func (d *dir) inspect(name string, known []Fingerprint) (Info, error) {
	st, err := d.lstat(name)
	if err != nil {
		return Info{}, err
	}
	info := Info{Type: typeOf(st.Mode), Match: -1}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return info, nil
	}
	info.Regular, info.Mode = true, fs.FileMode(st.Mode&0o7777)
	info.UID, info.GID, info.Links = int(st.Uid), int(st.Gid), int(st.Nlink)
	return info, info.match(d, name, &st, known)
}

// match reads the file, if it has the size of one that is known.
func (i *Info) match(d *dir, name string, st *unix.Stat_t, known []Fingerprint) error {
	sized := false
	for _, k := range known {
		sized = sized || k.Size == st.Size
	}
	if !sized {
		return nil
	}
	content, err := d.read(name, st.Size)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	readable := err == nil
	sum := sha256.Sum256(content)
	for n, k := range known {
		same := readable && k.SHA256 == sum
		same = same || !readable && k.Inode == st.Ino && k.Changed == ctime(st)
		if same && k.Size == st.Size {
			i.Match = n
			return nil
		}
	}
	return err
}

// read returns a file's content, of which size bytes are expected: one more is
// asked for, so that a file that grew in the meantime does not look equal.
func (d *dir) read(name string, size int64) ([]byte, error) {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, size+1)
	n := 0
	for n < len(buf) && (n == 0 || int64(n) != size) {
		var m int
		err := again(func() (err error) { m, err = unix.Read(fd, buf[n:]); return err })
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return buf[:n], nil
}

func ctime(st *unix.Stat_t) int64 { return st.Ctim.Nano() }
