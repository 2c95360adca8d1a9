package atomicfile

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Seen tells a file as it was looked at from the same file after somebody touched
// it: every change of content, mode or owner changes the inode's change time (in
// nanoseconds), and a replacement the inode. Within one tick of the kernel's clock a
// change of the content is told by the content's own time alone.
type Seen struct {
	Inode    uint64
	Changed  int64
	Modified int64
}

// Untouched reports whether the file at the absolute path is as a [Writer.Write]
// left it: content, mode and owner. False says nothing more. Where the file system
// keeps inodes and times of change as they are, a file of the same size that has
// both is not read again, unless the content's own time is that of the change: that
// Write gave it one of its own, and who changes it in place within the same tick of the
// kernel's clock (some milliseconds) leaves both alike.
func (w *Writer) Untouched(path string, left Written) (Seen, bool) {
	d, name, err := w.find(path)
	if err != nil {
		return Seen{}, false
	}
	defer w.release(d)
	st, err := d.lstat(name)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != left.Fingerprint.Size ||
		fs.FileMode(st.Mode&0o7777) != left.Mode || int(st.Uid) != left.UID || int(st.Gid) != left.GID {
		return Seen{}, false
	}
	seen := seenOf(&st)
	if seen.Inode == left.Fingerprint.Inode && seen.Changed == left.Fingerprint.Changed && d.tells(seen) {
		return seen, true
	}
	i := Info{Match: -1}
	err = i.match(d, name, &st, []Fingerprint{left.Fingerprint})
	return seen, err == nil && i.Match == 0
}

func seenOf(st *unix.Stat_t) Seen {
	return Seen{Inode: st.Ino, Changed: ctime(st), Modified: st.Mtim.Nano()}
}

// tells reports whether a file of the directory that is looked at later, and is as it
// was seen, was certainly changed by nobody meanwhile.
func (d *dir) tells(s Seen) bool {
	return d.faithful && fine(s.Changed) && s.Modified != s.Changed
}

// date gives a file that was just written the time by the clock, which no tick has:
// see [Writer.Untouched]. One that cannot be given it is read again.
func (d *dir) date(name string) {
	at := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(time.Now().UnixNano())}
	_ = unix.UtimesNanoAt(d.fd, name, at, unix.AT_SYMLINK_NOFOLLOW)
}

// fine reports whether a time is of a clock that counts more than seconds: one that
// does not may be that of two changes.
func fine(t int64) bool { return t%int64(time.Second) != 0 }

// faithful reports whether what a file system says of an inode is what this kernel
// knows itself. A network's may be of a moment ago, and what others make up need not
// stay as it is.
func faithful(kind int64) bool {
	switch kind {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return true
	}
	return false
}
