package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// writeZeros sets blocks aside the slow way.
func writeZeros(f *os.File, off, n int64) error {
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		k := min(n, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:k], off); err != nil {
			return err
		}
		off, n = off+k, n-k
	}
	return nil
}

// LockedError says who holds a state. It is an [ErrLocked].
type LockedError struct {
	Path   string // of the lock, or of the state itself where its lock was deleted meanwhile
	PID    int    // 0: it is not known
	Holder string // what that process said of itself ([Options.Holder]); "": nothing
}

// Error names the process.
func (e *LockedError) Error() string {
	who := "a process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	text := fmt.Sprintf("%s: %s holds %s", ErrLocked, who, e.Path)
	if e.Holder != "" {
		text += " (" + e.Holder + ")"
	}
	return text
}

// Unwrap makes it an [ErrLocked].
func (e *LockedError) Unwrap() error { return ErrLocked }

// lockFile takes the lock at path and writes into it this process's id and what it
// says of itself, for who waits. The file stays when the lock goes: removing it would
// let two processes each hold a lock of that name.
func lockFile(path, holder string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the state: %w", err)
	}
	ok, err := tryLock(f)
	if err == nil && !ok {
		err = lockedBy(f, path)
	}
	if err == nil {
		err = writeHolder(f, holder)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the state: %w", err)
	}
	return f, nil
}

// holderBytes bounds what is read of a lock.
const holderBytes = 128

func writeHolder(f *os.File, holder string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	// A full disk keeps nobody from locking; the holder is then nameless.
	_, _ = f.WriteAt([]byte(strings.TrimSpace(strconv.Itoa(os.Getpid())+" "+holder)+"\n"), 0)
	return nil
}

// lockedBy reads who holds a lock: its process, and since a later version, what
// that says of itself. Of a lock that was emptied the kernel knows the process.
func lockedBy(f *os.File, path string) error {
	e := &LockedError{Path: path}
	defer func() {
		if e.PID <= 0 {
			e.PID = flockHolder(f)
		}
	}()
	b := make([]byte, holderBytes)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return e
	}
	line, whole, _ := strings.Cut(string(b[:n]), "\n")
	pid, holder, _ := strings.Cut(line, " ")
	if e.PID, err = strconv.Atoi(pid); err == nil && whole == "" {
		e.Holder = holder
	}
	return e
}

// notHeld says whether the state at path is held all the same where its lock is free:
// by a process under which state.lock was deleted. While the returned file is open,
// nobody opens that state; it is nil where there is none.
func notHeld(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state: %w", err)
	}
	ok, err := tryLock(f)
	if err == nil && !ok {
		err = heldWithoutLock(f, path)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the state: %w", err)
	}
	return f, nil
}

// heldWithoutLock says who holds a state whose lock is free.
func heldWithoutLock(f *os.File, path string) error {
	return fmt.Errorf("%w, but not %s", &LockedError{Path: path, PID: flockHolder(f)}, LockName)
}
