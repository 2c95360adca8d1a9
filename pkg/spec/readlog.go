package spec

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sort"
	"sync"
)

// readLog remembers which files a configuration read beside its own, and what
// was in them, so that one configuration sees one content for as long as it
// lives, and the same again when it is loaded from memory.
type readLog struct {
	mu    sync.Mutex
	given map[string][]byte // contents that stand for files of the disk
	allow func(path string) error
	paths map[string]bool
	sums  map[string]string
	kept  map[string][]byte
	gone  map[string]bool // paths at which nothing was found
}

// add records that the file at the absolute path was read.
func (r *readLog) add(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paths == nil {
		r.paths = map[string]bool{}
	}
	r.paths[path] = true
}

// missed records that nothing was found at a path.
func (r *readLog) missed(path string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone == nil {
		r.gone = map[string]bool{}
	}
	r.gone[path] = true
}

// stillMissing reports that nothing was found at a path, and nothing is there.
func (r *readLog) stillMissing(path string) bool {
	r.mu.Lock()
	was := r.gone[path]
	r.mu.Unlock()
	if !was {
		return false
	}
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// only forgets all paths but these.
func (r *readLog) only(paths []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.paths {
		if _, listed := slices.BinarySearch(paths, p); !listed {
			delete(r.paths, p)
			delete(r.sums, p)
			delete(r.kept, p)
			delete(r.gone, p)
		}
	}
}

// keep records what was read.
func (r *readLog) keep(path string, content []byte) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sums == nil {
		r.sums = map[string]string{}
		r.kept = map[string][]byte{}
	}
	sum := sha256.Sum256(content)
	r.sums[path] = string(sum[:])
	r.kept[path] = content
}

// content returns what stands for the file at the absolute path, if anything.
func (r *readLog) content(path string) ([]byte, bool) {
	if r == nil {
		return nil, false
	}
	b, ok := r.given[path]
	return b, ok
}

// check says why a file may not be read.
func (r *readLog) check(path string) error {
	if r == nil || r.allow == nil {
		return nil
	}
	return r.allow(path)
}

// sum is a hash of what was read at a path, "" where nothing was.
func (r *readLog) sum(path string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums[path]
}

// contents returns all that was read, by path.
func (r *readLog) contents() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.kept)
}

// unchanged reports whether everything that was read is still the same on the
// disk. What was not a file's content (a directory that was listed, a file that
// was not there) cannot be told and counts as changed.
func (r *readLog) unchanged() bool {
	for _, path := range r.list() {
		was := r.sum(path)
		if was == "" {
			if r.stillMissing(path) {
				continue
			}
			return false
		}
		b, err := readRegular(path)
		if err != nil {
			return false
		}
		if now := sha256.Sum256(b); string(now[:]) != was {
			return false
		}
	}
	return true
}

// all lists what was read, and under their names what was kept besides: which
// files matched a pattern, and whether one was there.
func (r *readLog) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Collect(maps.Keys(r.paths))
	for k := range r.sums {
		if !r.paths[k] {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

func (r *readLog) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.paths))
	for p := range r.paths {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}
