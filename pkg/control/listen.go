package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is what fits into a Unix socket's address (unix(7)), less the NUL.
const maxPath = len(unix.RawSockaddrUnix{}.Path) - 1

// Listen makes the socket, with mode 0600, and its directory if that is
// missing. A socket that nobody serves any more is replaced; [ErrInUse] if one
// is served.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listening on control socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("the path has %d bytes, and a socket's at most %d: choose a shorter one with --control", len(path), maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	conf := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// The file gets the mode that the socket has when it is bound, less the
		// umask; so there is no moment at which others could connect.
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := conf.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false) // it would remove whatever is at the path by then
	own, err := os.Lstat(path)
	if err == nil && own.Mode().Perm() != 0o600 {
		err = fmt.Errorf("the file system gave it mode %04o, want 0600: choose another place with --control", own.Mode().Perm())
	}
	if err != nil {
		ul.Close()
		return nil, err
	}
	return &listener{UnixListener: ul, path: path, own: own}, nil
}

// clearStale removes a socket that refuses connections.
func clearStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("there is a file that is no socket (%s): move it away, or choose another place with --control", fi.Mode())
	}
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	if err == nil {
		c.Close()
		return ErrInUse
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w, though it is too busy or stopped", ErrInUse)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("asking who listens there: %w", err)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(fi, now) {
		return ErrInUse // somebody else was quicker
	}
	return os.Remove(path)
}

// listener removes its socket when it is closed, if it is still its own.
type listener struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
	once sync.Once
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(l.own, now) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
