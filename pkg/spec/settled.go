package spec

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// A directory that changes while it is read is read again, so often and with
// such pauses, longer each time: half a second in all.
const (
	mostTries    = 10
	betweenTries = 10 * time.Millisecond
)

// restless says that a directory did not hold still for as long as a reading of
// it takes.
func restless(dir string) *hcl.Diagnostic {
	return hinted(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Files that keep changing",
		Detail: "The files of " + dir + " changed each time they were read, so that no moment could be seen whole."},
		"find what writes there again and again; a file that is read by a function counts, too")
}

// unchanged reports whether what was read is still what is on the disk, so that
// all of it was there at one moment. c is nil where there are mistakes.
func unchanged(dir string, files []input, c *Config) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return len(files) == 0 && c == nil // it was not there before either
	}
	was := make(map[string]*input, len(files))
	for i := range files {
		was[files[i].Name] = &files[i]
	}
	now := time.Now()
	seen := 0
	for _, e := range entries {
		if !IsConfigFile(e.Name()) || e.IsDir() {
			continue
		}
		in, known := was[e.Name()]
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if !known {
			if err == nil && info.Mode().IsRegular() {
				if f, err := os.Open(path); err == nil {
					_ = f.Close()
					return false // new
				}
			}
			continue // it could not be read then either
		}
		if err != nil || !in.stamp.same(stampOf(info, now)) || !in.sameBytes(path) {
			return false
		}
		seen++
	}
	return seen == len(files) && (c == nil || c.reads.still())
}

// same compares the files, and not when that was looked at.
func (s stamp) same(o stamp) bool {
	s.trustworthy, o.trustworthy = false, false
	return s == o
}

// sameBytes looks into a file whose stamp is so young that another change may
// have left the same.
func (in *input) sameBytes(path string) bool {
	if in.stamp.trustworthy || in.src != nil || len(in.Bytes) > MaxFileSize {
		return true
	}
	b, err := os.ReadFile(path)
	return err == nil && bytes.Equal(b, in.Bytes)
}

// still reports whether the files whose content was read hold it still.
func (r *readLog) still() bool {
	for _, path := range r.list() {
		was := r.sum(path)
		if _, given := r.content(path); was == "" || given {
			continue
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
