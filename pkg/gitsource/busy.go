package gitsource

import (
	"os"
	"path/filepath"
	"strings"
)

// IndexLock is the path of the lock that git holds while it changes the work
// tree that a directory is in; "" when the directory is in none. Whether the
// file is there says whether git is at work (or was killed at it).
func IndexLock(dir string) string {
	if !filepath.IsAbs(dir) {
		return ""
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	for {
		at := filepath.Join(real, ".git")
		if info, err := os.Lstat(at); err == nil {
			if info.IsDir() {
				return filepath.Join(at, "index.lock")
			}
			// A linked work tree, or a submodule.
			b, err := os.ReadFile(at)
			if to, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "gitdir: "); ok && err == nil {
				if !filepath.IsAbs(to) {
					to = filepath.Join(real, to)
				}
				return filepath.Join(to, "index.lock")
			}
			return ""
		}
		parent := filepath.Dir(real)
		if parent == real {
			return ""
		}
		real = parent
	}
}
