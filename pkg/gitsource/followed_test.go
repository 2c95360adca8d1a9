package gitsource

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFollowed(t *testing.T) {
	dir := t.TempDir()
	if _, _, ok := Followed(dir); ok {
		t.Error("something was followed in an empty directory")
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	made := filepath.Join(dir, "checkouts", commit+"-9", "tokens")
	if err := os.MkdirAll(made, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := pointTo(filepath.Join(dir, linkName), filepath.Join("checkouts", commit+"-9")); err != nil {
		t.Fatal(err)
	}
	s := &Source{o: Options{Dir: dir}, below: "elsewhere"}
	if err := s.remember(); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := Followed(dir); ok {
		t.Error("a directory that the commit does not have was followed")
	}
	s.below = "tokens"
	if err := s.remember(); err != nil {
		t.Fatal(err)
	}
	config, got, ok := Followed(dir)
	if want := filepath.Join(dir, "current", "tokens"); !ok || config != want || got != commit {
		t.Errorf("followed %q at %q (%v), want %q at %q", config, got, ok, want, commit)
	}
	if err := pointTo(filepath.Join(dir, followedName), "../outside"); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := Followed(dir); ok {
		t.Error("a link out of the directory was followed")
	}
}
