package policy

import (
	"os"
	"path/filepath"
	"strings"
)

// shifts says that the way to a path goes through the configuration's own directory,
// by whatever name: a link there may lead elsewhere a moment later. So may one of
// /proc, which leads each process elsewhere.
func (p *Policy) shifts(path string) bool {
	dir := ""
	if p.dir != "" {
		dir = resolve(p.dir)
	}
	at, left := "/", strings.Split(path, "/")
	for links := 0; len(left) > 0; {
		name := left[0]
		left = left[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		at = filepath.Join(at, name)
		if isIn(at, dir) || isIn(at, p.dir) || isIn(at, "/proc") {
			return true
		}
		to, err := os.Readlink(at)
		if err != nil {
			continue // no link, or not there: then nothing is started by this name
		}
		if links++; links > maxLinks {
			return true
		}
		left = append(strings.Split(to, "/"), left...)
		if at = filepath.Dir(at); filepath.IsAbs(to) {
			at = "/"
		}
	}
	return false
}

// isIn says whether a clean path is a directory or in it; none is in "".
func isIn(path, dir string) bool {
	return dir != "" && (path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/"))
}
