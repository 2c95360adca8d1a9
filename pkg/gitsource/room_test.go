package gitsource_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokend/pkg/gitsource"
)

// A few objects can stand for more paths than any memory holds: the commit is
// refused after as many as may be checked out.
func TestACommitOfAnyNumberOfPathsIsRefused(t *testing.T) {
	t.Parallel()
	u, good, f := followed(t, "")
	const levels = 9 // a thousand million paths
	id, entry := u.input("", "hash-object", "-w", "--stdin"), "100644 blob"
	for range levels {
		var dir strings.Builder
		for i := range 10 {
			fmt.Fprintf(&dir, "%s %s\t%d\n", entry, id, i)
		}
		id, entry = u.input(dir.String(), "mktree"), "040000 tree"
	}
	u.git("update-ref", "refs/heads/main", u.git("commit-tree", id, "-m", "many"))
	f.Poke()
	f.fails("more than 100000 files")
	if f.Commit() != good {
		t.Errorf("commit %s is checked out, want %s", f.Commit(), good)
	}
	f.wantFile("main.hcl", "one")
}

// Nor does it take one of few files below any number of directories, which would
// fill the disk with those.
func TestACommitOfAnyNumberOfDirectoriesIsRefused(t *testing.T) {
	t.Parallel()
	u, good, f := followed(t, "")
	id, entry := u.input("", "hash-object", "-w", "--stdin"), "100644 blob"
	for range 100 {
		id, entry = u.input(fmt.Sprintf("%s %s\td\n", entry, id), "mktree"), "040000 tree"
	}
	var dir strings.Builder
	for i := range 1010 {
		fmt.Fprintf(&dir, "040000 tree %s\t%04d\n", id, i)
	}
	u.git("update-ref", "refs/heads/main", u.git("commit-tree", u.input(dir.String(), "mktree"), "-m", "deep"))
	f.Poke()
	f.fails("more than 100000 files and directories")
	if f.Commit() != good {
		t.Errorf("commit %s is checked out, want %s", f.Commit(), good)
	}
}

func (u *upstream) input(in string, args ...string) string {
	u.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = u.dir, strings.NewReader(in)
	out, err := cmd.Output()
	check(u.t, err)
	return strings.TrimSpace(string(out))
}

// Whoever can push does not fill the disk, on which the state is, too: what is
// too large for it is not fetched to its end, and nothing of it stays.
func TestAPushDoesNotFillTheDisk(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	if err := unix.Mount("none", small, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("gitsource: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	u, good, f := followed(t, filepath.Join(small, "git"))
	before := available(t, small)
	noise := make([]byte, 80<<20)
	_, _ = rand.Read(noise)
	check(t, os.WriteFile(filepath.Join(u.dir, "large"), noise, 0o644))
	u.commit("large")
	f.Poke()
	f.fails("what is to be fetched takes more than")
	if left := available(t, small); left < before-1<<20 {
		t.Errorf("%d KiB are free, and were %d KiB before", left>>10, before>>10)
	}
	if f.Commit() != good {
		t.Errorf("commit %s is checked out, want %s", f.Commit(), good)
	}
	check(t, os.Remove(filepath.Join(u.dir, "large")))
	mended := u.commit("without")
	f.Poke()
	f.becomes(mended)
}

func available(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Statfs_t
	check(t, unix.Statfs(path, &st))
	return int64(st.Bavail) * st.Bsize
}

// A tag that has the name of the branch that is followed does not take its place:
// who may push tags need not be who may push to the branch.
func TestATagDoesNotTakeTheBranchsPlace(t *testing.T) {
	t.Parallel()
	u, good, f := followed(t, "")
	u.git("checkout", "--quiet", "-b", "other")
	other := u.push("main.hcl", "other")
	u.git("tag", "main")
	f.Poke()
	f.fails("--ref refs/heads/main")
	if f.Commit() != good {
		t.Errorf("commit %s is checked out, want %s", f.Commit(), good)
	}
	g := open(t, gitsource.Options{URL: u.dir, Ref: "refs/tags/main"})
	g.start()
	if g.Commit() != other {
		t.Errorf("the tag is commit %s, want %s", g.Commit(), other)
	}
	u.git("tag", "--delete", "main")
	f.Poke()
	until(t, "it is followed again", func() bool { return f.Status().Error == "" })
}

// What a kill left of a checkout does not stay.
func TestUnfinishedCheckoutsGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, "checkouts", ".new-1234")
	check(t, os.MkdirAll(filepath.Join(left, "sub"), 0o755))
	open(t, gitsource.Options{URL: dir, Ref: "main", Dir: dir})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
