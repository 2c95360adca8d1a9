package state

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

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

// flockHolder finds the process that has an open file locked in /proc/locks (proc(5),
// proc_locks). It returns 0 where the kernel does not tell: the process is of another
// PID namespace, the file system has device numbers of its own (overlayfs, btrfs, NFS),
// or /proc cannot be read.
func flockHolder(f *os.File) (pid int) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer locks.Close()
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: FLOCK ADVISORY WRITE 4711 fe:00:9987533 0 EOF; who waits has a "->" before FLOCK.
		w := strings.Fields(lines.Text())
		if len(w) < 6 || w[1] != "FLOCK" || w[5] != inode {
			continue
		}
		if pid, err = strconv.Atoi(w[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
