package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"tokend/pkg/state"
)

// relooks are the addresses that are looked at again in a while, each once. While
// a disk takes nothing every look at an address fails to record what it found: if
// each of those called for another, events would add looks, and none would end.
type relooks struct {
	mu      sync.Mutex
	waiting map[string]bool
}

// enter says whether nobody waits to look at an address yet.
func (r *relooks) enter(addr string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[addr] {
		return false
	}
	if r.waiting == nil {
		r.waiting = map[string]bool{}
	}
	r.waiting[addr] = true
	return true
}

func (r *relooks) leave(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, addr)
}

// relook has an address looked at whose record could not be written: at once
// where another write of it won, else when the disk may take it. It does not
// wait.
func (l *Loop) relook(addr string, why error) {
	wake := func() { _ = l.Wake(context.Background(), []string{addr}) }
	if errors.Is(why, state.ErrConflict) {
		go wake()
		return
	}
	if l.relooks.enter(addr) {
		time.AfterFunc(lookAgain, func() {
			l.relooks.leave(addr)
			wake()
		})
	}
}
