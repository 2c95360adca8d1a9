package watch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/watch"
)

func TestFileIsSeenWhateverIsDoneToIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a.token"), filepath.Join(dir, "b.token")
	put(t, path, "1")
	o := observe(t, files(path))
	put(t, path, "2")
	o.want("written", path)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = f.WriteString("more")
	check(t, err)
	o.want("appended to while it stays open", path)
	check(t, f.Close())
	check(t, os.Chmod(path, 0o644))
	o.want("chmod", path)
	check(t, os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)))
	o.want("touched", path)
	check(t, os.Truncate(path, 0))
	o.want("truncated", path)
	replace(t, path, "3")
	o.want("renamed over", path)
	replace(t, path, "4")
	o.want("renamed over again", path)
	check(t, os.Remove(path))
	o.want("deleted", path)
	put(t, path, "5")
	o.want("created", path)
	check(t, os.Rename(path, other))
	o.want("moved away", path)
	check(t, os.Rename(other, path))
	o.want("moved back", path)
	if os.Geteuid() == 0 {
		check(t, os.Chown(path, 65534, 65534))
		o.want("chown", path)
	}
	o.none("nothing more")
	put(t, other, "x")
	o.none("a file beside it, that nobody asked for")
}

func TestChmodIsIgnoredOnRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.hcl")
	put(t, path, "1")
	o := observe(t, config(dir), files(path))
	check(t, os.Chmod(path, 0o640))
	if got := o.drain(); len(got) != 1 || got[0].Group != "sinks" {
		t.Errorf("a chmod gave %v, want one tick of sinks", got)
	}
}

func TestDirectoryIsSeenWhateverHappensDirectlyInIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "main.hcl")
	o := observe(t, config(dir))
	put(t, path, "1")
	o.want("a file is created", dir)
	put(t, path, "2")
	o.want("written", dir)
	// vim with backupcopy=no: the old file is moved aside, a new one is written, the old one deleted.
	check(t, os.Rename(path, path+"~"))
	put(t, path, "3")
	check(t, os.Remove(path+"~"))
	o.want("saved by vim", dir)
	replace(t, path, "4")
	o.want("renamed over", dir)
	check(t, os.Remove(path))
	o.want("deleted", dir)
	sub := mkdir(t, dir, "sub")
	o.want("a directory is made", dir)
	put(t, filepath.Join(sub, "x.hcl"), "5")
	o.none("a file in a directory of the directory")
	check(t, os.Chmod(sub, 0o700))
	o.none("a directory's mode")
}

func TestDirectoryMayComeAndGo(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "etc", "tokend", "conf")
	file := filepath.Join(dir, "main.hcl")
	token := filepath.Join(root, "run", "x", "token")
	o := observe(t, config(dir), files(token))
	mkdir(t, root, "etc")
	o.drain()
	mkdir(t, dir)
	o.want("made after the watch", dir)
	put(t, file, "1")
	o.want("a file in the new directory", dir)
	mkdir(t, filepath.Dir(token))
	put(t, token, "1")
	o.want("a file in directories that were made with it", token)

	check(t, os.RemoveAll(dir))
	o.want("removed", dir)
	mkdir(t, dir)
	o.want("made again", dir)
	put(t, file, "2")
	o.want("a file in the directory made again", dir)
	for i := range 20 { // the inode may be the same one, and the path always is
		check(t, os.RemoveAll(dir))
		mkdir(t, dir)
		put(t, file, fmt.Sprint(i))
		o.want("exchanged at once", dir)
		put(t, file, "again")
		o.want("a file in the exchanged directory", dir)
	}
}

func TestDirectoryMayBeExchangedByRename(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := mkdir(t, root, "checkout", "etc", "conf")
	file := filepath.Join(dir, "main.hcl")
	put(t, file, "old")
	o := observe(t, config(dir), files(file))
	swap := func(n int, path string) {
		fresh, aside := path+fmt.Sprint(".new", n), path+fmt.Sprint(".old", n)
		rel, err := filepath.Rel(path, dir)
		check(t, err)
		mkdir(t, fresh, rel)
		put(t, filepath.Join(fresh, rel, "main.hcl"), "new")
		check(t, os.Rename(path, aside))
		check(t, os.Rename(fresh, path))
	}
	for n := range 3 {
		for _, path := range []string{dir, filepath.Dir(dir), filepath.Join(root, "checkout")} {
			swap(n, path)
			o.want("exchanged: "+path, dir, file)
			put(t, file, "changed")
			o.want("a file in the exchanged directory", dir, file)
		}
	}
	// What was moved aside is none of ours any more.
	put(t, filepath.Join(root, "checkout.old2", "etc", "conf", "main.hcl"), "x")
	o.none("a file in the directory that was moved aside")
}

func TestDirectoryMovedToAnotherPathOfTheSet(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	a, b := mkdir(t, root, "a"), filepath.Join(root, "b")
	o := observe(t, config(a, b))
	for range 20 {
		check(t, os.Rename(a, b))
		o.want("moved", a, b)
		put(t, filepath.Join(b, "x.hcl"), "1")
		o.want("a file where it went", b)
		a, b = b, a
	}
}

// Directories that move while they are being watched must not slip through: of
// each way of doing so here are many tries.
func TestDirectoriesThatMoveWhileTheyAreArmed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	o := observe(t)
	for i := range 40 {
		file := filepath.Join(root, fmt.Sprint("deep", i), "a", "b", "c", "main.hcl")
		made := make(chan error)
		go func() { made <- os.MkdirAll(filepath.Dir(file), 0o755) }()
		o.w.Set(files(file))
		check(t, <-made)
		o.drain()
		put(t, file, "1")
		o.awaits("written where directories came into being", file)
	}
	a, b := mkdir(t, root, "x", "a"), filepath.Join(root, "x", "b")
	o.w.Set(config(a, b))
	for i := range 40 {
		for range i%7 + 1 {
			check(t, os.Rename(a, b))
			a, b = b, a
		}
		o.want("moved to and fro", a, b)
		put(t, filepath.Join(a, "x.hcl"), fmt.Sprint(i))
		o.awaits("written where it came to rest", a)
	}
}

func TestFileAndDirectoryMayTakeEachOthersPlace(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "x")
	put(t, path, "1")
	o := observe(t, config(path))
	check(t, os.Remove(path))
	mkdir(t, path)
	o.want("a directory in the file's place", path)
	put(t, filepath.Join(path, "a"), "1")
	o.want("a file in it", path)
	check(t, os.RemoveAll(path))
	put(t, path, "2")
	o.want("a file in the directory's place", path)
	put(t, path, "3")
	o.want("written", path)
}

func TestSetIsIncremental(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub", "c")
	o := observe(t, files(a, b), config(dir))
	o.w.Set(files(b, c))
	put(t, a, "1")
	got := o.drain() // two, where the directory was quiet between the making of a and the writing
	if others := slices.DeleteFunc(slices.Clone(got), func(tick watch.Tick) bool { return tick.Group == "config" }); len(got) == 0 || len(others) > 0 {
		t.Errorf("after a left the set of sinks, writing it gave %v; want config's alone", got)
	}
	mkdir(t, dir, "sub")
	put(t, b, "1")
	put(t, c, "1")
	o.want("the old path and the new", b, c, dir)
	o.w.Set(config())
	put(t, a, "2")
	o.none("a group without paths")

	o.w.Add("sinks", a)
	put(t, a, "3")
	put(t, b, "3")
	o.want("added beside", a, b)
	o.w.Remove("sinks", a, c)
	put(t, a, "4")
	put(t, c, "4")
	o.none("removed")
	put(t, b, "4")
	o.want("left", b)
	o.w.Add("nobody", a)
	put(t, a, "5")
	o.none("a group that was never set")
}

func TestRelativeAndUncleanPathsAreMadeAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	o := observe(t, files("a", dir+"//x/../b/"))
	put(t, "a", "1")
	put(t, "b", "1")
	wd, err := os.Getwd()
	check(t, err)
	o.want("by their absolute names", filepath.Join(wd, "a"), filepath.Join(dir, "b"))
}

func TestTicksNobodyReceivesAreMerged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var paths []string
	for i := range 50 {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("f%02d", i)))
	}
	o := observe(t, watch.Group{Name: "sinks", Paths: paths, Quiet: time.Millisecond, MaxDelay: time.Millisecond})
	for _, p := range paths {
		put(t, p, "1")
		o.w.Set(watch.Group{Name: "fence", Paths: []string{o.fence}, Quiet: held}) // the loop has come round
	}
	got := o.drain()
	var named []string
	for _, tick := range got {
		if !slices.IsSorted(tick.Paths) {
			t.Errorf("a tick's paths are not sorted: %q", tick.Paths)
		}
		named = append(named, tick.Paths...)
	}
	slices.Sort(named)
	if d := cmp.Diff(paths, slices.Compact(named)); d != "" {
		t.Errorf("named paths (-want +got):\n%s", d)
	}
	if len(got) > 10 {
		t.Errorf("%d ticks waited for the receiver, want them merged", len(got))
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	w := watch.New(watch.Options{})
	w.Set(files(filepath.Join(t.TempDir(), "a")))
	w.Close()
	w.Close()
	if _, open := <-w.C(); open {
		t.Error("a tick came after Close")
	}
	w.Set(files("/x"))
	w.Add("sinks", "/y")
}

func TestUnreadableDirectoryIsPolled(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		runAs(t, "unreadable", nil)
		return
	}
	unreadable(t.TempDir(), func(format string, args ...any) { t.Fatalf(format, args...) })
}

// unreadable is run by an ordinary user.
func unreadable(dir string, fail func(string, ...any)) {
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		fail("%v", err)
	}
	if err := os.Chmod(dir, 0o311); err != nil {
		fail("%v", err)
	}
	defer func() { _ = os.Chmod(dir, 0o755) }()
	w := watch.New(watch.Options{Poll: 20 * time.Millisecond})
	defer w.Close()
	w.Set(files(path))
	if why := w.Degraded(); !strings.Contains(why, dir) || !strings.Contains(why, "may not be read") {
		fail("Degraded() = %q, want the directory and that it may not be read", why)
	}
	if err := os.WriteFile(path, []byte("22"), 0o600); err != nil {
		fail("%v", err)
	}
	select {
	case <-w.C():
	case <-time.After(patience):
		fail("no tick within %s", patience)
	}
}
