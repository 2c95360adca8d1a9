package reconcile

import (
	"slices"
	"sync"

	"tokend/pkg/state"
)

// unmade are the credentials whose last call could not be made since the
// configuration, the host's policy or what they read last changed. Nothing was sent, so
// each is tried once more after such a change, and after a start, which knows of none.
// It is safe for concurrent use.
type unmade struct {
	mu      sync.Mutex
	changes uint64
	at      map[string]uint64 // address -> of changes, when its call could not be made
}

// now counts the changes so far: what is begun by them may note that it failed.
func (u *unmade) now() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.changes
}

// note keeps in mind that a call could not be made that was begun at the given count,
// and says whether it has to be looked at anew, since there was a change meanwhile.
func (u *unmade) note(addr string, changes uint64) (again bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = map[string]uint64{}
	}
	u.at[addr] = changes
	return changes != u.changes
}

// tried says that a call of the address could not be made since the last change.
func (u *unmade) tried(addr string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.at[addr]
	return ok && at == u.changes
}

// changed counts a change, and gives the addresses that it may have mended, in order.
func (u *unmade) changed() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changes++
	var addrs []string
	for a := range u.at {
		addrs = append(addrs, a)
	}
	clear(u.at)
	slices.Sort(addrs)
	return addrs
}

// wakeUnmade has what could not be sent tried once more, after a change of what forbade
// or prevented it.
func (l *Loop) wakeUnmade() {
	for _, a := range l.w.unmade.changed() {
		if it, ok := l.items[a]; ok {
			l.wake(it)
		}
	}
}

// madeAnew says that a failed call may be made now, though it could not be before: what
// prevented it may have changed. Where others before it reached the provider, their
// back-off goes on.
func (in *Input) madeAnew(f *state.Failure) bool {
	return in.Anew && f.Class == classConfig && f.Op != opAction
}
