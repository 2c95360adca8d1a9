package filesink_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

const token = "canary-token"

// args are a file's arguments; more are added or replaced.
func args(path string, more map[string]cty.Value) spec.Values {
	m := map[string]cty.Value{"path": cty.StringVal(path), "content": spec.Sensitive(cty.StringVal(token))}
	maps.Copy(m, more)
	return spec.NewValues(m)
}

func str(s string) cty.Value { return cty.StringVal(s) }

// TestDriftInWords says what differs in words that a person can act on.
func TestDriftInWords(t *testing.T) {
	run := func(f func(path string) error) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if err := f(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		root  bool
		more  map[string]cty.Value
		drift func(t *testing.T, path string)
		want  string
		stays bool // no write helps, somebody must take it away
	}{
		{name: "nothing", drift: run(func(string) error { return nil })},
		{name: "deleted", drift: run(os.Remove), want: "missing"},
		{name: "the directory deleted", drift: run(func(p string) error { return os.RemoveAll(filepath.Dir(p)) }), want: "missing"},
		{name: "edited", drift: run(func(p string) error { return os.WriteFile(p, []byte("edited"), 0) }), want: "content changed by someone else"},
		{name: "edited to the same length", drift: run(func(p string) error { return os.WriteFile(p, []byte(strings.ToUpper(token)), 0) }), want: "content changed by someone else"},
		{name: "emptied", drift: run(func(p string) error { return os.Truncate(p, 0) }), want: "content changed by someone else"},
		{name: "appended to", drift: run(func(p string) error { return os.WriteFile(p, []byte(token+"\n"), 0) }), want: "content changed by someone else"},
		{name: "chmod", drift: run(func(p string) error { return os.Chmod(p, 0o644) }), want: "mode is 0644, not 0600"},
		{name: "chmod of another mode", more: map[string]cty.Value{"mode": str("0640")}, drift: run(func(p string) error { return os.Chmod(p, 0o604) }), want: "mode is 0604, not 0640"},
		{name: "chown", root: true, more: map[string]cty.Value{"owner": str("daemon"), "group": str("2")},
			drift: run(func(p string) error { return os.Chown(p, 65534, 65534) }), want: "owner is nobody, not daemon; group is nogroup, not 2"},
		{name: "all at once", root: true, more: map[string]cty.Value{"owner": str("daemon")},
			drift: run(func(p string) error {
				return errors.Join(os.WriteFile(p, []byte("edited"), 0), os.Chmod(p, 0o666), os.Chown(p, 4242, -1))
			}), want: "content changed by someone else; mode is 0666, not 0600; owner is 4242, not daemon"},
		{name: "chown that nobody asked about", root: true, drift: run(func(p string) error { return os.Chown(p, 1, 1) })},
		{name: "a link", drift: run(func(p string) error { return errors.Join(os.Rename(p, p+".real"), os.Symlink(p+".real", p)) }),
			want: "is a symbolic link, not a regular file", stays: true},
		{name: "a directory", drift: run(func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }),
			want: "is a directory, not a regular file", stays: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root && os.Geteuid() != 0 {
				t.Skip("filesink: giving files away takes root")
			}
			s, path := newSink(t), filepath.Join(t.TempDir(), "sub", "token")
			d, err := s.Render(args(path, c.more))
			if err != nil {
				t.Fatal(err)
			}
			last, err := s.Write(t.Context(), d, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.drift(t, path)
			if got, err := s.Check(t.Context(), d, last); err != nil || got != c.want {
				t.Errorf("Check: %q, %v, want %q", got, err, c.want)
			}
			last, err = s.Write(t.Context(), d, last)
			if c.stays {
				if !errors.Is(err, sinks.ErrPermanent) {
					t.Errorf("Write: %v, want ErrPermanent", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Check(t.Context(), d, last); err != nil || got != "" {
				t.Errorf("after a write Check says %q, %v", got, err)
			}
		})
	}
}

// TestDriftKnowsOurOwn tells an earlier token of ours from what was there before.
func TestDriftKnowsOurOwn(t *testing.T) {
	s, path := newSink(t), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := s.Render(args(path, nil))
	if err != nil {
		t.Fatal(err)
	}
	check := func(d sinks.Desired, last []byte, want string) {
		t.Helper()
		if got, err := s.Check(t.Context(), d, last); err != nil || got != want {
			t.Errorf("Check: %q, %v, want %q", got, err, want)
		}
	}
	check(d, nil, "content is not ours")
	last, err := s.Write(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Render(args(path, map[string]cty.Value{"content": spec.Sensitive(str("the next token"))}))
	if err != nil {
		t.Fatal(err)
	}
	check(next, last, "content is of an earlier version")

	elsewhere, err := s.Render(args(path+"-2", nil))
	if err != nil {
		t.Fatal(err)
	}
	check(elsewhere, last, "missing")
	if err := os.WriteFile(path+"-2", []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(elsewhere, last, "content is not ours")
}

// TestAccount holds the form of the account, which is read again by later versions.
func TestAccount(t *testing.T) {
	s, path := newSink(t), filepath.Join(t.TempDir(), "token")
	d, err := s.Render(args(path, map[string]cty.Value{"mode": str("640")}))
	if err != nil {
		t.Fatal(err)
	}
	written, err := s.Write(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(written, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"inode", "changed"} {
		if n, ok := got[name].(float64); !ok || n == 0 {
			t.Errorf("the account's %s is %v", name, got[name])
		}
		delete(got, name)
	}
	want := map[string]any{
		"path": path, "size": float64(len(token)), "mode": "0640", "uid": float64(os.Geteuid()), "gid": float64(os.Getegid()),
		"sha256": "4b598de5faa6a2208f99f7b8a6b61378ac7d7a36d9524056e9be61c17c37667f",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{path}, s.Paths(written)); diff != "" {
		t.Errorf("Paths (-want +got):\n%s", diff)
	}
}
