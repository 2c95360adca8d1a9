package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokend/pkg/atomicfile"
)

const nobody = 65534

// TestPathsOthersCanRedirect tries each way in which a path can lead through
// what somebody else controls. All paths begin in a fresh directory.
func TestPathsOthersCanRedirect(t *testing.T) {
	mkdir := func(dir string, mode os.FileMode) error {
		return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode))
	}
	for _, c := range []struct {
		name  string
		root  bool // making it takes root
		make  func(dir string) error
		path  string
		lands string // where the file must come to lie; "" for a refusal
	}{
		{name: "a link that only we can have made",
			make: func(d string) error {
				return errors.Join(mkdir(d+"/real", 0o755), os.Symlink("real", d+"/link"))
			},
			path: "link/token", lands: "real/token"},
		{name: "an absolute link, to what is not there yet",
			make: func(d string) error { return os.Symlink(d+"/real/deep", d+"/link") },
			path: "link/sub/token", lands: "real/deep/sub/token"},
		{name: "a link upwards, through another link",
			make: func(d string) error {
				return errors.Join(mkdir(d+"/a", 0o755), mkdir(d+"/b", 0o755), os.Symlink("../b", d+"/a/up"), os.Symlink("a/up", d+"/link"))
			},
			path: "link/token", lands: "b/token"},
		{name: "links in a circle",
			make: func(d string) error {
				return errors.Join(os.Symlink("two", d+"/one"), os.Symlink("one", d+"/two"))
			},
			path: "one/token"},
		{name: "a link in a directory for everybody",
			make: func(d string) error {
				return errors.Join(mkdir(d+"/real", 0o755), mkdir(d+"/open", 0o777), os.Symlink("../real", d+"/open/link"))
			},
			path: "open/link/token"},
		{name: "a link in a directory for a group",
			make: func(d string) error {
				return errors.Join(mkdir(d+"/real", 0o755), mkdir(d+"/open", 0o775), os.Symlink("../real", d+"/open/link"))
			},
			path: "open/link/token"},
		{name: "our link in a sticky directory",
			make: func(d string) error {
				return errors.Join(mkdir(d+"/real", 0o755), mkdir(d+"/tmp", 0o777|os.ModeSticky), os.Symlink("../real", d+"/tmp/link"))
			},
			path: "tmp/link/token", lands: "real/token"},
		{name: "another's link in a sticky directory", root: true,
			make: func(d string) error {
				return errors.Join(mkdir(d+"/real", 0o755), mkdir(d+"/tmp", 0o777|os.ModeSticky), os.Symlink("../real", d+"/tmp/link"), os.Lchown(d+"/tmp/link", nobody, nobody))
			},
			path: "tmp/link/token"},
		{name: "a link in another's directory", root: true,
			make: func(d string) error {
				return errors.Join(mkdir(d+"/real", 0o755), mkdir(d+"/home", 0o755), os.Symlink("../real", d+"/home/link"), os.Chown(d+"/home", nobody, nobody))
			},
			path: "home/link/token"},
		{name: "another's directory", root: true,
			make: func(d string) error { return errors.Join(mkdir(d+"/home", 0o755), os.Chown(d+"/home", nobody, nobody)) },
			path: "home/sub/token", lands: "home/sub/token"},
		{name: "another's directory for everybody", root: true,
			make: func(d string) error { return errors.Join(mkdir(d+"/home", 0o777), os.Chown(d+"/home", nobody, nobody)) },
			path: "home/token"},
		{name: "below another's directory for everybody", root: true,
			make: func(d string) error {
				return errors.Join(mkdir(d+"/home", 0o777), mkdir(d+"/home/ours", 0o700), os.Chown(d+"/home", nobody, nobody))
			},
			path: "home/ours/token"},
		{name: "another's sticky directory for everybody", root: true,
			make: func(d string) error {
				return errors.Join(mkdir(d+"/home", 0o777), os.Chown(d+"/home", nobody, nobody), os.Chmod(d+"/home", 0o777|os.ModeSticky))
			},
			path: "home/token", lands: "home/token"},
		{name: "our directory for everybody, as Kubernetes' emptyDir is",
			make: func(d string) error { return mkdir(d+"/empty", 0o777) },
			path: "empty/sub/token", lands: "empty/sub/token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			dir := realTemp(t)
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			err := atomicfile.WriteFile(filepath.Join(dir, c.path), []byte("secret"), atomicfile.Attr{})
			if c.lands != "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := content(t, filepath.Join(dir, c.lands)); got != "secret" {
					t.Errorf("file holds %q", got)
				}
				return
			}
			if !errors.Is(err, atomicfile.ErrUnsafePath) && !errors.Is(err, unix.ELOOP) || !atomicfile.Permanent(err) {
				t.Fatalf("writing: %v, want ErrUnsafePath", err)
			}
			if found := findFiles(t, dir); len(found) > 0 {
				t.Errorf("a refused write left %q", found)
			}
		})
	}
}

// TestDirectoryTurnsUnsafe looks at a directory again although its handle is kept.
func TestDirectoryTurnsUnsafe(t *testing.T) {
	needRoot(t)
	dir := realTemp(t)
	var w atomicfile.Writer
	defer w.Close()
	path := filepath.Join(dir, "token")
	write(t, &w, path, "one", atomicfile.Attr{})
	if err := errors.Join(os.Chown(dir, nobody, nobody), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(path, []byte("two"), atomicfile.Attr{}); !errors.Is(err, atomicfile.ErrUnsafePath) || !strings.Contains(err.Error(), dir) {
		t.Errorf("writing: %v, want ErrUnsafePath with the directory's name", err)
	}
}

// realTemp is a temporary directory without symbolic links above it.
func realTemp(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func findFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
