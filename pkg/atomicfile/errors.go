package atomicfile

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What a caller may ask of an error. A missing file, a right that is lacking
// and so on are asked for as usual, with [io/fs]'s errors.
var (
	// ErrNotRegular: there is something at the path that is no regular file,
	// and it is left alone.
	ErrNotRegular = errors.New("not a regular file")
	// ErrUnsafePath: another user could redirect the path.
	ErrUnsafePath = errors.New("another user can redirect the path")
	// ErrMountPoint: the file is a mount of its own and cannot be replaced.
	ErrMountPoint = errors.New("the file is a mount point of its own")
	// ErrUnknownOwner: a user or group of that name does not exist (yet).
	ErrUnknownOwner = errors.New("no such user or group")
	// ErrChanged: the file is not the one that was asked for.
	ErrChanged = errors.New("the file was changed by someone else")
	// ErrInUse: the [Writer] was told to write nothing there.
	ErrInUse = errors.New("the file is in use")
	// ErrBadPath: no file can be written under such a path.
	ErrBadPath = errors.New("not a path of a file")
)

// Permanent reports whether trying the same again is pointless until somebody
// changes the configuration, the file system or our rights. A full disk, an
// exceeded quota, an I/O error and a user who does not exist yet are not
// permanent.
func Permanent(err error) bool {
	for _, target := range []error{
		ErrNotRegular, ErrUnsafePath, ErrMountPoint, ErrInUse, ErrBadPath,
		unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOTDIR, unix.EISDIR, unix.ENAMETOOLONG, unix.ELOOP, unix.ENOTSUP,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// typeOf says in words what a file is that is no regular one.
func typeOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "a regular file"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}

// notRegular is the error for something at a name that is no regular file.
func notRegular(mode uint32) error {
	what := typeOf(mode)
	if mode&unix.S_IFMT == unix.S_IFLNK {
		return fmt.Errorf("%w but %s: it is not followed; name the file that it points to, or take the link away", ErrNotRegular, what)
	}
	return fmt.Errorf("%w but %s: it is left alone; choose another path, or take it away", ErrNotRegular, what)
}

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
