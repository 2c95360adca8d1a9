package watch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inotify watches a directory and not a path: when one moves to another path of
// the set, both may share a watch for a moment, and it goes with the old path.
// That takes a preempted reader, so here the watch is taken away by hand.
func TestMovedDirectoryRenewsTheWatches(t *testing.T) {
	root := t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	try(t, os.Mkdir(a, 0o755))
	try(t, os.Mkdir(b, 0o755))
	w := New(Options{Rescan: time.Hour})
	defer w.Close()
	w.Set(Group{Name: "g", Paths: []string{a, b}, Quiet: time.Millisecond})
	w.call(func() {
		try(t, w.fs.Remove(b))
		try(t, os.WriteFile(filepath.Join(b, "unheard"), nil, 0o600))
		w.onEvents(fsnotify.Event{Name: a, Op: fsnotify.Rename})
	})
	await(t, w, b, "written while there was no watch")
	try(t, os.WriteFile(filepath.Join(b, "heard"), nil, 0o600))
	await(t, w, b, "written afterwards")
}

func await(t *testing.T, w *Watcher, path, what string) {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case tick := <-w.C():
			if slices.Contains(tick.Paths, path) {
				return
			}
		case <-deadline:
			t.Fatalf("%s: no tick for %s", what, path)
		}
	}
}

// Of a directory that moves inotify tells twice, and the watch goes only with
// the second event: by then the old path may be forgotten already.
func TestMovedDirectoryRenewsTheWatchesOnceMore(t *testing.T) {
	root := t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	try(t, os.Mkdir(a, 0o755))
	w := New(Options{Rescan: time.Hour})
	defer w.Close()
	w.Set(Group{Name: "g", Paths: []string{a, b}, Quiet: time.Millisecond})
	try(t, os.Rename(a, b))
	await(t, w, b, "moved")
	w.call(func() {
		if w.dirs[a] != nil {
			t.Error("the old path is watched still")
		}
		_ = w.fs.Remove(b) // gone with the second event
		try(t, os.WriteFile(filepath.Join(b, "unheard"), nil, 0o600))
		w.onEvents(fsnotify.Event{Name: a, Op: fsnotify.Rename})
	})
	await(t, w, b, "written while there was no watch")
	try(t, os.WriteFile(filepath.Join(b, "heard"), nil, 0o600))
	await(t, w, b, "written afterwards")
}

func TestRemoteFileSystemsAreKnown(t *testing.T) {
	seen := map[uint32]bool{}
	for _, r := range remotes() {
		if r.name == "" || r.magic == 0 || seen[r.magic] {
			t.Errorf("remote file system %+v has no name, no number or stands twice", r)
		}
		seen[r.magic] = true
	}
	if got := remoteAt(t.TempDir()); got != "" {
		t.Errorf("the temporary directory is said to be on %s", got)
	}
	if got := remoteAt("/no/such/path"); got != "" {
		t.Errorf("a path that is not there is said to be on %s", got)
	}
}
