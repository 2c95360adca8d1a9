package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A program has two names where a directory is a link (/bin, /usr/bin), but not
// through a link that the configuration brings: between the look and the start it
// may lead to another one.
func TestAProgramsSecondName(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	usr, dir := filepath.Join(root, "usr"), filepath.Join(root, "config")
	for _, d := range []string{usr, dir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(usr, "nginx"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"bin": usr, "config/nginx": filepath.Join(usr, "nginx"), "config/sub": usr, "current": dir, "usr/by": "../config/../usr", "later": "current/sub"} {
		if err := os.Symlink(to, filepath.Join(root, from)); err != nil {
			t.Fatal(err)
		}
	}
	for _, of := range []string{dir, filepath.Join(root, "current")} {
		p := parse(t, of, fmt.Sprintf("hook \"exec\" { commands = [[%q, \"-t\"]] }\n", filepath.Join(usr, "nginx")))
		want(t, "its own name", p.Hook("exec", argv("command", filepath.Join(usr, "nginx"), "-t")), "")
		want(t, "its other name", p.Hook("exec", argv("command", filepath.Join(root, "bin", "nginx"), "-t")), "")
		for _, name := range []string{
			"./nginx", filepath.Join(dir, "nginx"), filepath.Join(of, "nginx"), filepath.Join(root, "current", "nginx"), "./sub/nginx",
			filepath.Join(root, "later", "nginx"), filepath.Join(usr, "by", "nginx"), "/proc/self/root" + dir + "/nginx", "/proc/self/root" + usr + "/nginx",
		} {
			want(t, name, p.Hook("exec", argv("command", name, "-t")), "is not among the commands")
		}
	}
}
