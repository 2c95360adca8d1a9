package watch

import (
	"hash/maphash"
	"os"

	"golang.org/x/sys/unix"
)

// sum is a hash of what a file's metadata say; equal sums mean that it was, as
// far as that shows, not touched. 0: it is not there.
type sum uint64

// summer makes sums, comparable within one process.
type summer struct{ seed maphash.Seed }

func newSummer() summer { return summer{maphash.MakeSeed()} }

// facts are what a change of a file changes at least one of. The access time is
// not among them.
type facts struct {
	dev, ino       uint64
	mode, uid, gid uint32
	size           int64
	mtime, ctime   unix.Timespec
}

func factsOf(st *unix.Stat_t) facts {
	return facts{uint64(st.Dev), st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim}
}

// kind is what a name turned out to be.
type kind struct{ link, dir bool }

// of looks at name in the open directory fd (or at a path, with AT_FDCWD),
// and where it is a link also at what it leads to.
func (s summer) of(fd int, name string) (sum, kind) {
	var st, to unix.Stat_t
	if again(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }) != nil {
		return 0, kind{}
	}
	k := kind{link: st.Mode&unix.S_IFMT == unix.S_IFLNK, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
	if !k.link {
		return hash(s, factsOf(&st)), k
	}
	if again(func() error { return unix.Fstatat(fd, name, &to, 0) }) == nil {
		k.dir = to.Mode&unix.S_IFMT == unix.S_IFDIR
	}
	return hash(s, [2]facts{factsOf(&st), factsOf(&to)}), k
}

// ofDir sums a directory's entries up, whatever their order, and names those
// that are links.
func (s summer) ofDir(path string) (total sum, links []string) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil
	}
	defer f.Close()
	fd := int(f.Fd())
	total = 1 // an empty directory is not a missing one
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			one, k := s.of(fd, name)
			if k.link {
				links = append(links, name)
			}
			total += hash(s, struct {
				name string
				one  sum
			}{name, one})
		}
		if err != nil {
			return total, links
		}
	}
}

func hash[T comparable](s summer, v T) sum {
	return max(sum(maphash.Comparable(s.seed, v)), 1)
}

// openDir opens a directory for looking at many of its entries; it does not
// need to be readable.
func openDir(path string) (int, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}
