package atomicfile

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// noID leaves an owner or group as the kernel gives it, as in chown(2).
const noID = -1

// ids are an owner and group in numbers; noID where none is asked for.
type ids struct {
	uid, gid int
	dirGID   int // the group of directories that are made on the way
}

// owners turns names into numbers. It remembers what it found for as long as
// the files that define users and groups stay the same; what it did not find it
// looks up again, because a package may be adding the user at this moment.
type owners struct {
	mu     sync.Mutex
	seen   [2]fileID
	users  map[string]account
	groups map[string]int
	names  map[nameOf]string
}

// nameOf asks for the name of a user, or of a group.
type nameOf struct {
	group bool
	id    int
}

type account struct{ uid, gid int }

// fileID changes when a file is replaced or changed.
type fileID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// resolve returns owner and group, each a name, a number or empty.
func (o *owners) resolve(owner, group string) (ids, error) {
	out := ids{uid: noID, gid: noID, dirGID: noID}
	if owner == "" && group == "" {
		return out, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetStale()
	if owner != "" {
		a, err := o.user(owner)
		if err != nil {
			return ids{}, err
		}
		// The owner must be able to enter the directories that are made for
		// the file, and without a group of its own theirs is the only way in.
		out.uid, out.dirGID = a.uid, a.gid
	}
	if group != "" {
		g, err := o.group(group)
		if err != nil {
			return ids{}, err
		}
		out.gid, out.dirGID = g, g
	}
	return out, nil
}

func (o *owners) forgetStale() {
	var now [2]fileID
	for i, path := range []string{"/etc/passwd", "/etc/group"} {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			now[i] = fileID{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
		}
	}
	if now != o.seen || o.users == nil {
		o.seen, o.users, o.groups, o.names = now, map[string]account{}, map[string]int{}, map[nameOf]string{}
	}
}

func (o *owners) user(name string) (account, error) {
	if a, ok := o.users[name]; ok {
		return a, nil
	}
	u, err := user.Lookup(name)
	if id, ok := number(name); ok && err != nil {
		a := account{uid: id, gid: noID}
		if u, err := user.LookupId(name); err == nil {
			a.gid, _ = strconv.Atoi(u.Gid)
		}
		o.users[name] = a
		return a, nil
	}
	if err != nil {
		return account{}, unknownOwner("user", name, err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return account{}, fmt.Errorf("looking up user %q: %w", name, err)
	}
	o.users[name] = account{uid: uid, gid: gid}
	return o.users[name], nil
}

func (o *owners) group(name string) (int, error) {
	if g, ok := o.groups[name]; ok {
		return g, nil
	}
	g, err := user.LookupGroup(name)
	if id, ok := number(name); ok && err != nil {
		o.groups[name] = id
		return id, nil
	}
	if err != nil {
		return 0, unknownOwner("group", name, err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("looking up group %q: %w", name, err)
	}
	o.groups[name] = gid
	return gid, nil
}

// number reads an id. The highest one means "no change" to chown(2) and is no id.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n < 1<<32-1
}

func unknownOwner(what, name string, err error) error {
	var noUser user.UnknownUserError
	var noGroup user.UnknownGroupError
	if errors.As(err, &noUser) || errors.As(err, &noGroup) {
		return fmt.Errorf("looking up %s %q: %w; create it, or give its number", what, name, ErrUnknownOwner)
	}
	return fmt.Errorf("looking up %s %q: %w", what, name, err)
}

// Owner returns the ids of the owner and group that the attributes ask for, -1
// for one that they leave open.
func (w *Writer) Owner(a Attr) (uid, gid int, err error) {
	who, err := w.owners.resolve(a.Owner, a.Group)
	if err != nil {
		return noID, noID, err
	}
	return who.uid, who.gid, nil
}

// Names returns the names of a user and a group, "" for one that has none.
func (w *Writer) Names(uid, gid int) (owner, group string) {
	o := &w.owners
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetStale()
	return o.name(nameOf{id: uid}), o.name(nameOf{group: true, id: gid})
}

func (o *owners) name(of nameOf) string {
	if n, ok := o.names[of]; ok {
		return n
	}
	n := ""
	if of.group {
		if g, err := user.LookupGroupId(strconv.Itoa(of.id)); err == nil {
			n = g.Name
		}
	} else if u, err := user.LookupId(strconv.Itoa(of.id)); err == nil {
		n = u.Username
	}
	o.names[of] = n
	return n
}
