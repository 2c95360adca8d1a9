package gitsource_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/gitsource"
)

// Nothing of what a repository says about itself runs or changes a byte.
func TestRepositoryRunsNothing(t *testing.T) {
	t.Parallel()
	trap := filepath.Join(t.TempDir(), "sprung")
	u := newUpstream(t)
	hook := filepath.Join(u.dir, ".git", "hooks", "post-upload-pack")
	check(t, os.MkdirAll(filepath.Dir(hook), 0o755))
	check(t, os.WriteFile(hook, []byte("#!/bin/sh\ntouch "+trap+"\n"), 0o755))
	u.write(".gitattributes", "*.hcl filter=trap text eol=crlf ident export-subst\nsecret export-ignore\n")
	u.write("main.hcl", "line\n$Id$ $Format:%H$\n")
	u.write("secret", "kept")
	u.write("run.sh", "#!/bin/sh\n")
	check(t, os.Chmod(filepath.Join(u.dir, "run.sh"), 0o755))
	u.write(".gitmodules", "[submodule \"sub\"]\n\tpath = sub\n\turl = "+u.dir+"\n")
	u.git("-c", "filter.trap.clean=cat", "add", "--all")
	u.git("update-index", "--add", "--cacheinfo", "160000,0123456789012345678901234567890123456789,sub")
	u.git("commit", "--quiet", "--message", "traps")

	configured := filepath.Join(t.TempDir(), "gitconfig")
	check(t, os.WriteFile(configured, []byte("[filter \"trap\"]\n\tsmudge = touch "+trap+"\n\trequired = true\n[core]\n\tautocrlf = true\n\tfsmonitor = touch "+trap+"\n\thooksPath = "+filepath.Dir(hook)+"\n[submodule]\n\trecurse = true\n"), 0o600))
	f := open(t, gitsource.Options{URL: u.dir, Ref: "main", Environ: []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=" + configured, "GIT_TRACE=" + trap, "GIT_DIR=/nonexistent"}})
	f.start()
	f.wantFile("main.hcl", "line\n$Id$ $Format:%H$\n")
	f.wantFile("secret", "kept")
	if _, err := os.Stat(trap); !os.IsNotExist(err) {
		t.Errorf("something ran: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(f.Dir(), "sub")); !os.IsNotExist(err) {
		t.Errorf("the submodule: %v", err)
	}
	for name, want := range map[string]fs.FileMode{"main.hcl": 0o644, "run.sh": 0o755} {
		if info, err := os.Stat(filepath.Join(f.Dir(), name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want the mode %v", name, info.Mode(), err, want)
		}
	}
}

func TestLinksStayInside(t *testing.T) {
	t.Parallel()
	link := func(u *upstream, target, name string) {
		path := filepath.Join(u.dir, name)
		check(u.t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(u.t, os.Symlink(target, path))
	}
	for what, target := range map[string]string{"absolute": "/etc/hostname", "upwards": "../../outside", "by another": "up/../outside", "to itself": "../../../current/conf/main.hcl"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			good := u.push("conf/main.hcl", "one")
			f := open(t, gitsource.Options{URL: u.dir, Ref: "main", Path: "conf"})
			f.start()
			f.follow()
			link(u, "..", "conf/up")
			link(u, target, "conf/stolen.hcl")
			bad := u.commit("a link")
			f.Poke()
			f.fails("commit " + bad[:12] + " has the symbolic link conf/stolen.hcl, which leads out of the checkout")
			if f.Commit() != good {
				t.Errorf("the commit is %s", f.Commit())
			}
		})
	}
	t.Run("allowed", func(t *testing.T) {
		t.Parallel()
		u := newUpstream(t)
		u.write("common/common.hcl", "common")
		link(u, "../common/common.hcl", "conf/common.hcl")
		link(u, "../common", "conf/dir")
		link(u, "nowhere", "conf/dangling")
		link(u, "/etc/hostname", "elsewhere/stolen")
		u.commit("links")
		f := open(t, gitsource.Options{URL: u.dir, Ref: "main", Path: "conf"})
		f.start()
		f.wantFile("common.hcl", "common")
		f.wantFile("dir/common.hcl", "common")
		if _, err := os.Lstat(filepath.Join(f.Dir(), "../elsewhere/stolen")); !os.IsNotExist(err) {
			t.Errorf("the link that leads out is there: %v", err)
		}
	})
}

// Hundreds of files change at once, or not at all, for whoever reads through
// the link.
func TestSwitchIsAtomic(t *testing.T) {
	t.Parallel()
	const files = 300
	u := newUpstream(t)
	all := func(content string) string {
		for i := range files {
			u.write(filepath.Join("conf", strings.Repeat("x", i%7+1)+string(rune('a'+i%26))+".hcl"), content)
		}
		return u.commit(content)
	}
	all("one")
	f := open(t, gitsource.Options{URL: u.dir, Ref: "main", Path: "conf"})
	f.start()
	f.follow()
	commit := all("two")
	f.Poke()
	for done := false; !done; {
		done = f.Commit() == commit
		dir, err := filepath.EvalSymlinks(f.Dir())
		check(t, err)
		seen := map[string]bool{}
		entries, err := os.ReadDir(dir)
		check(t, err)
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			check(t, err)
			seen[string(b)] = true
		}
		if len(seen) != 1 {
			t.Fatalf("one checkout holds %v", seen)
		}
		if t.Context().Err() != nil {
			return
		}
	}
}

// The password of a URL is given to git when it asks, and shown to nobody.
func TestPasswordIsKeptOutOfSight(t *testing.T) {
	t.Parallel()
	const password = "canary%40word"
	f := open(t, gitsource.Options{URL: "http://robot:" + password + "@127.0.0.1:1/team/repo.git", Ref: "main", Environ: []string{"PATH=" + os.Getenv("PATH"), "GIT_TRACE=1", "GIT_CURL_VERBOSE=1"}})
	err := f.Start(t.Context())
	if err == nil {
		t.Fatal("it starts")
	}
	kept := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s holds the password", path)
		}
		return err
	})
	check(t, kept)
	said := err.Error() + f.logs.String() + f.Status().URL + f.Status().Error
	if strings.Contains(said, "canary") || strings.Contains(said, "robot") {
		t.Errorf("user or password are shown:\n%s", said)
	}
	if !strings.Contains(said, "http://127.0.0.1:1/team/repo.git") {
		t.Errorf("nothing says which repository it is:\n%s", said)
	}
	for _, url := range []string{"ext::sh -c id", "fd::7", "ssh://robot:canary@host/x", "gopher://host/x", "-oProxyCommand=x", "https://host/x?token=canary", "ht tp://canary", "relative/path", "https://canary:%zz@host", ""} {
		_, err := gitsource.Open(gitsource.Options{URL: url, Dir: t.TempDir(), Environ: os.Environ()})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{"git@host:team/repo.git", "ssh://git@host/x", "git://host/x", "/srv/repo.git"} {
		s, err := gitsource.Open(gitsource.Options{URL: url, Dir: t.TempDir(), Environ: os.Environ()})
		if err != nil {
			t.Errorf("%q: %v", url, err)
			continue
		}
		_ = s.Close()
	}
}
