package atomicfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tokend/pkg/atomicfile"
)

// mount mounts something for one test.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	needRoot(t)
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Skip("atomicfile: mounting is not allowed here:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", target, err)
		}
	})
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", 0, "size=64k")
	var w atomicfile.Writer
	defer w.Close()
	path := filepath.Join(dir, "token")
	write(t, &w, path, "one", atomicfile.Attr{})
	_, err := w.Write(path, bytes.Repeat([]byte("secret"), 20_000), atomicfile.Attr{})
	if !errors.Is(err, unix.ENOSPC) || atomicfile.Permanent(err) || strings.Contains(err.Error(), "secretsecret") {
		t.Errorf("writing: %v, want ENOSPC, not permanent", err)
	}
	if got := content(t, path); got != "one" {
		t.Errorf("the old file holds %d bytes now", len(got))
	}
	if left := leftovers(t, dir); left != nil {
		t.Errorf("unfinished files are left: %q", left)
	}
	write(t, &w, path, "two", atomicfile.Attr{})
}

func TestReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", unix.MS_RDONLY, "")
	if err := atomicfile.WriteFile(filepath.Join(dir, "token"), []byte("x"), atomicfile.Attr{}); !errors.Is(err, unix.EROFS) || !atomicfile.Permanent(err) {
		t.Errorf("writing: %v, want EROFS, permanent", err)
	}
}

// TestMountedFile is a single file that Docker mounted into a container.
func TestMountedFile(t *testing.T) {
	dir := t.TempDir()
	path, source := filepath.Join(dir, "token"), filepath.Join(dir, "source")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.WriteFile(source, []byte("old"), 0o600)); err != nil {
		t.Fatal(err)
	}
	mount(t, source, path, "", unix.MS_BIND, "")
	var w atomicfile.Writer
	defer w.Close()
	out, err := w.Write(path, []byte("new"), atomicfile.Attr{})
	if !out.Stood {
		t.Error("a write that failed does not say that there is a file")
	}
	if !errors.Is(err, atomicfile.ErrMountPoint) || !atomicfile.Permanent(err) || !strings.Contains(err.Error(), "mount its directory instead") {
		t.Errorf("writing: %v, want ErrMountPoint with what to do", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("file holds %q", got)
	}
	if left := leftovers(t, dir); left != nil {
		t.Errorf("unfinished files are left: %q", left)
	}
	if _, err := w.Remove(path, atomicfile.Sum([]byte("old"))); !errors.Is(err, atomicfile.ErrMountPoint) {
		t.Errorf("removing: %v, want ErrMountPoint", err)
	}
}

// TestMountedOver writes into what was mounted over a directory after its handle
// was kept.
func TestMountedOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	var w atomicfile.Writer
	defer w.Close()
	write(t, &w, path, "below", atomicfile.Attr{})
	mount(t, "tmpfs", dir, "tmpfs", 0, "")
	write(t, &w, path, "above", atomicfile.Attr{})
	if got := content(t, path); got != "above" {
		t.Errorf("file holds %q, want above", got)
	}
}

// traced runs the current test's child under strace and returns the system calls
// that it made on files called token, and syncs, in order.
func traced(t *testing.T, role, arg string, options ...string) []string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace: not installed")
	}
	log := filepath.Join(t.TempDir(), "strace")
	argv := append([]string{strace, "-f", "-qq", "-o", log, "-e", "trace=openat,fchmod,fchown,write,fsync,renameat,renameat2,unlinkat,mkdirat"}, options...)
	child(t, role, arg, nil, argv...).mustRun(t)
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	begun := false
	var calls []string
	for l := range strings.Lines(string(b)) {
		// The child opens these two to mark where its part begins and ends.
		begun = begun && !strings.Contains(l, `"/end-of-test"`) || strings.Contains(l, `"/begin-of-test"`)
		if m := regexp.MustCompile(`^\d+ +(\w+)\((.*)$`).FindStringSubmatch(strings.TrimSuffix(l, "\n")); begun && m != nil && !strings.Contains(l, "-of-test") {
			calls = append(calls, m[1]+" "+m[2])
		}
	}
	return calls
}

// inTrace runs a part of a child on one thread between two marks.
func inTrace(part func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _ = os.Open("/begin-of-test")
	part()
	_, _ = os.Open("/end-of-test")
}

// diskTemp is a directory that outlives a crash.
func diskTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		t.Skip("atomicfile: the temporary directory is in memory, where nothing is synced")
	}
	return dir
}

// names of calls alone, with what of their arguments matters.
func shorten(calls []string) []string {
	var out []string
	for _, c := range calls {
		name, rest, _ := strings.Cut(c, " ")
		switch {
		case name == "openat" && strings.Contains(rest, "O_CREAT"):
			if !strings.Contains(rest, "O_EXCL|O_NOFOLLOW") {
				out = append(out, "somebody else's file: "+rest)
			}
			out = append(out, "create "+regexp.MustCompile(`0\d+`).FindString(rest[strings.Index(rest, "O_CREAT"):]))
		case name == "openat":
		case name == "fchmod" && !strings.Contains(rest, "(INJECTED)"):
			out = append(out, "chmod "+regexp.MustCompile(`, (0\d+)`).FindStringSubmatch(rest)[1])
		case strings.Contains(rest, "(INJECTED)"):
			out = append(out, strings.TrimSuffix(name, "at")+" failed")
		default:
			out = append(out, strings.TrimSuffix(name, "at"))
		}
	}
	return out
}

// TestOrderOnDisk holds the order of system calls: private first, attributes
// before content, content on disk before its name, the name on disk at the end.
func TestOrderOnDisk(t *testing.T) {
	if isChild("order") {
		path := filepath.Join(os.Getenv(childArg), "new", "token")
		var w atomicfile.Writer
		inTrace(func() {
			write(t, &w, path, "one", atomicfile.Attr{Mode: 0o640, Group: fmt.Sprint(os.Getegid())})
			write(t, &w, path, "one", atomicfile.Attr{Mode: 0o640, Group: fmt.Sprint(os.Getegid())})
			write(t, &w, path, "one", atomicfile.Attr{Mode: 0o600, Group: fmt.Sprint(os.Getegid())})
			if _, err := w.Remove(path, atomicfile.Sum([]byte("one"))); err != nil {
				t.Error(err)
			}
		})
		return
	}
	want := []string{
		"mkdir", "fsync", "fsync", // the directory, and the one above it
		"create 0600", "chmod 0640", "fchown", "write", "fsync", "rename", "fsync",
		// nothing for the same again
		"chmod 0600", "fchown", "chmod 0600", "fsync",
		"unlink", "fsync",
	}
	if diff := cmp.Diff(want, shorten(traced(t, "order", diskTemp(t)))); diff != "" {
		t.Errorf("system calls (-want +got):\n%s", diff)
	}
}

// TestSyncOfAnEarlierRename finishes what a process before this one may not have
// come to: it renamed, and was killed before the directory was synced.
func TestSyncOfAnEarlierRename(t *testing.T) {
	if isChild("earlier") {
		path := filepath.Join(os.Getenv(childArg), "token")
		var w atomicfile.Writer
		inTrace(func() {
			write(t, &w, path, "one", atomicfile.Attr{})
			write(t, &w, path, "one", atomicfile.Attr{})
		})
		return
	}
	dir := diskTemp(t)
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"fsync"}, shorten(traced(t, "earlier", dir))); diff != "" {
		t.Errorf("system calls (-want +got):\n%s", diff)
	}
}

// TestNoSyncInMemory spares tmpfs what no crash outlives.
func TestNoSyncInMemory(t *testing.T) {
	if isChild("memory") {
		var w atomicfile.Writer
		inTrace(func() { write(t, &w, filepath.Join(os.Getenv(childArg), "token"), "one", atomicfile.Attr{}) })
		return
	}
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", 0, "")
	if diff := cmp.Diff([]string{"create 0600", "write", "rename"}, shorten(traced(t, "memory", dir))); diff != "" {
		t.Errorf("system calls (-want +got):\n%s", diff)
	}
}

// TestFailingDisk injects errors into system calls.
func TestFailingDisk(t *testing.T) {
	for _, c := range []struct {
		name, inject string
		child        func(t *testing.T, w *atomicfile.Writer, path string)
		want         []string
	}{
		{
			name: "the content cannot be synced", inject: "fsync:error=EIO:when=1",
			child: func(t *testing.T, w *atomicfile.Writer, path string) {
				if _, err := w.Write(path, []byte("two"), atomicfile.Attr{}); !errors.Is(err, unix.EIO) || content(t, path) != "one" {
					t.Errorf("writing: %v, and the file holds %q; want EIO and the old content", err, content(t, path))
				}
			},
			want: []string{"create 0600", "write", "fsync failed", "unlink"},
		},
		{
			name: "the directory cannot be synced", inject: "fsync:error=EIO:when=2",
			child: func(t *testing.T, w *atomicfile.Writer, path string) {
				if _, err := w.Write(path, []byte("two"), atomicfile.Attr{}); !errors.Is(err, unix.EIO) || atomicfile.Permanent(err) {
					t.Errorf("writing: %v, want EIO, not permanent", err)
				}
				// The content is right, and yet it is not done before the directory is synced.
				if out := write(t, w, path, "two", atomicfile.Attr{}); out.Change != atomicfile.Unchanged {
					t.Errorf("writing again: %+v", out)
				}
			},
			want: []string{"create 0600", "write", "fsync", "rename", "fsync failed", "fsync"},
		},
		{
			name: "the mode cannot be set", inject: "fchmod:error=EPERM:when=1",
			child: func(t *testing.T, w *atomicfile.Writer, path string) {
				if _, err := w.Write(path, []byte("two"), atomicfile.Attr{Mode: 0o640}); !errors.Is(err, unix.EPERM) || content(t, path) != "one" {
					t.Errorf("writing: %v, and the file holds %q; want EPERM and the old content", err, content(t, path))
				}
			},
			want: []string{"create 0600", "fchmod failed", "unlink"},
		},
		{
			name: "signals interrupt", inject: "fsync,renameat,renameat2:error=EINTR:when=1",
			child: func(t *testing.T, w *atomicfile.Writer, path string) { write(t, w, path, "two", atomicfile.Attr{}) },
			want:  []string{"create 0600", "write", "fsync failed", "fsync", "rename failed", "rename", "fsync"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if isChild(c.name) {
				path := filepath.Join(os.Getenv(childArg), "token")
				var w atomicfile.Writer
				inTrace(func() { c.child(t, &w, path) })
				return
			}
			dir := diskTemp(t)
			if err := os.WriteFile(filepath.Join(dir, "token"), []byte("one"), 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, shorten(traced(t, c.name, dir, "-e", "inject="+c.inject))); diff != "" {
				t.Errorf("system calls (-want +got):\n%s", diff)
			}
			if left := leftovers(t, dir); left != nil {
				t.Errorf("unfinished files are left: %q", left)
			}
		})
	}
}
