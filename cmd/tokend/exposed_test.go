package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that a secret comes from and that everybody can read is said once, until
// it was mended; one in a directory that keeps others out is not.
func TestExposedSecretFiles(t *testing.T) {
	dir, err := os.MkdirTemp("", "exposed") // whose parents everybody may search, unlike a test's own
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if !searchable(dir) {
		t.Skipf("exposed: %s is in a directory that others cannot search; set TMPDIR to one that they can", dir)
	}
	inner := filepath.Join(dir, "inner")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	file := func(path string, mode os.FileMode) string {
		t.Helper()
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open, shut, kept := file(filepath.Join(dir, "open"), 0o644), file(filepath.Join(dir, "shut"), 0o640), file(filepath.Join(inner, "kept"), 0o644)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(kept, link); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var e exposed
	said := func() int {
		out.Reset()
		e.look(log, []string{open, shut, kept, link, filepath.Join(dir, "none")})
		if n := strings.Count(out.String(), "path="+open); n != strings.Count(out.String(), "path=") {
			t.Errorf("said of others too: %s", &out)
		}
		return strings.Count(out.String(), "path=")
	}
	if n := said(); n != 1 {
		t.Errorf("said %d times: %s", n, &out)
	}
	if n := said(); n != 0 {
		t.Errorf("said again: %s", &out)
	}
	for _, mode := range []os.FileMode{0o600, 0o644} {
		if err := os.Chmod(open, mode); err != nil {
			t.Fatal(err)
		}
		if n := said(); n != map[os.FileMode]int{0o600: 0, 0o644: 1}[mode] {
			t.Errorf("with mode %o said %d times", mode, n)
		}
	}
}

func searchable(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
