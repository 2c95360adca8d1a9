package watch

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks on one way, as the kernel has it.
const maxLinks = 40

// hop is one step on the way to a path: an entry of a directory whose change
// means that the way leads elsewhere. dir has no symbolic link in it.
type hop struct{ dir, name string }

// fileID tells a file from another one that took its path.
type fileID struct{ dev, ino uint64 }

// way is how a path resolves at one moment.
type way struct {
	hops []hop  // every entry passed, the missing one last where there is one
	real string // the path without links; empty when it is not there
	id   fileID
	dir  bool // it is a directory
}

func (w way) equal(o way) bool {
	return w.real == o.real && w.id == o.id && w.dir == o.dir && slices.Equal(w.hops, o.hops)
}

// resolve follows rest from the directory start, which has no link in it,
// step by step, and notes the steps. What cannot be followed (missing, not a
// directory, not permitted, a loop) ends the way there.
func resolve(start, rest string) way {
	w := way{}
	at := start
	todo := strings.Split(rest, "/")
	links := 0
	st := unix.Stat_t{}
	known := false // st is at's
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at, known = filepath.Dir(at), false
			continue
		}
		if known && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return way{hops: w.hops} // a file is used as a directory
		}
		w.hops = append(w.hops, hop{at, name})
		full := join(at, name)
		if lstat(full, &st) != nil {
			return way{hops: w.hops}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			at, known = full, true
			continue
		}
		target, err := readlink(full)
		if links++; err != nil || links > maxLinks {
			return way{hops: w.hops}
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		known = false
		todo = append(strings.Split(target, "/"), todo...)
	}
	if !known && lstat(at, &st) != nil {
		return way{hops: w.hops}
	}
	w.real, w.id = at, fileID{uint64(st.Dev), st.Ino}
	w.dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	return w
}

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// split is the inverse of join.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/", path[i+1:]
	}
	return path[:i], path[i+1:]
}

func lstat(path string, st *unix.Stat_t) error {
	return again(func() error { return unix.Lstat(path, st) })
}

func readlink(path string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n := 0
	err := again(func() (err error) { n, err = unix.Readlink(path, buf); return err })
	return string(buf[:max(n, 0)]), err
}

// again repeats what a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
