package spec

import (
	"maps"
	"slices"
)

// names are what of a configuration has another address by now than it has in its
// text.
type names struct {
	now map[Address]Address // by the text's own
	was map[Address]Address // the other way round
}

// Renamed is this configuration as it reads since records were moved, which to says
// by their addresses until then: whoever asks it, and whoever is asked by it, says
// the addresses of now. So what goes on by an earlier configuration is found there
// also where its name, or that of a credential that it names, is another one since.
// What the configuration does not declare concerns it not. An own declaration in the
// place of which another one has moved is not seen any more.
func (c *Config) Renamed(to map[Address]Address) *Config {
	n := names{now: map[Address]Address{}}
	if c.names != nil {
		n.now = maps.Clone(c.names.now)
	}
	some := false
	for from, at := range to {
		if !c.Declares(from) {
			continue
		}
		some = true
		if own := c.own(from); own == at {
			delete(n.now, own)
		} else {
			n.now[own] = at
		}
	}
	if !some {
		return c
	}
	out := *c
	out.names = nil
	if len(n.now) > 0 {
		n.was = make(map[Address]Address, len(n.now))
		for own, at := range n.now {
			n.was[at] = own
		}
		out.names = &n
	}
	return &out
}

// Names are the addresses that [Config.Renamed] gave, by those of the text; nil for
// none. They are not to be changed.
func (c *Config) Names() map[Address]Address {
	if c.names == nil {
		return nil
	}
	return c.names.now
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
