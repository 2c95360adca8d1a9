package filesink_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"tokend/pkg/sinks"
)

// asReader runs a part with another user's rights on files.
func asReader(t *testing.T, uid int, part func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.SetfsuidRetUid(uid)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := unix.SetfsuidRetUid(before); err != nil {
			t.Fatal(err)
		}
	}()
	part()
}

// TestUnreadable recognises a file that was given to another user, and may not be
// read any more, by its account; and says so when it is another file.
func TestUnreadable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("filesink: giving files away takes root")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, path := newSink(t), filepath.Join(dir, "token")
	d, err := s.Render(args(path, nil))
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.Write(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(last []byte, want string) {
		t.Helper()
		if got, err := s.Check(t.Context(), d, last); err != nil || got != want {
			t.Errorf("Check: %q, %v, want %q", got, err, want)
		}
	}
	asReader(t, 65534, func() {
		if _, err := os.ReadFile(path); !errors.Is(err, unix.EACCES) {
			t.Fatalf("reading: %v, want EACCES: the test tests nothing", err)
		}
		check(last, "")
		check(nil, "content cannot be read")
	})
	if err := os.WriteFile(path, []byte("CANARY-token"), 0); err != nil {
		t.Fatal(err)
	}
	asReader(t, 65534, func() {
		check(last, "content cannot be read")
		if err := s.Remove(t.Context(), last); err == nil || errors.Is(err, sinks.ErrForeign) {
			t.Errorf("Remove: %v, want an error that does not claim to know", err)
		}
	})
}
