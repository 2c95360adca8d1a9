package rig

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokend/test/parts"
)

// Sh reads an env file as /bin/sh does: it sources the file and returns what a
// child process would then find in its environment.
func Sh(t testing.TB, path string) map[string]string {
	t.Helper()
	require(t, parts.Shells())
	return source(t, "sh", path)
}

// Bash is [Sh] with bash.
func Bash(t testing.TB, path string) map[string]string {
	t.Helper()
	require(t, parts.Shells())
	return source(t, "bash", path)
}

// source runs the shell twice, once without the file, because shells put
// variables of their own into the environment.
func source(t testing.TB, shell, path string) map[string]string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := exec.LookPath(shell)
	if err != nil {
		t.Fatal(err)
	}
	run := func(file string) map[string]string {
		cmd := exec.Command(bin, "-c", `set -eua; . "$1"; exec /usr/bin/env -0`, shell, file)
		cmd.Env = []string{"PATH=/nonexistent"} // what a file runs by accident does not get far
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: reading %s: %v\n%s", shell, file, err, stderr.String())
		}
		if stderr.Len() > 0 {
			t.Fatalf("%s: reading %s: it said %s", shell, file, stderr.String())
		}
		return environ(out)
	}
	own := run(os.DevNull)
	got := run(path)
	for name, value := range own {
		if got[name] == value {
			delete(got, name)
		}
	}
	return got
}

// environ reads what env -0 prints.
func environ(out []byte) map[string]string {
	vars := map[string]string{}
	for _, pair := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			vars[name] = value
		}
	}
	return vars
}

// Node is the path of Node 22; its packages are beside it. See [Script].
func Node(t testing.TB) string {
	t.Helper()
	return file(t, parts.Node(), "node_modules/.bin/node")
}

// Script is the command that runs test/node/NAME in Node, where the script may
// require what test/node/package.json names.
func Script(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	node := Node(t)
	root, err := parts.Root()
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Dir(filepath.Dir(filepath.Dir(node)))
	cmd := exec.Command(node, append([]string{filepath.Join(root, "test/node", name)}, args...)...)
	cmd.Env = []string{"TOKEND_NODE_MODULES=" + modules, "PATH=/usr/bin:/bin"}
	return cmd
}

// Dotenv reads an env file as Node's dotenv does.
func Dotenv(t testing.TB, path string) map[string]string {
	t.Helper()
	cmd := Script(t, "dotenv.mjs", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dotenv: reading %s: %v\n%s", path, err, stderr.String())
	}
	vars := map[string]string{}
	if err := json.Unmarshal(out, &vars); err != nil {
		t.Fatalf("dotenv: reading %s: %v", path, err)
	}
	return vars
}
