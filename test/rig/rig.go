// Package rig starts the real programs that tokend's tests meet, each for one
// test: a Vault server, an OpenID provider, a systemd as PID 1, and the programs
// that read env files in the field.
//
// The call that most tests want is one line:
//
//	vault := rig.Vault(t)
//	vault.EnableKV("kv", 2)
//
// Every function ends the test as skipped, with a reason that begins with the
// part's name, when the part is not on this machine; package parts says how it
// gets there. Whatever a function starts listens on a free port of 127.0.0.1,
// keeps its data in the test's own temporary folder, and is gone when the test
// ends, also when the test binary is killed: every process here stops by itself
// once its standard input ends.
//
// The methods fail the test at once (so call them from the test's own goroutine)
// where a failure means that the rig and not the product is broken.
package rig

import (
	"testing"

	"tokend/test/parts"
)

// require skips the test when the part is missing.
func require(t testing.TB, p parts.Part) {
	t.Helper()
	if err := p.Missing(); err != nil {
		t.Skip(err)
	}
}

// file is the path of one of the part's files; it skips the test when the part
// is missing.
func file(t testing.TB, p parts.Part, name string) string {
	t.Helper()
	require(t, p)
	path, err := p.Path(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
