package watch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"tokend/pkg/watch"
)

// many makes n files in one directory, on tmpfs where there is one.
func many(tb testing.TB, n int) []string {
	tb.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "watch-test-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	paths := make([]string, n)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("user-%06d.token", i))
		if err := os.WriteFile(paths[i], []byte("token"), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return paths
}

func BenchmarkSetHundredThousandFiles(b *testing.B) {
	paths := many(b, 100_000)
	for b.Loop() {
		w := watch.New(watch.Options{})
		w.Set(files(paths...))
		w.Close()
	}
}

func BenchmarkSetAgain(b *testing.B) {
	paths := many(b, 100_000)
	w := watch.New(watch.Options{})
	defer w.Close()
	w.Set(files(paths...))
	for b.Loop() {
		w.Set(files(paths...))
	}
}

func BenchmarkAddOneBesideHundredThousand(b *testing.B) {
	paths := many(b, 100_000)
	w := watch.New(watch.Options{})
	defer w.Close()
	w.Set(files(paths[1:]...))
	for b.Loop() {
		w.Add("sinks", paths[0])
		w.Remove("sinks", paths[0])
	}
}

// BenchmarkChangeAmongHundredThousand is from a file's rename to its tick, less
// the group's quiet time.
func BenchmarkChangeAmongHundredThousand(b *testing.B) {
	paths := many(b, 100_000)
	w := watch.New(watch.Options{})
	defer w.Close()
	w.Set(watch.Group{Name: "sinks", Paths: paths, Quiet: time.Nanosecond, MaxDelay: time.Nanosecond})
	tmp := filepath.Join(filepath.Dir(paths[0]), "tmp")
	for i := 0; b.Loop(); i++ {
		path := paths[i%len(paths)]
		if err := os.WriteFile(tmp, []byte("2"), 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Rename(tmp, path); err != nil {
			b.Fatal(err)
		}
		for tick := range w.C() {
			if slices.Contains(tick.Paths, path) {
				break
			}
		}
	}
}

func BenchmarkMemoryOfHundredThousand(b *testing.B) {
	paths := many(b, 100_000)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var used uint64
	for b.Loop() {
		before := heap()
		w := watch.New(watch.Options{})
		w.Set(files(paths...))
		used = heap() - before
		w.Close()
		runtime.KeepAlive(paths)
	}
	b.ReportMetric(float64(used)/float64(len(paths)), "B/path")
	b.ReportMetric(0, "ns/op")
}

// One changed file among very many is found at once, and a thousand changes in
// a row lose none.
func TestManyFilesInOneDirectory(t *testing.T) {
	t.Parallel()
	paths := many(t, 20_000)
	o := observe(t, files(paths...))
	replace(t, paths[12_345], "new")
	o.want("one of many", paths[12_345])
	for i := 0; i < len(paths); i += 20 {
		replace(t, paths[i], "new")
	}
	var every []string
	for i := 0; i < len(paths); i += 20 {
		every = append(every, paths[i])
	}
	o.want("a thousand of many", every...)
	o.none("afterwards")
}
