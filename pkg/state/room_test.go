//go:build linux

package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/secret"
)

// smallDisk mounts a file system of a few MiB.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skipf("state: a full disk needs a file system of its own, and mounting one needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// ballast fills what is left of the disk and returns how to free it.
func ballast(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("filling the disk: %v", err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestAFullDisk fills the disk while calls are under way: their outcomes must
// fit, and no further call may begin.
func TestAFullDisk(t *testing.T) {
	dir := smallDisk(t, 24)
	s, err := Open(t.Context(), Options{Dir: dir, CommitWindow: 1, MaxCommitWindow: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	record := func(i int) Credential {
		return Credential{Head: Head{Address: fmt.Sprintf("credential.a.b[%d]", i)}, Grant: &Grant{AccessToken: secret.New(strings.Repeat("t", 6000))}}
	}
	const calls = 200
	opened := make(map[int]bool)
	for i := range calls {
		if err := s.Commit(t.Context(), Change{IntentFor: record(i).Head.Address, Intent: &Intent{Op: "grant"}}); err != nil {
			t.Fatalf("opening intent %d with an empty disk: %v", i, err)
		}
		opened[i] = true
	}
	free := ballast(t, dir)
	refused := 0
	for i := calls; i < 100*calls && refused == 0; i++ {
		err := s.Commit(t.Context(), Change{IntentFor: record(i).Head.Address, Intent: &Intent{Op: "grant"}})
		switch {
		case err == nil:
			opened[i] = true
		case errors.Is(err, ErrReadOnly) && errors.Is(err, unix.ENOSPC) && strings.Contains(err.Error(), "nothing was spent") && strings.Contains(err.Error(), dir):
			refused++
		default:
			t.Fatalf("opening intent %d with a full disk = %v, want ErrReadOnly with ENOSPC, the file's name and that nothing was spent", i, err)
		}
	}
	if refused == 0 {
		t.Fatal("a full disk refused no intent")
	}
	if err := s.Info().Err; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Info().Err = %v, want ENOSPC", err)
	}
	// What belongs to no call stops before it eats the reserve.
	for i := 0; ; i++ {
		if i == 100_000 {
			t.Fatal("a full disk takes new sinks without end")
		}
		k := Sink{Head: Head{Address: fmt.Sprintf("sink.file.s[%d]", i)}, Written: make([]byte, 3000)}
		if err := s.Commit(t.Context(), Change{Sink: &k}); err != nil {
			if !errors.Is(err, ErrReadOnly) || !errors.Is(err, unix.ENOSPC) {
				t.Errorf("a new sink with a full disk = %v, want ErrReadOnly with ENOSPC", err)
			}
			break
		}
	}
	// The outcome of every call that was allowed fits.
	for i := range opened {
		c := record(i)
		if err := s.Commit(t.Context(), Change{Credential: &c, ClearIntent: true}); err != nil {
			t.Fatalf("recording the outcome of call %d of %d: %v", i, len(opened), err)
		}
	}
	free()
	if err := s.Commit(t.Context(), Change{IntentFor: "credential.x.y", Intent: &Intent{Op: "grant"}}); err != nil {
		t.Errorf("opening an intent with room on the disk again = %v, want nil", err)
	}
	if i := s.Info(); i.Err != nil || i.Intents != 1 {
		t.Errorf("Info = %+v, want no error and one intent", i)
	}
}

// TestAWriteThatMeetsAFullDisk takes even the reserve away, as another program
// with a copy-on-write file system under it could.
func TestAWriteThatMeetsAFullDisk(t *testing.T) {
	dir := smallDisk(t, 24)
	s, err := Open(t.Context(), Options{Dir: dir, CommitWindow: 1, MaxCommitWindow: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := Credential{Head: Head{Address: "credential.a.b"}, Note: "one"}
	if err := s.Commit(t.Context(), Change{Credential: &c, Intent: &Intent{}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 16*pageBytes, 100<<20); err != nil {
		t.Skipf("state: taking the reserved blocks away is not possible here: %v", err)
	}
	free := ballast(t, dir)
	big := c
	big.Raw = &Raw{Body: secret.New(strings.Repeat("x", 2<<20))}
	err = s.Commit(t.Context(), Change{Credential: &big})
	if !errors.Is(err, ErrReadOnly) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("Commit = %v, want ErrReadOnly with ENOSPC", err)
	}
	if got := note(t, s, "credential.a.b"); got != "one" {
		t.Errorf("after the failed commit the record says %q, want one", got)
	}
	free()
	waitFor(t, func() bool { return s.Commit(t.Context(), Change{Credential: &big, ClearIntent: true}) == nil })
	if got, _, err := s.Credential(t.Context(), "credential.a.b"); err != nil || got.Raw == nil || got.Raw.Body.Len() != 2<<20 {
		t.Errorf("Credential = %v, want the large reply", err)
	}
}

// waitFor polls until f is true.
func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come true within ten seconds")
		}
	}
}

func TestBlocksAreSetAsideAhead(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), CommitWindow: 1, MaxCommitWindow: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 20 {
		if err := s.Commit(t.Context(), Change{IntentFor: fmt.Sprintf("credential.a.b[%d]", i), Intent: &Intent{}}); err != nil {
			t.Fatal(err)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(s.path, &st); err != nil {
		t.Fatal(err)
	}
	if got, want := st.Blocks*512, int64(reserveBase+20*reserveEach); got < want {
		t.Errorf("the file has blocks for %d bytes, want at least the %d that are reserved", got, want)
	}
}

func TestWriteZerosSetsBlocksAside(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("head"); err != nil {
		t.Fatal(err)
	}
	if err := writeZeros(f, 4, 3<<20); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil || len(b) != 4+(3<<20) || string(b[:4]) != "head" || strings.Trim(string(b[4:]), "\x00") != "" {
		t.Errorf("the file has %d bytes (%v), want the head and 3 MiB of zeros", len(b), err)
	}
}
