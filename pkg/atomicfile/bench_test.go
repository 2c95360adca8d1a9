package atomicfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tokend/pkg/atomicfile"
)

// BenchmarkWrite replaces files on tmpfs, each time with other content of the
// same length, as tokens are.
func BenchmarkWrite(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "tokend-bench-")
	if err != nil {
		b.Skip("atomicfile: no tmpfs at /dev/shm:", err)
	}
	defer os.RemoveAll(dir)
	var w atomicfile.Writer
	defer w.Close()
	paths := make([]string, 1000)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("credential-%04d.token", i))
	}
	content := make([]byte, 1200)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		copy(content, fmt.Sprintf("%020d", n))
		if _, err := w.Write(paths[n%len(paths)], content, atomicfile.Attr{Mode: 0o640, Owner: fmt.Sprint(os.Getuid())}); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkInspect looks at files that are as they shall be.
func BenchmarkInspect(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "tokend-bench-")
	if err != nil {
		b.Skip("atomicfile: no tmpfs at /dev/shm:", err)
	}
	defer os.RemoveAll(dir)
	var w atomicfile.Writer
	defer w.Close()
	path, content := filepath.Join(dir, "token"), make([]byte, 1200)
	if _, err := w.Write(path, content, atomicfile.Attr{}); err != nil {
		b.Fatal(err)
	}
	sum := atomicfile.Sum(content)
	b.ReportAllocs()
	for b.Loop() {
		if info, err := w.Inspect(path, sum); err != nil || info.Match != 0 {
			b.Fatal(info, err)
		}
	}
}
