package reconcile

import (
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// stamp tells a file from the same file after somebody touched it: every
// change of content, mode or owner changes the inode's change time, and a
// replacement the inode; of two within a tick of the kernel's clock the second
// changes the content's own time. It lets the events of our own writes go by without
// a second look.
type stamp struct {
	ino          uint64
	ctime, mtime int64
}

func stampSeen(s sinks.Seen) stamp { return stamp{ino: s.Inode, ctime: s.Changed, mtime: s.Modified} }

// stampOf reads a file's stamp; the zero stamp when there is no such file.
func stampOf(path string) stamp {
	var st unix.Stat_t
	if path == "" || unix.Lstat(path, &st) != nil {
		return stamp{}
	}
	return stamp{ino: st.Ino, ctime: st.Ctim.Nano(), mtime: st.Mtim.Nano()}
}

// watched is a file that a sink wrote.
type watched struct {
	it    *item
	stamp stamp
}

// place takes over where a sink is.
func (l *Loop) place(it *item, r *result) {
	if l.placeAt(it, r) && l.o.PathsChanged != nil {
		l.o.PathsChanged([]string{it.path}, nil)
	}
}

// placeAt is place, but for telling who watches files that this one is to be
// watched from now on, of which it returns whether it is so.
func (l *Loop) placeAt(it *item, r *result) (anew bool) {
	if r.place != "" && r.place != it.place {
		it.place = r.place
	}
	if r.path == "" {
		return false
	}
	if w, ok := l.byPath[r.path]; ok && it.gone && w.it != it && !w.it.gone {
		return false // the file is another sink's now
	}
	if strings.HasSuffix(it.place, r.path) {
		r.path = it.place[len(it.place)-len(r.path):] // one string for both
	}
	if anew = it.path != r.path; anew {
		l.unwatch(it)
		it.path = r.path
	}
	l.byPath[it.path] = watched{it: it, stamp: r.stamp}
	return anew
}

func (l *Loop) unwatch(it *item) {
	if it.path == "" || l.byPath[it.path].it != it {
		return
	}
	delete(l.byPath, it.path)
	if l.o.PathsChanged != nil {
		l.o.PathsChanged(nil, []string{it.path})
	}
}

// claims are the places that a configuration's sinks claim, by who claims each.
// They are found when something is to be cleaned, once for each configuration.
type claims struct {
	mu     sync.Mutex
	of     *spec.Config
	places map[string]string
}

// claimant is the sink of a configuration that claims a place, or "".
func (w *worker) claimant(cfg *spec.Config, place string) string {
	if cfg == nil {
		return ""
	}
	c := &w.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of != cfg {
		c.of, c.places = cfg, map[string]string{}
		for _, a := range cfg.Sinks() {
			s, err := cfg.Sink(a)
			if err != nil {
				continue
			}
			if k, err := w.sinkKind(s.Kind); err == nil {
				// What is not known yet is the content; the place is.
				if d, _ := k.Render(s.Static); d.Place != "" {
					c.places[d.Place] = string(a)
				}
			}
		}
	}
	return c.places[place]
}

// states are all, in the order in which they are counted; index 0 is for what
// is not counted.
var states = [...]State{"", Ready, Pending, Waiting, Failing, Stopped, NeedsLogin, Indeterminate, Unread, Held, Removing, Removed}

// recount keeps the counts by state up to date, so that saying how everything
// does costs nothing for each address.
func (l *Loop) recount(it *item) {
	is := uint8(0)
	s := l.stateOf(it)
	if it.kind != kindHook || s != Ready {
		for i, x := range states {
			if x == s {
				is = uint8(i)
			}
		}
	}
	if is != it.counted {
		l.uncount(it)
		l.tally[is]++
		it.counted = is
	}
}

func (l *Loop) uncount(it *item) uint8 {
	l.tally[it.counted]--
	return 0
}

// PlaceOf is where a sink's record says that it wrote, in the words of its kind, as
// "file:/run/token"; "" for nowhere.
func PlaceOf(rec *state.Sink) string { return placeOf(rec.Written) }
