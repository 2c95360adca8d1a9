package envsink_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/envsink"
	"tokend/pkg/sinks/sinktest"
	"tokend/pkg/spec"
)

func newSink(t testing.TB) *envsink.Sink {
	t.Helper()
	w := &atomicfile.Writer{}
	t.Cleanup(w.Close)
	return envsink.New(w, "")
}

// readers are models of the formats' readers.
func readers(t testing.TB) map[string]func(string) map[string]string {
	return map[string]func(string) map[string]string{
		"systemd": readSystemd,
		"dotenv":  readDotenv,
		"docker":  readDocker,
		"shell":   readSystemd, // plain enough in the conformance suite; real shells read elsewhere
	}
}

func TestConformance(t *testing.T) {
	for format, read := range readers(t) {
		t.Run(format, func(t *testing.T) { conform(t, format, "", read) })
	}
	t.Run("with a template", func(t *testing.T) {
		conform(t, "systemd", "# before\nOTHER=1\n\nTOKEN=${TOKEN}\n# after\n", readSystemd)
	})
}

func conform(t *testing.T, format, template string, read func(string) map[string]string) {
	sinktest.Run(t, func(t *testing.T) sinktest.Rig {
		dir := memoryDir(t)
		path := func(place string) string { return filepath.Join(dir, "sub", place+".env") }
		return sinktest.Rig{
			Sink:   newSink(t),
			Reopen: func() sinks.Sink { return newSink(t) },
			Args: func(place string, value cty.Value) spec.Values {
				args := spec.NewValues(map[string]cty.Value{
					"path":   cty.StringVal(path(place)),
					"format": cty.StringVal(format),
					"vars":   cty.ObjectVal(map[string]cty.Value{"TOKEN": value, "SCOPES": cty.StringVal("a b")}),
				})
				if template != "" {
					args = withTemplate(args, template)
				}
				return args
			},
			Holds: func(place string) (string, bool) {
				b, err := os.ReadFile(path(place))
				if err != nil {
					return "", false
				}
				if v, ok := read(string(b))["TOKEN"]; ok {
					return v, true
				}
				return string(b), true
			},
			Meddle: func(place, value string) {
				if err := os.MkdirAll(filepath.Dir(path(place)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path(place), []byte("TOKEN="+value+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			Delete:  func(place string) { _ = os.Remove(path(place)) },
			Version: func(place string) string { return version(path(place)) },
			Block: func(place string) func() {
				if err := os.Rename(path(place), path(place)+".aside"); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path(place)+".aside", path(place)); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := os.Rename(path(place)+".aside", path(place)); err != nil {
						t.Fatal(err)
					}
				}
			},
		}
	})
}

// memoryDir is a directory in memory if there is one: the suite writes thousands
// of files, and what a disk takes is the test of another package.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "envsink-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// version tells one state of a file from every other one.
func version(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim)
}
