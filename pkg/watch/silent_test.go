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
	for _, kind := range []string{"overlay", "remote"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			runAs(t, kind, namespace(t))
		})
	}
}

// behind changes files of a directory so that nobody is told.
type behind struct {
	write  func(name, content string)
	remove func(name string)
}

// overlay mounts an overlay file system, which shows what is written below it, and
// tells nobody.
func overlay(dir, conf string, fail func(string, ...any)) behind {
	below, above := filepath.Join(dir, "below"), filepath.Join(dir, "above")
	for _, d := range []string{below, above} {
		must(os.Mkdir(d, 0o755), fail)
	}
	mount := func(source, at, kind, data string) {
		if err := unix.Mount(source, at, kind, 0, data); err != nil {
			cannotMount(kind, err)
		}
	}
	mount("tmpfs", above, "tmpfs", "")
	must(os.Mkdir(filepath.Join(above, "upper"), 0o755), fail)
	must(os.Mkdir(filepath.Join(above, "work"), 0o755), fail)
	mount("overlay", conf, "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", below, filepath.Join(above, "upper"), filepath.Join(above, "work")))
	return behind{
		write: func(name, content string) {
			must(os.WriteFile(filepath.Join(below, name), []byte(content), 0o600), fail)
		},
		remove: func(name string) { must(os.Remove(filepath.Join(below, name)), fail) },
	}
}

// elsewhere mounts a file system that another machine writes to.
func elsewhere(_, conf string, _ func(string, ...any)) behind {
	r, err := mountRemote(conf)
	if err != nil {
		cannotMount("FUSE", err)
	}
	return behind{r.write, r.remove}
}

func cannotMount(kind string, err error) {
	fmt.Printf("SKIP no %s can be mounted here: %v\n", kind, err)
	os.Exit(0)
}

// silent: nobody tells of what changes on such a file system. The slow look at
// everything finds it.
func silent(dir string, mount func(dir, conf string, fail func(string, ...any)) behind, fail func(string, ...any)) {
	conf := filepath.Join(dir, "conf")
	must(os.Mkdir(conf, 0o755), fail)
	there := mount(dir, conf, fail)
	there.write("a.hcl", "1")

	// By events alone it is not seen: what is written behind it is.
	file, fence := filepath.Join(conf, "a.hcl"), filepath.Join(dir, "fence")
	deaf := watch.New(watch.Options{Rescan: time.Hour})
	deaf.Set(config(conf), files(fence))
	there.write("a.hcl", "22")
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
	w.Set(config(conf), files(file))
	there.write("a.hcl", "333")
	for got := []byte(nil); string(got) != "333"; { // what is told first may be what was written before
		expect(w, file, "written where nobody tells of it", fail)
		var err error
		got, err = os.ReadFile(file)
		must(err, fail)
	}
	there.write("b.hcl", "1")
	expect(w, conf, "created where nobody tells of it", fail)
	there.remove("a.hcl")
	expect(w, file, "removed where nobody tells of it", fail)
	w.Close()
}
