package gitsource

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What reads the configuration while nobody follows the repository has to find
// it: a link beside the checkouts leads to the directory of interest.
const (
	linkName     = "current"
	followedName = "followed"
	optionsName  = "followed.json"
)

// lastOptions are what a source was opened with, as its file has them: what a
// person needs to go on with it, and nothing secret.
type lastOptions struct {
	URL            string        `json:"url"`
	Ref            string        `json:"ref"`
	Path           string        `json:"path,omitempty"`
	AllowedSigners string        `json:"allowed_signers,omitempty"`
	Interval       time.Duration `json:"interval"`
}

// LastOptions are those that the last Source of a directory was opened with, so
// that a person can be told how to go on: the URL without a password, and only
// what says which repository is followed and how. ok is false where there is none.
func LastOptions(dir string) (o Options, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, optionsName))
	if err != nil {
		return Options{}, false
	}
	var last lastOptions
	if err := json.Unmarshal(b, &last); err != nil || last.URL == "" {
		return Options{}, false
	}
	return Options{URL: last.URL, Ref: last.Ref, Path: last.Path, AllowedSigners: last.AllowedSigners, Interval: last.Interval}, true
}

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

// remember lets Followed and LastOptions find what this source follows.
func (s *Source) remember() error {
	last := lastOptions{Ref: s.o.Ref, Path: strings.TrimPrefix(s.below, "."), AllowedSigners: s.o.AllowedSigners, Interval: s.o.Interval}
	if st := s.status.Load(); st != nil {
		last.URL = st.URL
	}
	b, err := json.Marshal(last)
	if err != nil {
		return err
	}
	name := filepath.Join(s.o.Dir, optionsName)
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
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
