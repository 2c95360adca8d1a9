package atomicfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tokend/pkg/atomicfile"
)

func seenAt(t *testing.T, path string) atomicfile.Seen {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return atomicfile.Seen{Inode: st.Ino, Changed: st.Ctim.Nano(), Modified: st.Mtim.Nano()}
}

// What somebody touched is never taken for untouched, whatever its size; what was
// touched and is alike again is, and is seen to have been.
func TestUntouched(t *testing.T) {
	var w atomicfile.Writer
	defer w.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	out := write(t, &w, path, "content", atomicfile.Attr{Mode: 0o640})
	check := func(what string, want bool) {
		t.Helper()
		seen, got := w.Untouched(path, out)
		if got != want {
			t.Errorf("%s: untouched is %v, want %v", what, got, want)
		}
		if got && seen != seenAt(t, path) {
			t.Errorf("%s: seen %+v, want %+v", what, seen, seenAt(t, path))
		}
	}
	check("as it was left", true)

	// In place and of the same size; the clock of the file system ticks some hundred
	// times a second.
	change := func(content string) {
		t.Helper()
		for before := seenAt(t, path); ; {
			if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
				t.Fatal(err)
			}
			if seenAt(t, path) != before {
				return
			}
		}
	}
	change("CONTENT")
	check("changed in place", false)
	change("content")
	check("changed back", true)
	change("content and more")
	check("appended to", false)

	replace := func(content string) {
		t.Helper()
		other := filepath.Join(dir, "other")
		if err := os.WriteFile(other, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(other, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
	}
	replace("CONTENT")
	check("replaced", false)
	replace("content")
	check("replaced by the same", true)

	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	check("of another mode", false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("gone", false)
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), path); err != nil {
		t.Fatal(err)
	}
	check("a link", false)
}

// Changed in place by as many bytes, at once: the kernel's clock need not have ticked.
// Where the file system's times are finer than that, as most are since Linux 6.13,
// there is nothing to see; so it is asked of one whose are not, too.
func TestUntouchedWithinATick(t *testing.T) {
	for name, mount := range map[string]bool{"a directory": false, "ramfs": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if mount {
				if err := unix.Mount("ramfs", dir, "ramfs", unix.MS_NOSUID, "mode=0700"); err != nil {
					t.Skipf("ramfs: it has to be mounted, which needs root: %v", err)
				}
				t.Cleanup(func() {
					if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
						t.Error(err)
					}
				})
			}
			var w atomicfile.Writer
			defer w.Close()
			path := filepath.Join(dir, "token")
			asLeft := 0
			for i := range 200 {
				out := write(t, &w, path, fmt.Sprintf("content %03d", i), atomicfile.Attr{Mode: 0o640})
				if _, ok := w.Untouched(path, out); ok {
					asLeft++
				}
				before := seenAt(t, path)
				if err := os.WriteFile(path, fmt.Appendf(nil, "CONTENT %03d", i), 0o640); err != nil {
					t.Fatal(err)
				}
				if _, ok := w.Untouched(path, out); ok {
					t.Fatalf("write %d: changed in place, it counts as untouched", i)
				}
				if seenAt(t, path) == before {
					t.Fatalf("write %d: changed in place, it looks as before", i)
				}
			}
			if asLeft != 200 {
				t.Errorf("%d of 200 files counted as untouched", asLeft)
			}
		})
	}
}

// A write says how it left the file, but not of one that it found right and that has the
// times of one tick: who changes that at once leaves it looking as it was.
func TestWhatAWriteLeaves(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "tokend-test-")
	if err != nil {
		t.Skip("atomicfile: no tmpfs at /dev/shm:", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var w atomicfile.Writer
	defer w.Close()
	path := filepath.Join(dir, "token")
	if out := write(t, &w, path, "content", atomicfile.Attr{}); out.Left != seenAt(t, path) || out.Stood {
		t.Errorf("a new file was left as %+v (stood: %v), it is %+v", out.Left, out.Stood, seenAt(t, path))
	}
	if out := write(t, &w, path, "content", atomicfile.Attr{}); out.Left != seenAt(t, path) || !out.Stood {
		t.Errorf("a file that was right was left as %+v (stood: %v), it is %+v", out.Left, out.Stood, seenAt(t, path))
	}
	for {
		if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		if seen := seenAt(t, path); seen.Changed == seen.Modified {
			break
		}
	}
	if out := write(t, &w, path, "content", atomicfile.Attr{}); out.Change != atomicfile.Unchanged || out.Left != (atomicfile.Seen{}) {
		t.Errorf("a file with the times of one tick was left as %+v (change %d), want nothing to be said of it", out.Left, out.Change)
	}
}
