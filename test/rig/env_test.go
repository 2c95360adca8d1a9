package rig_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/test/rig"
)

// The file reads alike in every dialect but for one line: dotenv takes a dollar in
// double quotes as it stands, a shell does not.
const envFile = `# a comment
PLAIN=plain
QUOTED="two words # no comment"
SINGLE='raw $HOME'
`

func TestEnvReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.env")
	if err := os.WriteFile(path, []byte(envFile), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"PLAIN": "plain", "QUOTED": "two words # no comment", "SINGLE": "raw $HOME"}
	for name, read := range map[string]func(testing.TB, string) map[string]string{
		"sh": rig.Sh, "bash": rig.Bash, "dotenv": rig.Dotenv,
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, read(t, path)); diff != "" {
				t.Errorf("read back differently (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadersKeepTheirDialects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.env")
	if err := os.WriteFile(path, []byte("A=1\nB=\"${A}2\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := rig.Sh(t, path)["B"]; got != "12" {
		t.Errorf("sh reads %q", got)
	}
	if got := rig.Dotenv(t, path)["B"]; got != "${A}2" {
		t.Errorf("dotenv reads %q", got)
	}
}
