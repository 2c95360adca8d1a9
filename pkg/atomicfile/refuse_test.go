package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"tokend/pkg/atomicfile"
)

// A directory that has become a link to one in use is told by what it leads to, also
// from below, and also where its handle was kept.
func TestWriterRefusesWhatADirectoryLeadsTo(t *testing.T) {
	root := t.TempDir()
	used, out := filepath.Join(root, "used"), filepath.Join(root, "out")
	for _, dir := range []string{filepath.Join(used, "below"), out} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(used)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	id := atomicfile.DirID{Device: uint64(st.Dev), Inode: st.Ino}
	w := &atomicfile.Writer{Refuse: func(dirs []atomicfile.DirID) func(string) string {
		if slices.Contains(dirs, id) {
			return func(string) string { return "is in use" }
		}
		return nil
	}}
	defer w.Close()
	path := filepath.Join(out, "key")
	if _, err := w.Write(path, []byte("token"), atomicfile.Attr{}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{used, filepath.Join(used, "below")} {
		there := filepath.Join(to, "key")
		if err := errors.Join(os.WriteFile(there, []byte("precious"), 0o600), os.RemoveAll(out), os.Symlink(to, out)); err != nil {
			t.Fatal(err)
		}
		_, err := w.Write(path, []byte("token"), atomicfile.Attr{})
		if !errors.Is(err, atomicfile.ErrInUse) || !atomicfile.Permanent(err) {
			t.Errorf("writing into %s: %v", to, err)
		}
		if b, err := os.ReadFile(there); err != nil || string(b) != "precious" {
			t.Errorf("%s is %q (%v)", there, b, err)
		}
	}
}
