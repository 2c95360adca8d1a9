package spec

import (
	"slices"
	"sync"
	"sync/atomic"
)

// ahead is what [Config.Declared] will say, worked out while the blocks were
// checked: that parses each of them anyway, and of two hundred thousand parsing
// costs more than all that is done with it. It is there once, because it takes as
// much room as what it saves takes time.
type ahead struct {
	mu   sync.Mutex
	rows []Declared // credentials, and after them sinks, in the order of the blocks; one without an address is not known

	// early says that something was summed up before all files were read that
	// belong to it: those that functions name in a way that cannot be told.
	early atomic.Bool
}

// prepare makes room for a row of each block, where what is declared is asked for.
func (l *loader) prepare() {
	if l.o.Declared {
		c := l.c
		c.ahead = &ahead{rows: make([]Declared, len(c.resources[kindCredential])+len(c.resources[kindSink]))}
	}
}

// rowsOf are the rows of blocks of a kind; nil: none are kept.
func (a *ahead) rowsOf(c *Config, kind string) []Declared {
	switch {
	case a == nil:
		return nil
	case kind == kindCredential:
		return a.rows[:len(c.resources[kindCredential])]
	case kind == kindSink:
		return a.rows[len(c.resources[kindCredential]):]
	}
	return nil
}

// tooEarly notes that a sum would say something else later.
func (a *ahead) tooEarly() {
	if a != nil {
		a.early.Store(true)
	}
}

// take hands the rows out, and keeps none. Nil: there are none any more.
func (a *ahead) take() []Declared {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	rows := a.rows
	a.rows = nil
	return rows
}

// prepared ends what prepare began: all files are read now. What was summed up too
// early is forgotten, and worked out when it is asked for.
func (l *loader) prepared() {
	c := l.c
	if c.ahead == nil || !c.ahead.early.Load() {
		return
	}
	c.ahead = nil
	c.memo, c.sums = &sumMemo{}, newPlanCache(plansKept)
	for _, lo := range c.locals {
		lo.digest = lazySum{}
	}
}

// note works out what is declared by a block that was checked and is its own only
// instance.
func (k *checker) note(kind string, in *instance, f *form, uses []Address, varying []ref) *Declared {
	if k.row == nil || in == nil || in.set != nil {
		return nil
	}
	c, d := k.l.c, k.row
	if k.digester == nil {
		k.digester = newDigester(c, k.evaluator())
	}
	s := k.digester.form(kind, f)
	copy(d.Digest[:], s.sum.hash[:])
	if now := c.usesOf(uses, varying, in); k.uses == nil || !slices.Equal(k.uses, now) {
		k.uses = now
	}
	d.Addr, d.Uses = in.address(), k.uses
	return d
}
