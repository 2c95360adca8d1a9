package watch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tokend/pkg/watch"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// quiet is the group's under test, held the fence's.
const quiet, held = 5 * time.Millisecond, 60 * time.Millisecond

// observer receives a watcher's ticks. Beside the group under test there is a
// fence: a file whose tick, being held back longer, proves that nothing else
// came before.
type observer struct {
	t     *testing.T
	w     *watch.Watcher
	fence string
	n     int
}

func observe(t *testing.T, groups ...watch.Group) *observer {
	t.Helper()
	w := watch.New(watch.Options{Rescan: time.Hour})
	t.Cleanup(w.Close)
	o := &observer{t: t, w: w, fence: filepath.Join(t.TempDir(), "fence")}
	w.Set(append(groups, watch.Group{Name: "fence", Paths: []string{o.fence}, Quiet: held})...)
	if why := w.Degraded(); why != "" {
		t.Fatalf("watch: the machine gives no events: %s", why)
	}
	return o
}

func files(paths ...string) watch.Group {
	return watch.Group{Name: "sinks", Paths: paths, Quiet: quiet}
}

func config(paths ...string) watch.Group {
	return watch.Group{Name: "config", Paths: paths, Quiet: quiet, IgnoreChmod: true}
}

// want waits for the paths and for what may follow on their heels.
func (o *observer) want(what string, paths ...string) {
	o.t.Helper()
	o.awaits(what, paths...)
	o.drain()
}

// awaits waits until all paths were named in ticks of one of the groups.
func (o *observer) awaits(what string, paths ...string) {
	o.t.Helper()
	missing := slices.Clone(paths)
	deadline := time.After(patience)
	for len(missing) > 0 {
		select {
		case tick := <-o.w.C():
			if tick.At.IsZero() {
				o.t.Errorf("%s: a tick without a time: %v", what, tick)
			}
			missing = slices.DeleteFunc(missing, func(p string) bool { return tick.Paths == nil || slices.Contains(tick.Paths, p) })
		case <-deadline:
			o.t.Fatalf("%s: no tick for %q within %s", what, missing, patience)
		}
	}
}

// none proves that nothing ticks.
func (o *observer) none(what string) {
	o.t.Helper()
	if got := o.drain(); len(got) > 0 {
		o.t.Errorf("%s: ticks %v came, want none", what, got)
	}
}

// drain receives what comes before the fence.
func (o *observer) drain() (got []watch.Tick) {
	o.t.Helper()
	o.n++
	put(o.t, o.fence, fmt.Sprint(o.n))
	deadline := time.After(patience)
	for {
		select {
		case tick := <-o.w.C():
			if tick.Group == "fence" {
				return got
			}
			got = append(got, tick)
		case <-deadline:
			o.t.Fatalf("the fence did not tick within %s", patience)
		}
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(content), 0o600))
}

// replace writes as editors and tokend do: a new file renamed over the old one.
func replace(t *testing.T, path, content string) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), ".tmp-"+filepath.Base(path))
	put(t, tmp, content)
	check(t, os.Rename(tmp, path))
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	check(t, os.MkdirAll(dir, 0o755))
	return dir
}

// relink points a link elsewhere at once, as ln -sfn does not.
func relink(t *testing.T, target, link string) {
	t.Helper()
	tmp := link + ".new"
	check(t, os.Symlink(target, tmp))
	check(t, os.Rename(tmp, link))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
