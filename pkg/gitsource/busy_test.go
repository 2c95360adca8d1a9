package gitsource_test

import (
	"os"
	"path/filepath"
	"testing"

	"tokend/pkg/gitsource"
)

func TestIndexLock(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("conf/main.hcl", "one")
	root, err := filepath.EvalSymlinks(filepath.Dir(u.dir))
	check(t, err)
	lock := filepath.Join(root, "repo", ".git", "index.lock")
	link := filepath.Join(t.TempDir(), "etc")
	check(t, os.Symlink(filepath.Join(u.dir, "conf"), link))
	linked := filepath.Join(root, "linked")
	u.git("worktree", "add", "--quiet", linked, "-b", "linked")
	for dir, want := range map[string]string{
		u.dir: lock, filepath.Join(u.dir, "conf"): lock, link: lock,
		filepath.Join(linked, "conf"):        filepath.Join(root, "repo", ".git", "worktrees", "linked", "index.lock"),
		filepath.Join(u.dir, "not", "there"): "", root: "",
	} {
		if got := gitsource.IndexLock(dir); got != want {
			t.Errorf("IndexLock(%s) = %q, want %q", dir, got, want)
		}
	}
}
