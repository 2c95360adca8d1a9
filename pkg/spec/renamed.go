package spec

import (
	"maps"
	"slices"
)

// Renames is one step in which records were moved: their addresses since, by those
// until then.
type Renames map[Address]Address

// names are what of a configuration has another address by now than it has in its
// text.
type names struct {
	now   map[Address]Address // by the text's own
	was   map[Address]Address // the other way round; of two at one address the one that came last
	order []Address           // of the text's own, as they came to where they are now
	steps []Renames           // that lead there
}

// Renamed is this configuration as it reads since records were moved in steps, one
// after the other: whoever asks it, and whoever is asked by it, says the addresses of
// now. So what goes on by an earlier configuration is found there also where its
// name, or that of a credential that it names, is another one since. What the
// configuration does not declare at the time of a step concerns it not: that another
// record comes to an address that it declares makes that one its own. An own
// declaration in the place of which another one has moved is not seen any more.
func (c *Config) Renamed(steps ...Renames) *Config {
	for _, step := range steps {
		c = c.renamedOnce(step)
	}
	return c
}

func (c *Config) renamedOnce(step Renames) *Config {
	var n names
	if c.names != nil {
		n = names{maps.Clone(c.names.now), nil, slices.Clone(c.names.order), slices.Clip(c.names.steps)}
	} else {
		n.now = map[Address]Address{}
	}
	concerns := Renames{}
	for _, from := range slices.Sorted(maps.Keys(step)) {
		if !c.Declares(from) {
			continue
		}
		at, own := step[from], c.own(from)
		concerns[from] = at
		n.order = slices.DeleteFunc(n.order, func(a Address) bool { return a == own })
		if own == at {
			delete(n.now, own)
		} else {
			n.now[own] = at
			n.order = append(n.order, own)
		}
	}
	if len(concerns) == 0 {
		return c
	}
	out := *c
	out.names = nil
	if len(n.now) == 0 {
		return &out
	}
	n.was = make(map[Address]Address, len(n.now))
	for _, own := range n.order {
		n.was[n.now[own]] = own
	}
	if n.steps = append(n.steps, concerns); len(n.was) == len(n.now) {
		n.steps = []Renames{n.now} // no two ever met: it reads as if all had moved at once
	}
	out.names = &n
	return &out
}

// Renames are the steps that lead from the text to what [Config.Renamed] has made of
// it; nil for none. They are not to be changed.
func (c *Config) Renames() []Renames {
	if c.names == nil {
		return nil
	}
	return c.names.steps
}

// own is the address that the text has for what is asked for; "" where that has
// another address by now.
func (c *Config) own(a Address) Address {
	if c.names == nil {
		return a
	}
	if own, ok := c.names.was[a]; ok {
		return own
	}
	if _, left := c.names.now[a]; left {
		return ""
	}
	return a
}

// now is the address by which everybody else knows what the text calls a.
func (c *Config) now(a Address) Address {
	if c.names != nil {
		if at, ok := c.names.now[a]; ok {
			return at
		}
	}
	return a
}

// hidden reports whether another declaration has moved to an address of the text.
func (c *Config) hidden(own Address) bool { return c.own(c.now(own)) != own }

// allNow are the addresses of now for a list of the text's own, which is left as it is.
func (c *Config) allNow(own []Address) []Address {
	if c.names == nil || len(own) == 0 {
		return own
	}
	out := make([]Address, 0, len(own))
	for _, a := range own {
		out = append(out, c.now(a))
	}
	return slices.Compact(sortAddresses(out))
}

// declaredNow is [Config.Declared] by the addresses of now.
func (c *Config) declaredNow(rows []Declared) []Declared {
	rows = slices.DeleteFunc(rows, func(d Declared) bool { return c.hidden(d.Addr) })
	for i := range rows {
		rows[i].Addr, rows[i].Uses = c.now(rows[i].Addr), c.allNow(rows[i].Uses)
	}
	return rows
}

// changedNow is [Config.Changed] where addresses are not those of the text.
func (c *Config) changedNow(prev *Config) (changed, gone []Address) {
	for _, list := range [][]Address{c.Credentials(), c.Sinks()} {
		for _, a := range list {
			is, _ := c.Digest(a)
			if was, ok := prev.Digest(a); !ok || is != was {
				changed = append(changed, a)
			}
		}
	}
	for _, list := range [][]Address{prev.Credentials(), prev.Sinks()} {
		for _, a := range list {
			if !c.Declares(a) {
				gone = append(gone, a)
			}
		}
	}
	return sortAddresses(changed), sortAddresses(gone)
}
