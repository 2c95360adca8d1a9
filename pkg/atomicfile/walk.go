package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may go through, as in the kernel.
const maxLinks = 40

// worldWritable and sticky are bits of a directory's mode.
const (
	worldWritable = 0o002
	otherWritable = 0o022
	sticky        = unix.S_ISVTX
)

// made says how missing directories are made; nil: they are an error.
type made struct {
	mode uint32
	gid  int
}

// walker goes down a path with one open handle. The handle is what makes it
// safe: what a name meant is looked at through it, and cannot be swapped
// between the look and the next step.
type walker struct {
	fd    int
	st    unix.Stat_t
	at    string // for messages
	links int
}

// openDir opens the directory at the absolute path for reading.
func openDir(path string, m *made) (int, error) {
	w := &walker{fd: -1}
	defer w.close()
	if err := w.restart(); err != nil {
		return -1, err
	}
	todo := parts(path)
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		link, err := w.step(name, m)
		if err != nil {
			return -1, err
		}
		if link == "" {
			continue
		}
		if strings.HasPrefix(link, "/") {
			if err := w.restart(); err != nil {
				return -1, err
			}
		}
		todo = append(parts(link), todo...)
	}
	return w.readable()
}

func parts(path string) []string {
	var out []string
	for _, p := range strings.Split(path, "/") {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}

func (w *walker) close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
		w.fd = -1
	}
}

func (w *walker) restart() error {
	fd, err := openat(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("opening /: %w", err)
	}
	return w.enter(fd, "/")
}

// readable turns the walker's handle into one that can be listed and synced.
func (w *walker) readable() (int, error) {
	fd, err := openat(w.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, fmt.Errorf("opening directory %s: %w", w.at, err)
	}
	return fd, nil
}

// step goes to a name. When it is a symbolic link that may be followed, the
// walker stays where it is and the link's target is returned.
func (w *walker) step(name string, m *made) (string, error) {
	at := filepath.Join(w.at, name)
	fd, err := openat(w.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) && m != nil && name != ".." {
		fd, err = w.mkdir(name, at, *m)
	}
	if err != nil {
		return "", fmt.Errorf("opening directory %s: %w", at, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return "", fmt.Errorf("examining %s: %w", at, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		defer unix.Close(fd)
		return w.follow(fd, &st, at)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		_ = unix.Close(fd)
		return "", fmt.Errorf("opening directory %s: %w: it is %s", at, unix.ENOTDIR, typeOf(st.Mode))
	}
	return "", w.enter(fd, at)
}

func (w *walker) enter(fd int, at string) error {
	w.close()
	w.fd, w.at = fd, at
	if err := unix.Fstat(fd, &w.st); err != nil {
		return fmt.Errorf("examining %s: %w", at, err)
	}
	return checkDir(&w.st, at)
}

// checkDir refuses a directory in which anybody can exchange our files and
// whose owner we have no reason to trust.
func checkDir(st *unix.Stat_t, at string) error {
	if st.Mode&worldWritable != 0 && st.Mode&sticky == 0 && !trusted(st.Uid) {
		return fmt.Errorf("%w: directory %s belongs to uid %d and everybody may write to it; take that right away (chmod o-w) or choose another path", ErrUnsafePath, at, st.Uid)
	}
	return nil
}

// trusted reports whether a user may decide where our files go: root and
// whoever we run as.
func trusted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// follow reads a symbolic link that nobody else can have put there: the
// directory is writable to no one else, or it is sticky, so that nobody can
// exchange what belongs to root or to us, and the link does.
func (w *walker) follow(fd int, st *unix.Stat_t, at string) (string, error) {
	ours := trusted(w.st.Uid)
	private := ours && w.st.Mode&otherWritable == 0
	if !private && (!ours || w.st.Mode&sticky == 0 || !trusted(st.Uid)) {
		return "", fmt.Errorf("%w: %s is a symbolic link in a directory that others may write to; write the path without the link", ErrUnsafePath, at)
	}
	if w.links++; w.links > maxLinks {
		return "", fmt.Errorf("opening directory %s: %w", at, unix.ELOOP)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", fmt.Errorf("reading link %s: %w", at, err)
	}
	return string(buf[:n]), nil
}

// mkdir makes a directory, durably, and opens it.
func (w *walker) mkdir(name, at string, m made) (int, error) {
	err := again(func() error { return unix.Mkdirat(w.fd, name, m.mode) })
	if errors.Is(err, unix.EEXIST) { // somebody was faster
		return openat(w.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("making it: %w", err)
	}
	fd, err := openat(w.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	if err := w.furnish(fd, at, m); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("making it: %w", err)
	}
	return fd, nil
}

// furnish gives a directory that we made its group and mode, and makes it
// outlive a crash.
func (w *walker) furnish(fd int, at string, m made) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s was exchanged while it was being made", ErrUnsafePath, at)
	}
	if m.gid != noID && int(st.Gid) != m.gid {
		if err := unix.Fchown(fd, noID, m.gid); err != nil {
			return fmt.Errorf("giving it to group %d: %w", m.gid, err)
		}
	}
	// A set-group-id bit that was inherited stays: it is the administrator's.
	if want := m.mode | st.Mode&unix.S_ISGID; st.Mode&0o7777 != want {
		if err := unix.Fchmod(fd, want); err != nil {
			return fmt.Errorf("setting its mode: %w", err)
		}
	}
	if volatile(kindOf(fd)) {
		return nil
	}
	if err := again(func() error { return unix.Fsync(fd) }); err != nil {
		return fmt.Errorf("syncing it: %w", err)
	}
	parent, err := w.readable()
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	return again(func() error { return unix.Fsync(parent) })
}

// kindOf is the number of the kind of file system that a file is on; 0: unknown.
func kindOf(fd int) int64 {
	var fs unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(fd, &fs) }); err != nil {
		return 0
	}
	return int64(fs.Type)
}

// volatile reports whether a file system is in memory, where syncing is
// pointless.
func volatile(kind int64) bool { return kind == unix.TMPFS_MAGIC || kind == unix.RAMFS_MAGIC }

func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// splitPath returns the directory and name of a file's absolute path.
func splitPath(path string) (dir, name string, err error) {
	switch {
	case !filepath.IsAbs(path):
		return "", "", fmt.Errorf("%w: it must be absolute", ErrBadPath)
	case strings.ContainsRune(path, 0):
		return "", "", fmt.Errorf("%w: it contains a zero byte", ErrBadPath)
	case strings.HasSuffix(path, "/"), path != filepath.Clean(path):
		return "", "", fmt.Errorf("%w: it must be clean, without a slash at its end, and without empty, . and .. parts", ErrBadPath)
	}
	dir, name = filepath.Split(path)
	if strings.HasPrefix(name, tempPrefix) {
		return "", "", fmt.Errorf("%w: names that begin with %s are those of unfinished files, which are swept away", ErrBadPath, tempPrefix)
	}
	return filepath.Clean(dir), name, nil
}

// perm is the mode that a caller asked for, or the default.
func perm(mode, def fs.FileMode) uint32 {
	if mode == 0 {
		mode = def
	}
	return uint32(mode.Perm())
}
