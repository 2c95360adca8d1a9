package watch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// dir is a directory that is handed to inotify, by its path without links.
type dir struct {
	path   string
	places map[*place]struct{}            // that are this directory
	hops   map[string]map[*place]struct{} // entries that places' ways pass
	links  map[string]map[*link]struct{}  // entries that links' ways pass
	err    error                          // why it is not watched; nil: it is
	remote string                         // the file system's name where others change it unseen
}

func (d *dir) needed() bool { return len(d.places)+len(d.hops)+len(d.links) > 0 }

// dirOf returns the watched directory, new ones added to inotify. fresh adds it
// again in any case, which costs nothing where it is the same directory still.
func (w *Watcher) dirOf(path string, fresh bool) *dir {
	d := w.dirs[path]
	if d != nil && !fresh && d.err == nil {
		return d
	}
	if d == nil {
		d = &dir{path: path, places: map[*place]struct{}{}, hops: map[string]map[*place]struct{}{}, links: map[string]map[*link]struct{}{}}
		w.dirs[path] = d
	}
	d.err = w.watch(path)
	d.remote = remoteAt(path)
	return d
}

// errNoInotify: there is no instance to add to.
var errNoInotify = errors.New("no inotify instance can be had (sysctl fs.inotify.max_user_instances, or too many open files)")

func (w *Watcher) watch(path string) error {
	if w.fs == nil {
		return errNoInotify
	}
	err := w.fs.Add(path)
	switch {
	case errors.Is(err, unix.ENOSPC):
		return errors.New("the limit of inotify watches is reached (sysctl fs.inotify.max_user_watches)")
	case errors.Is(err, unix.EACCES):
		return errDenied
	}
	return err
}

var errDenied = errors.New("the directory may not be read")

// sweep stops watching what nobody needs any more.
func (w *Watcher) sweep() {
	for d := range w.unused {
		if !d.needed() && w.dirs[d.path] == d {
			delete(w.dirs, d.path)
			if w.fs != nil && d.err == nil {
				_ = w.fs.Remove(d.path) // gone with its directory, at worst
			}
		}
	}
	clear(w.unused)
}

// assess decides whether events can be relied on for a place.
func (w *Watcher) assess(p *place) {
	why := w.troubleOn(p.way.hops, p.real() == "")
	if real := p.real(); why == "" && real != "" {
		why = w.dirs[real].trouble(true)
	}
	for _, l := range p.links {
		if why == "" {
			why = w.troubleOn(l.hops, true)
		}
	}
	w.setBlind(p, why)
}

// troubleOn asks the directories on a way; of the last one more is expected
// where what is looked for is its entry.
func (w *Watcher) troubleOn(hops []hop, last bool) (why string) {
	for i, h := range hops {
		if why == "" {
			why = w.dirs[h.dir].trouble(last && i == len(hops)-1)
		}
	}
	return why
}

// trouble says why the directory's events cannot be relied on. One that is
// merely passed may be unreadable (a service's own corner under root's) or
// remote: it seldom changes, and the rescan is enough.
func (d *dir) trouble(matters bool) string {
	switch {
	case d == nil:
		return ""
	case d.err != nil && (matters || !errors.Is(d.err, errDenied)):
		return d.err.Error()
	case d.remote != "" && matters:
		return "its file system (" + d.remote + ") sends no events for what other machines do"
	}
	return ""
}

func (w *Watcher) setBlind(p *place, why string) {
	if p.blind == why {
		return
	}
	p.blind = why
	if why == "" {
		delete(w.blind, p)
	} else {
		w.blind[p] = struct{}{}
	}
	w.blindChanged = true
}

// describe publishes what [Watcher.Degraded] says.
func (w *Watcher) describe() {
	if !w.blindChanged {
		return
	}
	w.blindChanged = false
	w.scan.schedule(w, time.Now())
	if len(w.blind) == 0 {
		w.degraded.Store(nil)
		w.log.Info("watching by events again")
		return
	}
	var one *place
	for p := range w.blind {
		if one == nil || cmp.Compare(p.dir, one.dir) < 0 {
			one = p
		}
	}
	more := ""
	if n := len(w.blind) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more directories", n)
	}
	text := fmt.Sprintf("looking at %s%s again and again instead of waiting for events: %s", one.dir, more, one.blind)
	if w.degraded.Swap(&text) == nil {
		w.log.Warn("watching without events", "directory", one.dir, "more", len(w.blind)-1, "reason", one.blind)
	}
}

// remoteAt names the file system at path if other machines may change it.
func remoteAt(path string) string {
	var st unix.Statfs_t
	if again(func() error { return unix.Statfs(path, &st) }) != nil {
		return ""
	}
	i := slices.IndexFunc(remotes(), func(r remote) bool { return r.magic == uint32(st.Type) })
	if i < 0 {
		return ""
	}
	return remotes()[i].name
}

// remote is a file system by the number that statfs(2) gives it.
type remote struct {
	magic uint32
	name  string
}

func remotes() []remote {
	return []remote{
		{unix.NFS_SUPER_MAGIC, "nfs"}, {unix.SMB_SUPER_MAGIC, "smb"}, {0xff534d42, "cifs"}, {0xfe534d42, "smb2"},
		{unix.V9FS_MAGIC, "9p"}, {unix.FUSE_SUPER_MAGIC, "fuse"}, {0x00c36400, "ceph"}, {unix.AFS_SUPER_MAGIC, "afs"},
		{unix.CODA_SUPER_MAGIC, "coda"}, {unix.OCFS2_SUPER_MAGIC, "ocfs2"}, {0x01161970, "gfs2"}, {0x0bd00bd0, "lustre"},
	}
}

// newInotify tries for an instance with some room for bursts.
func (w *Watcher) newInotify() {
	if w.fs != nil {
		return
	}
	fs, err := fsnotify.NewBufferedWatcher(1024)
	if err != nil {
		w.log.Debug("no inotify instance", "error", err)
		return
	}
	w.fs, w.events, w.errors = fs, fs.Events, fs.Errors
}
