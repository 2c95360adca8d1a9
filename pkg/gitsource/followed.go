package gitsource

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What reads the configuration while nobody follows the repository has to find
// it: a link beside the checkouts leads to the directory of interest.
const (
	linkName     = "current"
	followedName = "followed"
)

// Followed finds what was followed last in a directory that a Source had: the
// directory of interest in its last checkout, and the commit. ok is false where
// there is none.
func Followed(dir string) (config, commit string, ok bool) {
	target, err := os.Readlink(filepath.Join(dir, followedName))
	if err != nil || !filepath.IsLocal(target) {
		return "", "", false
	}
	config = filepath.Join(dir, target)
	if st, err := os.Stat(config); err != nil || !st.IsDir() {
		return "", "", false
	}
	return config, commitOf(filepath.Join(dir, linkName)), true
}

// remember lets Followed find what this source follows.
func (s *Source) remember() error {
	return pointTo(filepath.Join(s.o.Dir, followedName), filepath.Join(linkName, s.below))
}

// pointTo makes a link in one step; it takes the place of another.
func pointTo(link, target string) error {
	tmp := link + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, link); err != nil {
		return err
	}
	return flush(filepath.Dir(link))
}

// commitOf is the commit that a link to a checkout leads to; "" for none.
func commitOf(link string) string {
	target, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	commit, _, _ := strings.Cut(filepath.Base(target), "-")
	return commit
}
