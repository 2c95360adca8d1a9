package gitsource

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The disk that a repository is kept on is mostly the one that the state is kept
// on, and a state that cannot be written is the end of all refreshing. So whoever
// can push gets half of what is free there, and what a transfer that failed left
// behind goes at once.

// roomLook is how often a transfer is looked at while it goes on.
const roomLook = 50 * time.Millisecond

// half is half of what is free where a path is; ok is false where that is not
// known.
func half(path string) (bytes int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize) / 2, true
}

// fits refuses a commit whose files would take more than half of what is free.
func fits(dir, commit string, list []entry) error {
	room, ok := half(dir)
	var all extent
	for _, e := range list {
		all.add(e)
	}
	if ok && all.bytes > room {
		return &refusedError{fmt.Sprintf("commit %s has %d MiB of files, and half of what is free in %s is %d MiB: make room there", short(commit), all.bytes>>20, filepath.Dir(dir), room>>20)}
	}
	return nil
}

// blockSize is what the smallest file, and a directory, takes on most disks.
const blockSize = 4096

// extent is how much a checkout of entries takes. Few objects can stand for many
// directories: each entry may have some two thousand above it that no other has.
type extent struct {
	files int   // and directories
	bytes int64 // in whole blocks
	names int64 // bytes of the paths
	last  string
}

// add counts the next entry in git's order, in which a directory's stand together.
func (x *extent) add(e entry) {
	common := 0 // of the path, as far as directories go
	for i := 0; i < len(e.path) && i < len(x.last) && e.path[i] == x.last[i]; i++ {
		if e.path[i] == '/' {
			common = i + 1
		}
	}
	made := strings.Count(e.path[common:], "/")
	x.files += 1 + made
	x.bytes += (e.size+blockSize-1)/blockSize*blockSize + int64(made)*blockSize
	x.names += int64(len(e.path))
	x.last = e.path
}

// tooLargeError is a transfer that was given up because of its size.
type tooLargeError struct {
	refusedError
	object string // what was to be had
	most   int64  // how much it may have had
}

func (e *tooLargeError) Unwrap() error { return &e.refusedError }

// mostOf is how large a transfer into a repository may be.
func mostOf(repository string) int64 {
	if room, ok := half(repository); ok {
		return min(maxBytes, room)
	}
	return maxBytes
}

// watchRoom ends a transfer into a repository that takes more than a
// configuration may have, or more than half of what is free. stop ends the
// watching, and says whether the transfer became too large; nil if it did not.
func watchRoom(ctx context.Context, repository, object string) (watched context.Context, stop func() *tooLargeError) {
	most, before := mostOf(repository), sizeOf(packs(repository))
	over := func() bool { return sizeOf(packs(repository))-before > most }
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(roomLook)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if over() {
					cancel()
				}
			}
		}
	}()
	return ctx, func() *tooLargeError {
		cancel()
		<-ended
		if !over() { // also where the disk was full before it was looked at
			return nil
		}
		why := fmt.Sprintf("what is to be fetched takes more than %d MiB, and no more is taken than %d MiB and half of what is free in %s", most>>20, maxBytes>>20, filepath.Dir(repository))
		return &tooLargeError{refusedError{why}, object, most}
	}
}

func packs(repository string) string { return filepath.Join(repository, "objects", "pack") }

// sizeOf is how much the files in a directory take.
func sizeOf(dir string) (bytes int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0 // not there yet
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().Type() == fs.FileMode(0) {
			bytes += info.Size()
		}
	}
	return bytes
}

// sweepPacks removes what transfers that failed left in a repository. Nothing is
// being fetched into it.
func sweepPacks(repository string) {
	left, _ := filepath.Glob(filepath.Join(packs(repository), "tmp_*"))
	for _, name := range left {
		_ = os.Remove(name) // the next one tries it again
	}
}
