package filesink_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"tokend/pkg/sinks"
)

// A first write tells what it replaces, and each how it left the file, as far as it
// will stay so.
func TestWhatAWriteTells(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "tokend-test-")
	if err != nil {
		t.Skip("filesink: no tmpfs at /dev/shm:", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, path := newSink(t), filepath.Join(dir, "token")
	var replaced []string
	var left sinks.Seen
	write := func(content string, last []byte) []byte {
		t.Helper()
		d, err := s.Render(args(path, map[string]cty.Value{"content": str(content)}))
		if err != nil {
			t.Fatal(err)
		}
		replaced, left = nil, sinks.Seen{}
		d.Replaces = func(what string) { replaced = append(replaced, what) }
		d.Left = func(s sinks.Seen) { left = s }
		account, err := s.Write(t.Context(), d, last)
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		if want := (sinks.Seen{Path: path, Inode: st.Ino, Changed: st.Ctim.Nano(), Modified: st.Mtim.Nano()}); left != want {
			t.Errorf("writing %q: it left %+v, the file is %+v", content, left, want)
		}
		return account
	}
	account := write("one", nil)
	if replaced != nil {
		t.Errorf("a new file replaces %q", replaced)
	}
	if write("two", account); replaced != nil {
		t.Errorf("another write of ours replaces %q", replaced)
	}
	for _, content := range []string{"three", "three"} { // also where it is right already
		if write(content, nil); len(replaced) != 1 || replaced[0] != "a file" {
			t.Errorf("a first write over somebody else's file replaces %q", replaced)
		}
	}
}

// A first write that fails before it has looked at the place tells all the same what
// stands there: the next one is no first write.
func TestAWriteTellsWhatStandsThoughItFailsBefore(t *testing.T) {
	s, path := newSink(t), filepath.Join(t.TempDir(), "token")
	for _, want := range []int{0, 1} {
		d, err := s.Render(args(path, map[string]cty.Value{"content": str("one"), "owner": str("no-such-user-anywhere")}))
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		d.Replaces = func(string) { told++ }
		if _, err := s.Write(t.Context(), d, nil); err == nil || told != want {
			t.Errorf("it tells %d times what stands there, want %d (%v)", told, want, err)
		}
		if err := os.WriteFile(path, []byte("somebody else's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What a file becomes that somebody else has put there is told beforehand, whether its
// content is known or not: a new file takes its place.
func TestWhatAFileOfSomebodyElseBecomes(t *testing.T) {
	s, path := newSink(t), filepath.Join(t.TempDir(), "token")
	for name, c := range map[string]struct {
		stands os.FileMode // 0: nothing does
		more   map[string]cty.Value
		want   string
	}{
		"nothing stands there": {0, nil, ""},
		"it is as it shall be": {0o600, nil, ""},
		"anybody may write it": {0o666, nil, "its mode becomes 0600 (it is 0666)"},
		"another mode is said": {0o600, map[string]cty.Value{"mode": str("0640")}, "its mode becomes 0640 (it is 0600)"},
		"the mode that is":     {0o640, map[string]cty.Value{"mode": str("0640")}, ""},
		"another owner":        {0o644, map[string]cty.Value{"owner": str("4000000001"), "group": str("4000000002")}, fmt.Sprintf("its mode becomes 0600 (it is 0644), its owner becomes 4000000001 (it is %s), its group becomes 4000000002 (it is %s)", owner(t), group(t))},
		"an owner that is not": {0o644, map[string]cty.Value{"owner": str("nosuchuser")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(path)
			if c.stands != 0 {
				if err := errors.Join(os.WriteFile(path, []byte("theirs"), 0o600), os.Chmod(path, c.stands)); err != nil {
					t.Fatal(err)
				}
			}
			for _, content := range []cty.Value{str("ours"), cty.UnknownVal(cty.String)} {
				all := map[string]cty.Value{"content": content}
				maps.Copy(all, c.more)
				d, err := s.Render(args(path, all))
				if err != nil && !errors.Is(err, sinks.ErrUnknown) {
					t.Fatal(err)
				}
				if got := s.Becomes(d); got != c.want {
					t.Errorf("%#v: %q, want %q", content, got, c.want)
				}
			}
		})
	}
}

func owner(t *testing.T) string {
	u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		t.Skip(err)
	}
	return u.Username
}

func group(t *testing.T) string {
	g, err := user.LookupGroupId(strconv.Itoa(os.Getegid()))
	if err != nil {
		t.Skip(err)
	}
	return g.Name
}

// A write tells that nothing of it came to its place, where that is certain: then there is
// nothing to clean, and nothing to count.
func TestAWriteTellsThatItTouchedNothing(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(t *testing.T, path string) (at, owner string)
		want bool
	}{
		"a file is in the way": {func(t *testing.T, path string) (string, string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(path, "token"), ""
		}, true},
		"a directory is there": {func(t *testing.T, path string) (string, string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			return path, ""
		}, true},
		"nobody of that name": {func(_ *testing.T, path string) (string, string) { return path, "no-such-user-anywhere" }, true},
		"its name is too long, once it is written": {func(_ *testing.T, path string) (string, string) {
			return filepath.Join(filepath.Dir(path), strings.Repeat("x", 300)), ""
		}, true},
		"it is a mount point": {func(t *testing.T, path string) (string, string) {
			if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
				t.Skip("filesink: no bind mounts:", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
			return path, ""
		}, true},
		"what stands there is the same, and cannot be furnished": {func(t *testing.T, path string) (string, string) {
			if err := os.WriteFile(path, []byte("one"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
				t.Skip("filesink: no bind mounts:", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
			if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Skip("filesink: no read-only bind mounts:", err)
			}
			return path, ""
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t)
			path, owner := c.set(t, filepath.Join(t.TempDir(), "place"))
			with := map[string]cty.Value{"content": str("one")}
			if owner != "" {
				with["owner"] = str(owner)
			}
			d, err := s.Render(args(path, with))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = s.Write(t.Context(), d, nil); err == nil || errors.Is(err, sinks.ErrUntouched) != c.want {
				t.Errorf("%v: nothing was touched is %v, want %v", err, !c.want, c.want)
			}
		})
	}
}
