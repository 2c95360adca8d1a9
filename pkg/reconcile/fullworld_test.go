package reconcile_test

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tokend/pkg/state"
)

// fullDisk is the disk of a world's state: while it is set, it is full.
type fullDisk struct {
	atomic.Bool
	asked atomic.Int64 // how often it was, and had no room
}

// onDisk begins anew, with a state whose disk has no room, while it is full, for
// commits with a change of a kind; nil: for any.
func (w *world) onDisk(of func(state.Change) bool) *fullDisk {
	full := &fullDisk{}
	w.halt()
	w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func(changes []state.Change) error {
		if full.Load() && (of == nil || slices.ContainsFunc(changes, of)) {
			full.asked.Add(1)
			return unix.ENOSPC
		}
		return nil
	}})
	w.start()
	return full
}

// onDiskFullOnceNamed begins anew, with a disk that takes of a sink that it is about
// to be written, and is full for sinks from then on.
func (w *world) onDiskFullOnceNamed() *fullDisk {
	full, named := &fullDisk{}, atomic.Bool{}
	w.halt()
	w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func(changes []state.Change) error {
		switch {
		case !slices.ContainsFunc(changes, ofSinks):
			return nil
		case !named.Swap(true):
			full.Store(true)
			return nil
		case full.Load():
			full.asked.Add(1)
			return unix.ENOSPC
		}
		return nil
	}})
	w.start()
	return full
}

func ofCredentials(c state.Change) bool { return c.Credential != nil }

func ofSinks(c state.Change) bool { return c.Sink != nil }
