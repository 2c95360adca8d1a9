package state

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes the file system set blocks aside for [off, off+n), lengthening
// the file where it ends earlier. A file system that cannot do it gets zeros
// written, which only is right where nothing lies yet.
func allocate(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, off, n)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			return writeZeros(f, off, n)
		}
		return err
	}
}

// dropCache asks the kernel to forget the file's clean pages, so that the next
// read comes from the disk: after a failed sync the cache may hold what never
// got there.
func dropCache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// readAhead asks the kernel to read the file in order before it is needed in
// another.
func readAhead(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_WILLNEED) }

// unmapPages gives back the resident pages of a file mapping; they are mapped
// again when they are touched.
func unmapPages(addr uintptr, n int) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, addr, uintptr(n), unix.MADV_DONTNEED)
}
