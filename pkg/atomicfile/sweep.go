package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tempPrefix begins the name of every unfinished file, so that one that was
// left behind can be told from a user's.
const tempPrefix = ".tokend-"

// youngest is how old an empty or unlockable temporary file must be to be
// swept: a younger one may be about to be locked by whoever just created it.
const youngest = time.Minute

// tempMode is what a file is made with: nobody else reads it before it is whole.
const tempMode = 0o600

// createTemp creates a private, empty, locked file beside the name.
func (d *dir) createTemp(name string) (temp string, fd int, err error) {
	const attempts = 8
	for range attempts {
		temp = tempName(name)
		fd, err = openat(d.fd, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, tempMode)
		if !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	if err != nil {
		return "", -1, err
	}
	// A file system without locks has nobody else who sweeps on it, or loses
	// an unfinished file to them and tries again.
	_ = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	return temp, fd, nil
}

func tempName(name string) string {
	const random = 6
	var r [random]byte
	_, _ = rand.Read(r[:]) // never fails
	tail := "." + hex.EncodeToString(r[:])
	if most := unix.NAME_MAX - len(tempPrefix) - len(tail); len(name) > most {
		name = name[:most]
	}
	return tempPrefix + name + tail
}

// Sweep takes away the unfinished files that killed processes left in the
// directory, and returns their names. Those that are being written are spared.
// A directory that does not exist has none.
func Sweep(path string) ([]string, error) {
	fd, err := openDir(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweeping %s: %w", path, err)
	}
	defer unix.Close(fd)
	d := &dir{fd: fd, path: path, volatile: volatile(kindOf(fd))}
	swept, err := d.sweepTemps()
	if err != nil {
		return swept, fmt.Errorf("sweeping %s: %w", path, err)
	}
	return swept, nil
}

func (d *dir) sweepTemps() ([]string, error) {
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	var swept []string
	var errs []error
	for _, n := range names {
		if !strings.HasPrefix(n, tempPrefix) {
			continue
		}
		gone, err := d.sweepTemp(n)
		if err != nil {
			errs = append(errs, fmt.Errorf("removing %s: %w", n, err))
		} else if gone {
			swept = append(swept, n)
		}
	}
	if len(swept) > 0 {
		d.changes.Add(1)
		errs = append(errs, d.settle())
	}
	return swept, errors.Join(errs...)
}

// sweepTemp removes one file unless somebody is writing it.
func (d *dir) sweepTemp(name string) (bool, error) {
	st, err := d.lstat(name)
	if errors.Is(err, unix.ENOENT) || err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	young := time.Since(time.Unix(0, ctime(&st))) < youngest
	if st.Size == 0 && young {
		return false, nil
	}
	busy, err := d.locked(name)
	switch {
	case errors.Is(err, unix.ENOENT), busy:
		return false, nil
	case err != nil && young:
		// We cannot look at its lock (it was given to its owner already, or the
		// file system has none), so age decides.
		return false, nil
	}
	if err := d.unlink(name); err != nil && !errors.Is(err, unix.ENOENT) {
		return false, err
	}
	return true, nil
}

// locked reports whether somebody is writing the file. It never holds the lock
// itself for longer than the look: its writer is dead, and nobody else takes it.
func (d *dir) locked(name string) (bool, error) {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// list returns the names in the directory. It opens it anew, because a handle
// has one position for all who read by it.
func (d *dir) list() ([]string, error) {
	fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	return f.Readdirnames(-1)
}
