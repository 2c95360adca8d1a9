//go:build linux

package state

import (
	"crypto/rand"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Once the smaller file is in its place, a directory that cannot be synced must
// not leave tokend writing to the one before, which has no name any more: what is
// acknowledged is there at the next start.
func TestACompactionThatFailsInTheEndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	names := make([]string, 20)
	for i := range names {
		content := make([]byte, 1<<20)
		_, _ = rand.Read(content)
		var err error
		if names[i], err = s.PutBlob(t.Context(), content); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DropBlobs(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(load(t, dir))
	// It can be written and searched, but not opened, and so not synced.
	if err := os.Chmod(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	var acknowledged bool
	err := asOwner(func() error {
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			return nil // it says that it can be trusted with nothing
		}
		defer s.Close()
		c := Credential{Head: Head{Address: "credential.a.b"}, Note: "acknowledged"}
		acknowledged = s.Commit(t.Context(), Change{Credential: &c}) == nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if after := len(load(t, dir)); after >= before {
		t.Fatalf("the file was not made smaller (%d bytes, and %d before): this shows nothing", after, before)
	}
	s = mustOpen(t, dir)
	if _, _, err := s.Credential(t.Context(), "credential.a.b"); acknowledged && err != nil {
		t.Errorf("what was acknowledged: %v", err)
	}
}

// asOwner runs f bound by the modes of files, as root is not otherwise.
func asOwner(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread goes with its goroutine
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		err := unix.Capget(&head, &caps[0])
		if err == nil {
			caps[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
			err = unix.Capset(&head, &caps[0])
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
