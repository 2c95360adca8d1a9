package watch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/watch"
)

func TestFileSystemWithoutEventsIsRescanned(t *testing.T) {
	t.Parallel()
	runAs(t, "silent", namespace(t))
}

// silent: an overlay file system shows what is written below it, and tells nobody,
// as network file systems do with what another machine writes. The slow look at
// everything finds it.
func silent(dir string, fail func(string, ...any)) {
	conf, below, above := filepath.Join(dir, "conf"), filepath.Join(dir, "below"), filepath.Join(dir, "above")
	for _, d := range []string{conf, below, above} {
		must(os.Mkdir(d, 0o755), fail)
	}
	written := filepath.Join(below, "a.hcl")
	must(os.WriteFile(written, []byte("1"), 0o600), fail)
	mount := func(source, at, kind, data string) {
		if err := unix.Mount(source, at, kind, 0, data); err != nil {
			fmt.Printf("SKIP no %s can be mounted here: %v\n", kind, err)
			os.Exit(0)
		}
	}
	mount("tmpfs", above, "tmpfs", "")
	must(os.Mkdir(filepath.Join(above, "upper"), 0o755), fail)
	must(os.Mkdir(filepath.Join(above, "work"), 0o755), fail)
	mount("overlay", conf, "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", below, filepath.Join(above, "upper"), filepath.Join(above, "work")))

	// By events alone it is not seen: what is written behind it is.
	fence := filepath.Join(dir, "fence")
	deaf := watch.New(watch.Options{Rescan: time.Hour})
	deaf.Set(config(conf), files(fence))
	must(os.WriteFile(written, []byte("22"), 0o600), fail)
	must(os.WriteFile(fence, []byte("1"), 0o600), fail)
	select {
	case tick := <-deaf.C():
		if tick.Group != "sinks" {
			fail("this file system tells of changes: %v", tick)
		}
	case <-time.After(patience):
		fail("no tick of a file that tells of its changes")
	}
	deaf.Close()

	w := watch.New(watch.Options{Rescan: 100 * time.Millisecond})
	file := filepath.Join(conf, "a.hcl")
	w.Set(config(conf), files(file))
	must(os.WriteFile(written, []byte("333"), 0o600), fail)
	expect(w, file, "written where nobody tells of it", fail)
	must(os.WriteFile(filepath.Join(below, "b.hcl"), []byte("1"), 0o600), fail)
	expect(w, conf, "created where nobody tells of it", fail)
	w.Close()
}
