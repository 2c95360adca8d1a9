package gitsource_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokend/pkg/gitsource"
)

func TestFollowsARepositoryByItsDaemon(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	first := u.push("main.hcl", "one")
	url, stop := serve(t, filepath.Dir(u.dir))
	f := open(t, gitsource.Options{URL: url + "/repo", Ref: "main", Interval: 20 * time.Millisecond})
	f.start()
	f.wantFile("main.hcl", "one")
	if got := f.Status(); got.Commit != first || got.Subject != "change main.hcl" || !got.CommittedAt.Equal(u.date) || got.CheckedAt.IsZero() || got.Error != "" {
		t.Errorf("Status() = %+v", got)
	}
	if !strings.Contains(f.logs.String(), "use https or ssh") {
		t.Errorf("nothing is said of an open way without signatures:\n%s", f.logs)
	}
	f.follow()
	second := u.push("main.hcl", "two")
	f.becomes(second)
	f.wantFile("main.hcl", "two")

	// A remote that does not answer.
	stop()
	f.fails("Connection refused")
	f.wantFile("main.hcl", "two")
	if got := f.Status(); got.Since.IsZero() || got.Commit != second {
		t.Errorf("Status() = %+v", got)
	}
}

func TestRemoteComesBack(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	first := u.push("main.hcl", "one")
	f := open(t, gitsource.Options{URL: u.dir, Ref: "main"})
	f.start()
	f.follow()
	away := u.dir + ".away"
	check(t, os.Rename(u.dir, away))
	f.Poke()
	f.fails("does not appear to be a git repository")
	if f.Commit() != first {
		t.Errorf("the commit is %s", f.Commit())
	}
	check(t, os.Rename(away, u.dir))
	second := u.push("main.hcl", "two")
	f.Poke()
	f.becomes(second)
	until(t, "the error is gone", func() bool { return f.Status().Error == "" && f.Status().Since.IsZero() })
	if n := strings.Count(f.logs.String(), "followed again"); n != 1 {
		t.Errorf("it was said %d times that it goes on:\n%s", n, f.logs)
	}
}

func TestForcedHistoryRemovedRefAndBack(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	first := u.push("main.hcl", "one")
	second := u.push("main.hcl", "two")
	f := open(t, gitsource.Options{URL: "file://" + u.dir, Ref: "refs/heads/main"})
	f.start()
	f.follow()
	if f.Commit() != second {
		t.Fatalf("commit %s, want %s", f.Commit(), second)
	}
	u.git("reset", "--quiet", "--hard", first)
	f.Poke()
	f.becomes(first)
	f.wantFile("main.hcl", "one")
	u.git("checkout", "--quiet", "--orphan", "other")
	u.write("main.hcl", "three")
	third := u.commit("another history")
	u.git("branch", "--force", "main", "other")
	f.Poke()
	f.becomes(third)
	u.git("branch", "-D", "main")
	f.Poke()
	f.fails("no such ref")
	f.wantFile("main.hcl", "three")
	u.git("branch", "main", first)
	f.Poke()
	f.becomes(first)
	f.wantFile("main.hcl", "one")
}

// A ref is found as git finds it: exactly, and not by the end of its name.
func TestRefs(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	first := u.push("main.hcl", "one")
	u.git("tag", "--annotate", "--message", "released", "v1")
	u.git("branch", "team/main")
	second := u.push("main.hcl", "two")
	for ref, want := range map[string]string{"main": second, "": second, "HEAD": second, "heads/main": second, "refs/heads/team/main": first, "team/main": first, "v1": first, "refs/tags/v1": first, first: first} {
		f := open(t, gitsource.Options{URL: u.dir, Ref: ref})
		f.start()
		if f.Commit() != want {
			t.Errorf("%q is commit %s, want %s", ref, f.Commit(), want)
		}
	}
	for _, ref := range []string{"-x", "--upload-pack=/bin/sh", "a..b", "+main", "a:b", "a b", "*", "/x"} {
		if _, err := gitsource.Open(gitsource.Options{URL: u.dir, Ref: ref, Dir: t.TempDir(), Environ: os.Environ()}); err == nil {
			t.Errorf("the ref %q is taken", ref)
		}
	}
}

func TestRestartGoesOnWithoutTheRemote(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	first := u.push("conf/main.hcl", "one")
	o := gitsource.Options{URL: u.dir, Ref: "main", Path: "conf", Dir: filepath.Join(t.TempDir(), "git")}
	f := open(t, o)
	f.start()
	f.wantFile("main.hcl", "one")
	if _, err := gitsource.Open(gitsource.Options{URL: u.dir, Dir: o.Dir, Environ: os.Environ()}); !errors.Is(err, gitsource.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	check(t, f.Close())
	check(t, os.Rename(u.dir, u.dir+".away"))
	again := open(t, o)
	again.start()
	again.wantFile("main.hcl", "one")
	if got := again.Status(); got.Commit != first || got.Subject == "" || !got.CheckedAt.IsZero() {
		t.Errorf("Status() = %+v", got)
	}
	check(t, again.Close())

	// It is the checkout of that repository and ref, and of no other.
	o.Ref = "other"
	if err := open(t, o).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "does not appear to be a git repository") {
		t.Errorf("another ref starts with what was there: %v", err)
	}
}

func TestDamagedRepositoryIsMadeAnew(t *testing.T) {
	t.Parallel()
	for what, damage := range map[string]func(t *testing.T, dir string){
		"no HEAD": func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "repository", "HEAD"))) },
		"no objects": func(t *testing.T, dir string) {
			check(t, os.RemoveAll(filepath.Join(dir, "repository", "objects", "pack")))
		},
		"garbage in a pack": func(t *testing.T, dir string) {
			packs, _ := filepath.Glob(filepath.Join(dir, "repository", "objects", "pack", "*"))
			for _, p := range packs {
				check(t, os.Chmod(p, 0o600))
				check(t, os.WriteFile(p, []byte("garbage"), 0o600))
			}
		},
		"a file in its place": func(t *testing.T, dir string) {
			check(t, os.RemoveAll(filepath.Join(dir, "repository")))
			check(t, os.WriteFile(filepath.Join(dir, "repository"), nil, 0o600))
		},
		"no checkout": func(t *testing.T, dir string) { check(t, os.RemoveAll(filepath.Join(dir, "checkouts"))) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			u.push("main.hcl", "one")
			o := gitsource.Options{URL: u.dir, Ref: "main", Dir: filepath.Join(t.TempDir(), "git")}
			f := open(t, o)
			f.start()
			check(t, f.Close())
			damage(t, f.dir)
			f = open(t, o)
			f.start()
			f.wantFile("main.hcl", "one")
			f.follow()
			two := u.push("main.hcl", "two")
			f.Poke()
			f.becomes(two)
			f.wantFile("main.hcl", "two")
		})
	}
}

func TestOldCheckoutsAreCleaned(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("main.hcl", "0")
	f := open(t, gitsource.Options{URL: u.dir, Ref: "main"})
	f.start()
	check(t, os.Mkdir(filepath.Join(f.dir, "checkouts", ".new-left-by-a-kill"), 0o700))
	f.follow()
	for _, content := range []string{"1", "2", "3"} {
		commit := u.push("main.hcl", content)
		f.Poke()
		f.becomes(commit)
	}
	until(t, "two checkouts are left", func() bool {
		entries, err := os.ReadDir(filepath.Join(f.dir, "checkouts"))
		return err == nil && len(entries) == 2
	})
	f.wantFile("main.hcl", "3")
	if _, err := os.Lstat(filepath.Join(f.dir, "current.new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new link is left: %v", err)
	}
}

func TestPathMustBeThere(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("conf/main.hcl", "one")
	f := open(t, gitsource.Options{URL: u.dir, Ref: "main", Path: "/conf/"})
	f.start()
	f.follow()
	u.git("rm", "--quiet", "-r", "conf")
	u.push("README", "moved away")
	f.Poke()
	f.fails("has no directory conf")
	f.wantFile("main.hcl", "one")
	until(t, "it is said loudly", func() bool { return strings.Contains(f.logs.String(), "level=ERROR") })
	for _, path := range []string{"..", "a/../../b", ".git", "a/.GIT/b"} {
		if _, err := gitsource.Open(gitsource.Options{URL: u.dir, Path: path, Dir: t.TempDir(), Environ: os.Environ()}); err == nil {
			t.Errorf("the path %q is taken", path)
		}
	}
}

// The removal of an old checkout may be cut short. Should its commit come back,
// the half that is left is not taken for the whole.
func TestHalfRemovedCheckoutIsMadeAnew(t *testing.T) {
	u := newUpstream(t)
	u.write("b.hcl", "b")
	first := u.push("a.hcl", "a")
	dir := t.TempDir()
	f := open(t, gitsource.Options{URL: u.dir, Ref: "main", Dir: dir})
	f.start()
	u.push("c.hcl", "c")
	f.follow()
	f.Poke()
	until(t, "second", func() bool { return f.Commit() != first })
	left, err := filepath.Glob(filepath.Join(dir, "checkouts", first+"-*"))
	check(t, err)
	if len(left) != 1 {
		t.Fatalf("checkouts of the first commit: %q", left)
	}
	check(t, os.Remove(filepath.Join(left[0], "a.hcl")))
	u.git("reset", "--quiet", "--hard", first)
	f.Poke()
	f.becomes(first)
	if _, err := os.Stat(filepath.Join(f.Dir(), "a.hcl")); err != nil {
		t.Errorf("half of a commit is in force: %v", err)
	}
}
