package gitsource

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestLastOptions(t *testing.T) {
	dir := t.TempDir()
	if o, ok := LastOptions(dir); ok {
		t.Errorf("an empty directory was opened with %+v", o)
	}
	for _, c := range []struct{ given, want Options }{
		{
			Options{URL: "https://me:hunter2@git.example.com/tokens", Path: "/conf/", AllowedSigners: "/etc/signers", Interval: time.Second},
			Options{URL: "https://git.example.com/tokens", Ref: "HEAD", Path: "conf", AllowedSigners: "/etc/signers", Interval: time.Second},
		},
		{
			Options{URL: "git@git.example.com:team/tokens", Ref: "main"},
			Options{URL: "git@git.example.com:team/tokens", Ref: "main", Interval: DefaultInterval},
		},
	} {
		c.given.Dir = dir
		s, err := Open(c.given)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got, ok := LastOptions(dir)
		if diff := cmp.Diff(c.want, got); !ok || diff != "" {
			t.Errorf("last opened (%v) with (-want +got):\n%s", ok, diff)
		}
		b, err := os.ReadFile(filepath.Join(dir, optionsName))
		if err != nil || strings.Contains(string(b), "hunter2") {
			t.Errorf("kept %s, %v", b, err)
		}
	}
}
