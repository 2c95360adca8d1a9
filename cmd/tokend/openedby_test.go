package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A start on an empty directory goes on with what was in force, though nothing
// says any more which key opens the state that has it; also after that key was
// rotated.
func TestAnEmptyDirectoryDoesNotSayTheKey(t *testing.T) {
	t.Parallel()
	l := settleLab(t)
	keyFile := func(digits string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(strings.Repeat(digits, 4)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, other := keyFile("0123456789abcdef"), keyFile("fedcba9876543210")
	with := func(key string) string {
		return strings.Replace(settleBase, "tokend {", "tokend {\n  state {\n    key_file = \""+key+"\"\n  }", 1)
	}
	l.write("main.hcl", with(key))
	l.write("sink.hcl", sinkFile("sink", "one"))
	l.start()
	l.untilContent("sink", "one")
	restart := func() {
		t.Helper()
		l.stop()
		if err := os.Remove(filepath.Join(l.out, "sink")); err != nil {
			t.Fatal(err)
		}
		l.start()
		l.untilContent("sink", "one")
	}

	l.remove("main.hcl", "sink.hcl")
	restart()
	restart()
	l.must("state", "rotate-key", "--key-file", other)
	restart()
	l.write("main.hcl", with(other))
	l.write("sink.hcl", sinkFile("sink", "two"))
	l.untilContent("sink", "two")
}
