package filesink_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/filesink"
	"tokend/pkg/spec"
)

func TestRefusedArguments(t *testing.T) {
	for _, c := range []struct {
		want string
		more map[string]cty.Value
	}{
		{"reading path: it must name a file", map[string]cty.Value{"path": str("")}},
		{"reading path: it must be absolute", map[string]cty.Value{"path": str("run/token")}},
		{"write the path in full", map[string]cty.Value{"path": str("~/token")}},
		{"ends in a slash", map[string]cty.Value{"path": str("/run/tokend/")}},
		{"contains a zero byte", map[string]cty.Value{"path": str("/run/to\x00ken")}},
		{"reading path: the value is sensitive", map[string]cty.Value{"path": spec.Sensitive(str("/run/" + token))}},
		{`reading mode: "rw" is not a mode`, map[string]cty.Value{"mode": str("rw")}},
		{`reading mode: "0888" is not a mode`, map[string]cty.Value{"mode": str("0888")}},
		{`reading mode: "4755" is not a mode`, map[string]cty.Value{"mode": str("4755")}},
		{`reading mode: "6" is not a mode`, map[string]cty.Value{"mode": str("6")}},
		{`reading mode: "000" is not a mode`, map[string]cty.Value{"mode": str("000")}},
		{"lets nobody read the file", map[string]cty.Value{"mode": str("0200")}},
		{`reading dir_mode: "x" is not a mode`, map[string]cty.Value{"dir_mode": str("x")}},
		{"not even tokend could write", map[string]cty.Value{"dir_mode": str("0444")}},
		{"the content is empty", map[string]cty.Value{"content": spec.Sensitive(str(""))}},
		{"the content is empty", map[string]cty.Value{"content": cty.NullVal(cty.String)}},
		{"reading content: a string is required", map[string]cty.Value{"content": cty.EmptyObjectVal}},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := newSink(t).Render(args("/run/tokend/token", c.more))
			if !errors.Is(err, sinks.ErrPermanent) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Render: %v, want %q as ErrPermanent", err, c.want)
			}
			if strings.Contains(err.Error(), token) {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

// TestArgumentsBeforeTheContent finds wrong arguments while the content is unknown.
func TestArgumentsBeforeTheContent(t *testing.T) {
	unknown := spec.Sensitive(cty.UnknownVal(cty.String))
	_, err := newSink(t).Render(args("/run/tokend/token", map[string]cty.Value{"mode": str("rw"), "content": unknown}))
	if errors.Is(err, sinks.ErrUnknown) || err == nil || !strings.Contains(err.Error(), "reading mode") {
		t.Errorf("Render: %v, want the wrong mode", err)
	}
}

// TestRelativePaths are relative to the configuration's directory, and one place
// has one name.
func TestRelativePaths(t *testing.T) {
	s := filesink.New(&atomicfile.Writer{}, "/etc/tokend")
	for path, want := range map[string]string{
		"token":              "file:/etc/tokend/token",
		"./a//b/../token":    "file:/etc/tokend/a/token",
		"../token":           "file:/etc/token",
		"/run/./tokend//x":   "file:/run/tokend/x",
		"/run/tokend/../x y": "file:/run/x y",
	} {
		d, err := s.Render(args(path, nil))
		if err != nil || d.Place != want || d.Target != "" {
			t.Errorf("the place of %q is %q (%q), %v, want %q", path, d.Place, d.Target, err, want)
		}
	}
}

// TestNumbersAsModes takes 0640 without quotes, which HCL reads as the number 640.
func TestNumbersAsModes(t *testing.T) {
	s, path := newSink(t), filepath.Join(t.TempDir(), "token")
	d, err := s.Render(args(path, map[string]cty.Value{"mode": cty.NumberIntVal(640), "owner": cty.NumberIntVal(int64(os.Geteuid()))}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o640 {
		t.Errorf("mode is %v, %v, want 0640", st.Mode(), err)
	}
}

// TestWhatTryingAgainIsGoodFor tells errors that only a person can end from those
// that pass.
func TestWhatTryingAgainIsGoodFor(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		path      string
		more      map[string]cty.Value
		permanent bool
		want      string
	}{
		{"a file in the way", file + "/token", nil, true, "not a directory"},
		{"a directory in the way", dir, nil, true, "it is left alone"},
		{"our own temporary names", dir + "/.tokend-token", nil, true, "swept away"},
		{"a user who may come", dir + "/token", map[string]cty.Value{"owner": str("no-such-user")}, false, `user "no-such-user"`},
		{"a group that may come", dir + "/token", map[string]cty.Value{"group": str("no-such-group")}, false, `group "no-such-group"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink(t)
			d, err := s.Render(args(c.path, c.more))
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Write(t.Context(), d, nil)
			if err == nil || errors.Is(err, sinks.ErrPermanent) != c.permanent || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("Write: %v, want %q with the path, permanent: %v", err, c.want, c.permanent)
			}
		})
	}
}

// TestSchema keeps the arguments that the kind reads and those that the
// configuration accepts the same, and only the content may wait.
func TestSchema(t *testing.T) {
	want := map[string]bool{"path": false, "content": true, "owner": false, "group": false, "mode": false, "dir_mode": false}
	for _, a := range filesink.Schema().Attrs {
		deferred, ok := want[a.Name]
		if !ok || deferred != a.Deferred || a.Doc == "" || a.Type != cty.String {
			t.Errorf("unexpected argument %+v", a)
		}
		delete(want, a.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing arguments: %v", want)
	}
}

// BenchmarkUnchanged is what a start costs for each file that is as it shall be.
func BenchmarkUnchanged(b *testing.B) {
	w := &atomicfile.Writer{}
	defer w.Close()
	s := filesink.New(w, "")
	a := args(filepath.Join(b.TempDir(), "token"), map[string]cty.Value{"mode": str("0640"), "owner": str("root")})
	d, err := s.Render(a)
	if err != nil {
		b.Fatal(err)
	}
	last, err := s.Write(b.Context(), d, nil)
	if err != nil {
		b.Skip("filesink: giving files to root takes root:", err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := s.Render(a)
		if err != nil {
			b.Fatal(err)
		}
		if drift, err := s.Check(b.Context(), d, last); err != nil || drift != "" {
			b.Fatal(drift, err)
		}
	}
}
