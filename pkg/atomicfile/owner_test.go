package atomicfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokend/pkg/atomicfile"
)

func TestOwner(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	var w atomicfile.Writer
	defer w.Close()
	for _, c := range []struct {
		owner, group     string
		uid, gid, dirGID uint32
	}{
		{"", "", 0, 0, 0},
		{"65534", "", nobody, 0, nobody},
		{"nobody", "", nobody, 0, nobody},
		{"", "daemon", 0, 1, 1},
		{"daemon", "nogroup", 1, nobody, nobody},
		{"4000000001", "4000000002", 4000000001, 4000000002, 4000000002},
		{"root", "0", 0, 0, 0},
	} {
		t.Run(c.owner+":"+c.group, func(t *testing.T) {
			path := filepath.Join(dir, fmt.Sprintf("of-%s-%s", c.owner, c.group), "sub", "token")
			a := atomicfile.Attr{Mode: 0o640, Owner: c.owner, Group: c.group}
			out := write(t, &w, path, "x", a)
			st := stat(t, path)
			if st.Uid != c.uid || st.Gid != c.gid || out.UID != int(c.uid) || out.GID != int(c.gid) {
				t.Errorf("file belongs to %d:%d, and the writer says %d:%d; want %d:%d", st.Uid, st.Gid, out.UID, out.GID, c.uid, c.gid)
			}
			for p := filepath.Dir(path); p != dir; p = filepath.Dir(p) {
				if st := stat(t, p); st.Uid != 0 || st.Gid != c.dirGID {
					t.Errorf("directory %s belongs to %d:%d, want 0:%d", p, st.Uid, st.Gid, c.dirGID)
				}
			}
			if out := write(t, &w, path, "x", a); out.Change != atomicfile.Unchanged {
				t.Errorf("writing again: %+v, want Unchanged", out)
			}
			if err := os.Chown(path, 7, 7); err != nil {
				t.Fatal(err)
			}
			want := atomicfile.Attributes
			if c.owner == "" && c.group == "" {
				want = atomicfile.Unchanged // nobody asked for an owner
			}
			if out := write(t, &w, path, "x", a); out.Change != want {
				t.Errorf("writing after chown: %+v, want change %d", out, want)
			}
			if st := stat(t, path); want == atomicfile.Attributes && (c.owner != "" && st.Uid != c.uid || c.group != "" && st.Gid != c.gid) {
				t.Errorf("file belongs to %d:%d after the repair", st.Uid, st.Gid)
			}
		})
	}
}

func TestUnknownOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "token")
	for _, a := range []atomicfile.Attr{{Owner: "no-such-user"}, {Group: "no-such-group"}, {Owner: "-1"}, {Owner: "4294967295"}, {Group: "1x"}} {
		err := atomicfile.WriteFile(path, []byte("x"), a)
		if !errors.Is(err, atomicfile.ErrUnknownOwner) || atomicfile.Permanent(err) || !strings.Contains(err.Error(), a.Owner+a.Group) {
			t.Errorf("%+v: %v, want ErrUnknownOwner with the name, not permanent", a, err)
		}
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("a directory was made for nobody")
	}
}

// TestOrdinaryUser runs as one: what needs no rights works, what does says so.
func TestOrdinaryUser(t *testing.T) {
	if !isChild("ordinary user") {
		needRoot(t)
		dir := openTemp(t)
		child(t, "ordinary user", dir, func(c *childProcess) { c.credential(nobody, nobody) }).mustRun(t)
		return
	}
	dir := os.Getenv(childArg)
	var w atomicfile.Writer
	defer w.Close()
	path := filepath.Join(dir, "sub", "token")
	write(t, &w, path, "one", atomicfile.Attr{Mode: 0o640, Owner: "nobody", Group: fmt.Sprint(os.Getegid())})
	if out := write(t, &w, path, "two", atomicfile.Attr{Mode: 0o600}); out.UID != nobody {
		t.Errorf("file belongs to %d, want %d", out.UID, nobody)
	}

	_, err := w.Write(path, []byte("three"), atomicfile.Attr{Owner: "root"})
	if !errors.Is(err, unix.EPERM) || !atomicfile.Permanent(err) || !strings.Contains(err.Error(), "CAP_CHOWN") {
		t.Errorf("giving a file away: %v, want EPERM with a hint", err)
	}
	if got := content(t, path); got != "two" {
		t.Errorf("after a failed write the file holds %q", got)
	}
	if left := leftovers(t, filepath.Dir(path)); left != nil {
		t.Errorf("unfinished files are left: %q", left)
	}
	if err := atomicfile.WriteFile("/etc/tokend-test", []byte("x"), atomicfile.Attr{}); !errors.Is(err, unix.EACCES) || !atomicfile.Permanent(err) {
		t.Errorf("writing to /etc: %v, want EACCES", err)
	}

	// Unreadable to us, but in our directory: it can be replaced.
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if info, err := w.Inspect(path, atomicfile.Sum([]byte("two"))); !errors.Is(err, unix.EACCES) || !info.Regular {
		t.Errorf("Inspect of an unreadable file: %+v, %v, want EACCES", info, err)
	}
	write(t, &w, path, "two", atomicfile.Attr{})
	if got := content(t, path); got != "two" {
		t.Errorf("file holds %q, want two", got)
	}
}

// TestGivenAwayForGood runs with the one capability that giving away takes. The
// files can then not be read any more, and are recognised all the same.
func TestGivenAwayForGood(t *testing.T) {
	if !isChild("given away") {
		needRoot(t)
		dir := openTemp(t)
		child(t, "given away", dir, func(c *childProcess) {
			c.credential(nobody, nobody)
			c.cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_CHOWN}
		}).mustRun(t)
		return
	}
	path := filepath.Join(os.Getenv(childArg), "token")
	var w atomicfile.Writer
	defer w.Close()
	a := atomicfile.Attr{Owner: "root", Group: "root", Mode: 0o640}
	first := write(t, &w, path, "one", a)
	if _, err := os.ReadFile(path); !errors.Is(err, unix.EACCES) {
		t.Fatalf("reading: %v, want EACCES: the test tests nothing", err)
	}
	info, err := w.Inspect(path, atomicfile.Sum([]byte("two")), first.Fingerprint)
	if err != nil || info.Match != 1 || info.UID != 0 {
		t.Errorf("Inspect: %+v, %v, want the second fingerprint and uid 0", info, err)
	}
	if info, err := w.Inspect(path, atomicfile.Sum([]byte("one"))); !errors.Is(err, unix.EACCES) {
		t.Errorf("Inspect by content alone: %+v, %v, want EACCES", info, err)
	}
	// The same inode and size, but somebody wrote to it.
	if err := errors.Join(os.Chown(path, nobody, -1), os.Chmod(path, 0o600), os.WriteFile(path, []byte("ONE"), 0), os.Chown(path, 0, -1)); err != nil {
		t.Fatal(err)
	}
	if info, err := w.Inspect(path, first.Fingerprint); !errors.Is(err, unix.EACCES) {
		t.Errorf("Inspect of what somebody changed: %+v, %v, want EACCES", info, err)
	}
	second := write(t, &w, path, "two", a)
	if removed, err := w.Remove(path, first.Fingerprint); removed || err == nil {
		t.Errorf("removing the one before: %v, %v, want an error", removed, err)
	}
	if removed, err := w.Remove(path, second.Fingerprint); !removed || err != nil {
		t.Errorf("removing: %v, %v", removed, err)
	}
}
