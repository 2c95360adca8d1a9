package main

import "sync"

// pathChanges collects which of the files that sinks wrote are to be watched,
// from the loop, which must not wait, to the watcher, which may take a while.
type pathChanges struct {
	changed chan struct{} // holds one token

	mu      sync.Mutex
	pending map[string]bool // true: to be watched; false: not any more
}

func newPathChanges() *pathChanges {
	return &pathChanges{changed: make(chan struct{}, 1), pending: map[string]bool{}}
}

func (c *pathChanges) add(add, remove []string) {
	c.mu.Lock()
	for _, p := range remove {
		c.pending[p] = false
	}
	if len(c.pending) == 0 && len(add) > 1 {
		c.pending = make(map[string]bool, len(add)) // a start brings a hundred thousand
	}
	for _, p := range add {
		c.pending[p] = true
	}
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *pathChanges) take() (add, remove []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, watch := range c.pending {
		if watch {
			add = append(add, p)
		} else {
			remove = append(remove, p)
		}
	}
	c.pending = map[string]bool{}
	return add, remove
}
