//go:build linux

package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A brokenDisk makes every write to a store's file fail, from the moment that it
// is broken until it is mended: the store's own descriptor is replaced by one
// that cannot write.
type brokenDisk struct {
	t     *testing.T
	saved map[int]int // descriptor -> a copy of what it was
}

func breakDisk(t *testing.T, path string) *brokenDisk {
	t.Helper()
	d := &brokenDisk{t: t, saved: make(map[int]int)}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("state: a disk that fails needs /proc/self/fd: %v", err)
	}
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		var fd int
		if _, serr := fmt.Sscan(e.Name(), &fd); err != nil || serr != nil || target != path || fd == int(readOnly.Fd()) {
			continue
		}
		copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(readOnly.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		d.saved[fd] = copied
	}
	if len(d.saved) == 0 {
		t.Fatalf("no open descriptor of %s was found", path)
	}
	return d
}

func (d *brokenDisk) mend() {
	for fd, copied := range d.saved {
		if err := unix.Dup3(copied, fd, unix.O_CLOEXEC); err != nil {
			d.t.Error(err)
		}
		_ = unix.Close(copied)
	}
}

func note(t *testing.T, s *Bolt, address string) string {
	t.Helper()
	c, _, err := s.Credential(t.Context(), address)
	if err != nil {
		t.Fatalf("Credential(%s) = %v", address, err)
	}
	return c.Note
}

func TestAFailedWriteIsSaidAndGottenOver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { failedWrite(t, dir) })
}

func failedWrite(t *testing.T, dir string) {
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := Credential{Head: Head{Address: "credential.a.b"}, Note: "one"}
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatal(err)
	}
	serial := s.Info().Serial

	disk := breakDisk(t, s.path)
	c.Note = "two"
	err = s.Commit(t.Context(), Change{Credential: &c})
	if !errors.Is(err, ErrReadOnly) || !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), s.path) {
		t.Fatalf("Commit on a broken disk = %v, want ErrReadOnly with its cause and the file's name", err)
	}
	if err := s.Info().Err; !errors.Is(err, ErrReadOnly) {
		t.Errorf("Info().Err = %v, want ErrReadOnly", err)
	}
	if c.Head.Version != 1 {
		t.Errorf("the failed commit set version %d, want 1 as before", c.Head.Version)
	}
	if got := note(t, s, "credential.a.b"); got != "one" {
		t.Errorf("after the failed commit the record says %q, want one", got)
	}
	disk.mend()

	// The disk works again, but within a second nobody tries.
	if err := s.Commit(t.Context(), Change{Credential: &c}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Commit at once = %v, want ErrReadOnly", err)
	}
	done := make(chan error, 1)
	s.Later(func(err error) { done <- err }, Change{MetaKey: "k", Meta: []byte("v")})
	if _, err := s.Meta(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Meta that could not be written = %v, want ErrNotFound", err)
	}
	if err := <-done; !errors.Is(err, ErrReadOnly) {
		t.Errorf("Later's outcome = %v, want ErrReadOnly", err)
	}
	<-time.After(2 * time.Second) // no time at all in the bubble
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatalf("Commit two seconds later = %v, want nil", err)
	}
	if got := note(t, s, "credential.a.b"); got != "two" {
		t.Errorf("the record says %q, want two", got)
	}
	if i := s.Info(); i.Err != nil || i.Serial != serial+1 || i.Records != 1 {
		t.Errorf("Info = %+v, want no error, serial %d and one record", i, serial+1)
	}
}

// Every caller of a batch hears of its failure, and while the disk stays broken
// the file stays untouched and readable.
func TestABatchFailsAsAWhole(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { failedBatch(t, dir) })
}

func failedBatch(t *testing.T, dir string) {
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	base := Credential{Head: Head{Address: "credential.a.b"}, Note: "one"}
	if err := s.Commit(t.Context(), Change{Credential: &base}); err != nil {
		t.Fatal(err)
	}
	disk := breakDisk(t, s.path)
	for range 3 {
		const n = 50
		errs := make(chan error, n)
		for i := range n {
			go func() {
				c := Credential{Head: Head{Address: fmt.Sprintf("credential.c.d[%d]", i)}}
				errs <- s.Commit(t.Context(), Change{Credential: &c})
			}()
		}
		for range n {
			if err := <-errs; !errors.Is(err, ErrReadOnly) {
				t.Errorf("Commit = %v, want ErrReadOnly", err)
			}
		}
		disk.mend()
		<-time.After(2 * time.Second) // no time at all in the bubble
		if err := s.Commit(t.Context(), Change{Credential: &base}); err != nil {
			t.Errorf("Commit once the file was reopened = %v", err)
		}
		disk = breakDisk(t, s.path)
	}
	disk.mend()
	if i := s.Info(); i.Records != 1 {
		t.Errorf("there are %d records, want the first one only", i.Records)
	}
}

// A commit that failed may be on the disk all the same; it must not come back.
func TestACommitThatFailedAfterItsHeaderIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c := Credential{Head: Head{Address: "credential.a.b"}, Note: "acknowledged"}
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatal(err)
	}
	acked, serial, tally := s.ackedTx, s.info.serial.Load(), s.tally
	c.Note = "reported as failed"
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatal(err)
	}
	// As if the sync after the header had failed.
	s.ackedTx, s.tally = acked, tally
	s.info.serial.Store(serial)
	s.failure, s.triedAt = errors.New("sync: input/output error"), time.Now().Add(-time.Minute)
	c.Head.Version, c.Note = 1, "again"
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatalf("Commit from the acknowledged version = %v, want nil", err)
	}
	if got := note(t, s, "credential.a.b"); got != "again" || c.Head.Version != 2 {
		t.Errorf("the record says %q in version %d, want again in version 2", got, c.Head.Version)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := note(t, s, "credential.a.b"); got != "again" {
		t.Errorf("the next process reads %q, want again", got)
	}
}

// If the file was exchanged or damaged while it was not trusted, it stays so.
func TestAnotherFileIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { anotherFile(t, dir) })
}

func anotherFile(t *testing.T, dir string) {
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := Credential{Head: Head{Address: "credential.a.b"}, Note: "one"}
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	old := append([]byte(nil), content...)
	for range 2 {
		if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
			t.Fatal(err)
		}
	}
	distrust := func() {
		synctest.Wait() // the writer rests
		s.failure, s.triedAt = errors.New("sync: input/output error"), time.Now().Add(-time.Minute)
	}
	good, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"an older copy": old, "a text": []byte("gone")} {
		distrust()
		if err := os.WriteFile(s.path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), Change{Credential: &c}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: Commit = %v, want ErrReadOnly", name, err)
		}
		if _, _, err := s.Credential(t.Context(), "credential.a.b"); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: Credential = %v, want ErrReadOnly", name, err)
		}
		if after, _ := os.ReadFile(s.path); string(after) != string(b) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	distrust()
	if err := os.WriteFile(s.path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Errorf("with the right file in its place again, Commit = %v, want nil", err)
	}
}

// A file that someone cuts short under the running process makes the kernel
// fault the reads of its memory map; that must be an error and not the end.
func TestAFileCutShortWhileOpenIsSaid(t *testing.T) {
	dir, want := seed(t, 150)
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path, 4*pageBytes); err != nil {
		t.Fatal(err)
	}
	s.Trim()
	refused := 0
	for address := range want {
		if _, _, err := s.Credential(t.Context(), address); errors.Is(err, ErrDamaged) {
			refused++
		} else if err != nil {
			t.Errorf("Credential(%s) = %v, want ErrDamaged", address, err)
		}
	}
	if refused == 0 {
		t.Error("no read noticed that the file is cut short")
	}
	if err := s.Heads(t.Context(), func(Head) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Errorf("Heads = %v, want ErrDamaged", err)
	}
	for range 2 {
		c := want["credential.a.b[3]"]
		if err := s.Commit(t.Context(), Change{Credential: &c}); !errors.Is(err, ErrDamaged) {
			t.Errorf("Commit = %v, want ErrDamaged", err)
		}
	}
	if err := s.Info().Err; !errors.Is(err, ErrReadOnly) {
		t.Errorf("Info().Err = %v, want ErrReadOnly", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening what is left = %v, want ErrDamaged", err)
	}
}
