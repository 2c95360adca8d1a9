package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// stamp is what tells, without reading it, that a file was not touched: its
// identity, size and times. The time of the last change of the inode is among
// them, which nobody can set back.
type stamp struct {
	dev, ino    uint64
	size        int64
	mtime       int64
	ctime       int64
	trustworthy bool
}

// racy is how long after a change another one can leave the same stamp, because
// file systems keep times no finer than the kernel's tick.
const racy = 100 * time.Millisecond

func stampOf(info fs.FileInfo, now time.Time) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	s := stamp{
		dev: uint64(st.Dev), ino: st.Ino, size: info.Size(),
		mtime: info.ModTime().UnixNano(), ctime: time.Unix(st.Ctim.Unix()).UnixNano(),
	}
	s.trustworthy = now.Sub(time.Unix(0, max(s.ctime, s.mtime))) > racy
	return s
}

// readDir reads the files of a directory, but not those that the previous
// configuration has read and that were not touched since.
func readDir(dir string, prev *Config) ([]input, Diagnostics) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, Diagnostics{unreadable(dir, err)}
	}
	var files []input
	var diags Diagnostics
	for _, e := range entries {
		if !IsConfigFile(e.Name()) || e.IsDir() {
			continue
		}
		f, err := readInput(dir, e.Name(), prev)
		if err != nil {
			diags = append(diags, hinted(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unreadable file",
				Detail: fmt.Sprintf("Reading %s: %s.", filepath.Join(dir, e.Name()), osReason(err))}, readHint(err)))
			continue
		}
		files = append(files, f)
	}
	return files, diags
}

// readHint is what to do where a file or directory cannot be read.
func readHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user that tokend runs as read it (chown, chmod), or run the command as a user who may"
	case errors.Is(err, fs.ErrNotExist):
		return "it is a link that leads nowhere: mend the link, or take it away"
	case errors.Is(err, errNotRegular):
		return "put a file there, or call it otherwise: all that is called *.hcl or *.hcl.json is read"
	}
	return "mend the disk or the link that it is read by, or take it out of the directory"
}

var errNotRegular = errors.New("it is not a regular file")

// readInput reads one file, unless it is the one that was read before.
func readInput(dir, fileName string, prev *Config) (input, error) {
	path := filepath.Join(dir, fileName)
	now := time.Now()
	info, err := os.Stat(path)
	if err != nil {
		return input{}, err
	}
	if !info.Mode().IsRegular() {
		return input{}, errNotRegular
	}
	in := input{File: File{Name: fileName}, stamp: stampOf(info, now)}
	if prev != nil && prev.dir == dir {
		if was := prev.stamps[fileName]; was.trustworthy && was == in.stamp {
			if in.src = prev.source(fileName, false); in.src != nil {
				return in, nil
			}
		}
	}
	if info.Size() > MaxFileSize {
		in.Bytes = make([]byte, MaxFileSize+1) // which is refused without a look at it
		return in, nil
	}
	in.Bytes, err = os.ReadFile(path)
	return in, err
}
