package spec

import "sync"

// planCache keeps what was worked out for the blocks that are in use: the
// second chance is given to those that were asked for again.
type planCache struct {
	mu    sync.Mutex
	items map[*resource]*planEntry
	ring  []*resource
	hand  int
	limit int
}

type planEntry struct {
	plan any
	used bool
}

func newPlanCache(limit int) *planCache {
	return &planCache{items: make(map[*resource]*planEntry), limit: limit}
}

// get returns the plan of a block, or nil.
func (c *planCache) get(r *resource) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[r]
	if e == nil {
		return nil
	}
	e.used = true
	return e.plan
}

// put keeps a plan, in place of one that was not asked for since the hand came
// by.
func (c *planCache) put(r *resource, plan any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[r]; e != nil {
		e.plan = plan
		return
	}
	if len(c.ring) < c.limit {
		c.ring = append(c.ring, r)
		c.items[r] = &planEntry{plan: plan}
		return
	}
	for {
		e := c.items[c.ring[c.hand]]
		if !e.used {
			break
		}
		e.used = false
		c.hand = (c.hand + 1) % len(c.ring)
	}
	delete(c.items, c.ring[c.hand])
	c.ring[c.hand] = r
	c.items[r] = &planEntry{plan: plan}
	c.hand = (c.hand + 1) % len(c.ring)
}
