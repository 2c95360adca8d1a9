package filesink_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/filesink"
	"tokend/pkg/sinks/sinktest"
	"tokend/pkg/spec"
)

func newSink(t *testing.T) *filesink.Sink {
	t.Helper()
	w := &atomicfile.Writer{}
	t.Cleanup(w.Close)
	return filesink.New(w, "")
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Rig {
		dir := t.TempDir()
		path := func(place string) string { return filepath.Join(dir, "sub", place+".token") }
		return sinktest.Rig{
			Sink:   newSink(t),
			Reopen: func() sinks.Sink { return newSink(t) },
			Args: func(place string, value cty.Value) spec.Values {
				return spec.NewValues(map[string]cty.Value{
					"path":    cty.StringVal(path(place)),
					"content": value,
					"mode":    cty.StringVal("0640"),
				})
			},
			Holds: func(place string) (string, bool) {
				b, err := os.ReadFile(path(place))
				return string(b), err == nil
			},
			Meddle:  func(place, value string) { meddle(t, path(place), value) },
			Delete:  func(place string) { _ = os.Remove(path(place)) },
			Version: func(place string) string { return version(path(place)) },
			Block: func(place string) func() {
				aside := path(place) + ".aside"
				rename(t, path(place), aside)
				if err := os.Mkdir(path(place), 0o700); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := os.Remove(path(place)); err != nil {
						t.Fatal(err)
					}
					rename(t, aside, path(place))
				}
			},
		}
	})
}

func meddle(t *testing.T, path, value string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// version tells one state of a file from every other one.
func version(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim)
}
