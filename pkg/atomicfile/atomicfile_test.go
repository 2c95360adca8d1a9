package atomicfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tokend/pkg/atomicfile"
)

// needRoot skips a test that takes rights of root, or of its user namespace.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("atomicfile: giving files away and mounting take root")
	}
}

func write(t *testing.T, w *atomicfile.Writer, path, content string, a atomicfile.Attr) atomicfile.Written {
	t.Helper()
	out, err := w.Write(path, []byte(content), a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("examining %s: %v", path, err)
	}
	return st
}

func mode(t *testing.T, path string) string {
	t.Helper()
	return fmt.Sprintf("%04o", stat(t, path).Mode&0o7777)
}

// leftovers lists the unfinished files in a directory.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".tokend-") {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, want := range []string{"one", "two", "", strings.Repeat("long", 100_000)} {
		if err := atomicfile.WriteFile(path, []byte(want), atomicfile.Attr{}); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != want {
			t.Errorf("file holds %d bytes, want %d", len(got), len(want))
		}
		if got := mode(t, path); got != "0600" {
			t.Errorf("mode is %s, want 0600", got)
		}
	}
	if left := leftovers(t, filepath.Dir(path)); left != nil {
		t.Errorf("unfinished files are left: %q", left)
	}
}

// TestLeastChange does no more than is needed: nothing, the attributes alone, or
// a new file.
func TestLeastChange(t *testing.T) {
	var w atomicfile.Writer
	defer w.Close()
	path := filepath.Join(t.TempDir(), "token")
	first := write(t, &w, path, "one", atomicfile.Attr{Mode: 0o640})
	before := stat(t, path)
	if first.Change != atomicfile.Replaced || first.Mode != 0o640 || first.UID != os.Geteuid() {
		t.Errorf("first write: %+v", first)
	}

	if again := write(t, &w, path, "one", atomicfile.Attr{Mode: 0o640}); again.Change != atomicfile.Unchanged {
		t.Errorf("the same again: %+v, want Unchanged", again)
	}
	if after := stat(t, path); after.Ino != before.Ino || after.Ctim != before.Ctim {
		t.Error("writing the same touched the file")
	}

	fixed := write(t, &w, path, "one", atomicfile.Attr{Mode: 0o600})
	if fixed.Change != atomicfile.Attributes || mode(t, path) != "0600" {
		t.Errorf("another mode: %+v and mode %s, want Attributes and 0600", fixed, mode(t, path))
	}
	if after := stat(t, path); after.Ino != before.Ino || after.Mtim != before.Mtim {
		t.Error("another mode made another file")
	}

	changed := write(t, &w, path, "two", atomicfile.Attr{Mode: 0o600})
	if changed.Change != atomicfile.Replaced || stat(t, path).Ino == before.Ino {
		t.Errorf("another content: %+v, want a new file", changed)
	}
}

// TestSecondName leaves the attributes of a file alone that has another name,
// because whoever uses that name did not ask for them.
func TestSecondName(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "token"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("same"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(other, path); err != nil {
		t.Fatal(err)
	}
	var w atomicfile.Writer
	defer w.Close()
	if out := write(t, &w, path, "same", atomicfile.Attr{Mode: 0o644}); out.Change != atomicfile.Replaced {
		t.Errorf("write: %+v, want a new file", out)
	}
	if mode(t, other) != "0600" || mode(t, path) != "0644" {
		t.Errorf("modes are %s and %s, want 0600 and 0644", mode(t, other), mode(t, path))
	}
}

// TestUmask gives the mode that was asked for whatever the process masks.
func TestUmask(t *testing.T) {
	dir := t.TempDir()
	defer unix.Umask(unix.Umask(0o277))
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a", "b", "token")
	if err := atomicfile.WriteFile(path, []byte("x"), atomicfile.Attr{Mode: 0o644, DirMode: 0o755}); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(dir, "private")
	var w atomicfile.Writer
	defer w.Close()
	out := write(t, &w, private, "x", atomicfile.Attr{})
	if out.Change != atomicfile.Replaced || out.Mode != 0o600 {
		t.Errorf("a private file: %+v, want a new one of mode 0600", out)
	}
	if again := write(t, &w, private, "x", atomicfile.Attr{}); again.Change != atomicfile.Unchanged || again.Fingerprint != out.Fingerprint {
		t.Errorf("the same again: %+v after %+v, want nothing to do", again, out)
	}
	for p, want := range map[string]string{private: "0600", path: "0644", filepath.Dir(path): "0755", filepath.Join(dir, "a"): "0755", dir: "0700"} {
		if got := mode(t, p); got != want {
			t.Errorf("%s has mode %s, want %s", p, got, want)
		}
	}
}

func TestMissingDirectories(t *testing.T) {
	dir := t.TempDir()
	var w atomicfile.Writer
	defer w.Close()
	deep := filepath.Join(dir, "a", "b", "c", "token")
	if _, err := w.Inspect(deep); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Inspect: %v, want ErrNotExist", err)
	}
	if removed, err := w.Remove(deep, atomicfile.Sum(nil)); removed || err != nil {
		t.Errorf("Remove: %v, %v, want nothing to do", removed, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("looking made a directory")
	}
	write(t, &w, deep, "x", atomicfile.Attr{})
	for p := filepath.Dir(deep); p != dir; p = filepath.Dir(p) {
		if mode(t, p) != "0750" {
			t.Errorf("%s has mode %s, want 0750", p, mode(t, p))
		}
	}
	write(t, &w, deep, "y", atomicfile.Attr{DirMode: 0o700})
	if got := mode(t, filepath.Dir(deep)); got != "0750" {
		t.Errorf("an existing directory got mode %s", got)
	}
}

// TestBadPaths never guesses what a path could mean.
func TestBadPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		"relative":                           atomicfile.ErrBadPath,
		"":                                   atomicfile.ErrBadPath,
		"/":                                  atomicfile.ErrBadPath,
		dir + "/sub/":                        atomicfile.ErrBadPath,
		dir + "/../x":                        atomicfile.ErrBadPath,
		dir + "//x":                          atomicfile.ErrBadPath,
		dir + "/x\x00y":                      atomicfile.ErrBadPath,
		dir + "/.tokend-x":                   atomicfile.ErrBadPath,
		dir + "/file/x":                      unix.ENOTDIR,
		dir + "/" + strings.Repeat("n", 256): unix.ENAMETOOLONG,
	} {
		err := atomicfile.WriteFile(path, []byte("x"), atomicfile.Attr{})
		if !errors.Is(err, want) || !atomicfile.Permanent(err) {
			t.Errorf("writing %q: %v, want %v, permanent", path, err, want)
		}
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, strings.Repeat("n", 255)), []byte("x"), atomicfile.Attr{}); err != nil {
		t.Errorf("the longest name: %v", err)
	}
	if left := leftovers(t, dir); left != nil {
		t.Errorf("unfinished files are left: %q", left)
	}
}

// TestNotRegular leaves everything alone that is no regular file.
func TestNotRegular(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	outside := at("outside")
	if err := os.WriteFile(outside, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := map[string]error{
		"a symbolic link": os.Symlink(outside, at("link")),
		"a dangling one":  os.Symlink(at("nowhere"), at("dangling")),
		"a directory":     os.Mkdir(at("directory"), 0o755),
		"a named pipe":    unix.Mkfifo(at("pipe"), 0o600),
	}
	kinds := map[string]string{"link": "a symbolic link", "dangling": "a symbolic link", "directory": "a directory", "pipe": "a named pipe", "socket": "a socket"}
	listener, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if os.Geteuid() == 0 {
		made["a device"] = unix.Mknod(at("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		kinds["device"] = "a device"
	}
	for what, err := range made {
		if err != nil {
			t.Fatalf("making %s: %v", what, err)
		}
	}
	var w atomicfile.Writer
	defer w.Close()
	for name, kind := range kinds {
		_, err := w.Write(at(name), []byte("secret"), atomicfile.Attr{})
		if !errors.Is(err, atomicfile.ErrNotRegular) || !atomicfile.Permanent(err) || !strings.Contains(err.Error(), kind) {
			t.Errorf("writing onto %s: %v, want ErrNotRegular", kind, err)
		}
		if _, err := w.Remove(at(name), atomicfile.Sum([]byte("untouched"))); !errors.Is(err, atomicfile.ErrChanged) {
			t.Errorf("removing %s: %v, want ErrChanged", kind, err)
		}
		if info, err := w.Inspect(at(name)); err != nil || info.Regular || info.Type != kind {
			t.Errorf("inspecting %s: %+v, %v", kind, info, err)
		}
	}
	if got := content(t, outside); got != "untouched" {
		t.Errorf("a link was followed: its target holds %q", got)
	}
	if _, err := os.Lstat(at("nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a dangling link was followed")
	}
}

func TestInspect(t *testing.T) {
	var w atomicfile.Writer
	defer w.Close()
	path := filepath.Join(t.TempDir(), "token")
	out := write(t, &w, path, "content", atomicfile.Attr{Mode: 0o640})
	info, err := w.Inspect(path, atomicfile.Sum([]byte("CONTENT")), atomicfile.Sum([]byte("longer content")), out.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	want := atomicfile.Info{Type: "a regular file", Regular: true, Mode: 0o640, UID: out.UID, GID: out.GID, Links: 1, Match: 2}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("Inspect (-want +got):\n%s", diff)
	}
	if info, err := w.Inspect(path); err != nil || info.Match != -1 {
		t.Errorf("Inspect without fingerprints: %+v, %v", info, err)
	}
}

func TestRemove(t *testing.T) {
	var w atomicfile.Writer
	defer w.Close()
	path := filepath.Join(t.TempDir(), "token")
	out := write(t, &w, path, "content", atomicfile.Attr{})
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if removed, err := w.Remove(path, atomicfile.Sum([]byte("CONTENT"))); removed || !errors.Is(err, atomicfile.ErrChanged) {
		t.Errorf("removing another content: %v, %v, want ErrChanged", removed, err)
	}
	if removed, err := w.Remove(path, out.Fingerprint); !removed || err != nil {
		t.Errorf("removing: %v, %v", removed, err)
	}
	if removed, err := w.Remove(path, out.Fingerprint); removed || err != nil {
		t.Errorf("removing what is gone: %v, %v", removed, err)
	}
}

// TestDirectoryMadeAnew writes where the path leads now, not where a handle from
// earlier points to.
func TestDirectoryMadeAnew(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "dir")
	path := filepath.Join(dir, "token")
	var w atomicfile.Writer
	defer w.Close()
	write(t, &w, path, "one", atomicfile.Attr{})
	for _, away := range map[string]func() error{
		"renamed": func() error { return os.Rename(dir, filepath.Join(base, "old")) },
		"deleted": func() error { return os.RemoveAll(dir) },
		"replaced": func() error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755))
		},
		"a link now": func() error {
			return errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(base, "target"), 0o755), os.Symlink("target", dir))
		},
	} {
		if err := away(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Inspect(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Inspect: %v, want ErrNotExist", err)
		}
		write(t, &w, path, "two", atomicfile.Attr{})
		if got := content(t, path); got != "two" {
			t.Errorf("file holds %q, want two", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHandlesAreBounded writes to more directories than handles are kept of.
func TestHandlesAreBounded(t *testing.T) {
	const dirs = 300
	base := t.TempDir()
	before := openFiles(t)
	var w atomicfile.Writer
	for range 2 {
		for n := range dirs {
			write(t, &w, filepath.Join(base, fmt.Sprint(n), "token"), fmt.Sprint(n), atomicfile.Attr{})
		}
	}
	if kept := openFiles(t) - before; kept > 130 || kept < 2 {
		t.Errorf("%d handles are kept after writing to %d directories", kept, dirs)
	}
	w.Close()
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d are after Close", before, after)
	}
	write(t, &w, filepath.Join(base, "1", "token"), "after Close", atomicfile.Attr{})
	if after := openFiles(t); after != before {
		t.Errorf("a closed Writer keeps handles: %d files were open before, %d are now", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("atomicfile: no /proc to count open files in:", err)
	}
	return len(entries)
}

func TestManyWriters(t *testing.T) {
	const goroutines, rounds = 16, 50
	base := t.TempDir()
	var w atomicfile.Writer
	defer w.Close()
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for n := range rounds {
				// Few directories for many, so that handles are shared and made at once.
				path := filepath.Join(base, fmt.Sprint(n%5), fmt.Sprintf("token-%d", g))
				want := fmt.Sprintf("content %d of %d", n, g)
				out, err := w.Write(path, []byte(want), atomicfile.Attr{})
				if err != nil {
					t.Errorf("writing: %v", err)
					return
				}
				if info, err := w.Inspect(path, out.Fingerprint); err != nil || info.Match != 0 {
					t.Errorf("reading back: %+v, %v", info, err)
				}
				if n%7 == 0 {
					if _, err := w.Remove(path, out.Fingerprint); err != nil {
						t.Errorf("removing: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	for n := range 5 {
		if left := leftovers(t, filepath.Join(base, fmt.Sprint(n))); left != nil {
			t.Errorf("unfinished files are left: %q", left)
		}
	}
}
