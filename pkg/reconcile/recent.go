package reconcile

import (
	"sync"

	"tokend/pkg/state"
)

// recent keeps the grants that were recorded a moment ago, since the sinks that
// name them are looked at next: each would read and unseal the record again. It
// is emptied as soon as there is nothing left to do.
type recent struct {
	mu     sync.Mutex
	grants map[string]*state.Grant
	ring   []string // addresses in the order in which they came
	next   int
}

// recentKept is more than the sinks that wait for their turn while tokens come
// faster than files are written.
const recentKept = 4096

// put keeps what was recorded as the token in force, which nobody changes any more.
func (r *recent) put(addr string, g *state.Grant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grants == nil {
		r.grants = make(map[string]*state.Grant)
	}
	if _, ok := r.grants[addr]; !ok {
		if len(r.ring) < recentKept {
			r.ring = append(r.ring, addr)
		} else {
			delete(r.grants, r.ring[r.next])
			r.ring[r.next] = addr
			r.next = (r.next + 1) % recentKept
		}
	}
	r.grants[addr] = g
}

// get returns a grant of that very generation, to be read only.
func (r *recent) get(addr string, generation uint64) (*state.Grant, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.grants[addr]
	return g, ok && g.Generation == generation
}

func (r *recent) empty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.grants) > 0 {
		r.grants, r.ring, r.next = nil, nil, 0
	}
}
