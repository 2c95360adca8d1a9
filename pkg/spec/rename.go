package spec

import "strings"

// RenamedTo says where moved blocks lead from an address that is no longer
// declared: to the end of the chain, however many renames it took. exact is
// false where only a move of whole blocks names it, which says nothing of
// whether this instance is to live on. ok is false where no moved block names
// it.
func (c *Config) RenamedTo(a Address) (to Address, exact, ok bool) {
	if len(c.moved) == 0 {
		return "", false, false
	}
	p, err := parseAddress(string(a))
	if err != nil {
		return "", false, false
	}
	exact = true
	for range len(c.moved) + 1 { // a circle is an error when the directory is read
		next, whole, found := c.renamed(p)
		if !found {
			break
		}
		p, ok = next, true
		exact = exact && !whole
	}
	return c.now(p.address()), exact, ok
}

// renamed is one step along the moved blocks. A move of the instance goes before
// one of its whole block.
func (c *Config) renamed(p parsed) (to parsed, whole, ok bool) {
	for _, m := range c.moved {
		if m.From == p.address() {
			to, err := parseAddress(string(m.To))
			return to, false, err == nil
		}
	}
	if p.key.kind == noKey {
		return p, false, false
	}
	for _, m := range c.moved {
		if m.From == p.block() {
			to, err := parseAddress(string(m.To))
			if err == nil && to.key.kind == noKey {
				to.key = p.key
				return to, true, true
			}
		}
	}
	return p, false, false
}

// movesInCircles reports moved blocks that lead back to where they began.
func (l *loader) movesInCircles() {
	reported := map[Address]bool{}
	for _, m := range l.c.moved {
		p, err := parseAddress(string(m.From))
		if err != nil || reported[m.From] {
			continue
		}
		way := []string{string(m.From)}
		for range l.c.moved {
			next, _, ok := l.c.renamed(p)
			if !ok {
				break
			}
			p = next
			way = append(way, string(p.address()))
			if p.address() == m.From {
				for _, a := range way {
					reported[Address(a)] = true
				}
				l.report(problem(m.Range, "Moves in a circle", "What was %s cannot be told: %s. Remove the move that is not true.", m.From, strings.Join(way, " becomes ")))
				break
			}
		}
	}
}

// cannotImport reports an import to a credential that has no use for a refresh
// token.
func (l *loader) cannotImport(f *form, to parsed, res *resource) bool {
	p := l.c.credentialPlan(res)
	if p.grant == nil || !p.grant.Static && p.typ.RefreshOf(p.grant) != nil {
		return false
	}
	l.report(problem(f.arg("to").rng(), "Nothing to import", "The grant %s of %s has no refresh tokens, so that %s cannot take one over.", p.grant.Name, p.typ.Name, to.address()))
	return true
}

// movedAndRemoved reports what is said to live on and to be forgotten.
func (l *loader) movedAndRemoved() {
	for _, r := range l.c.removed {
		for _, m := range l.c.moved {
			if m.From == r.From {
				l.report(problem(r.Range, "Moved and removed", "%s is %s now, as %s:%d says. Remove one of the two blocks.", r.From, m.To, m.Range.Filename, m.Range.Start.Line))
			}
		}
	}
}

// Forgets reports whether a removed block says of an address that it is to be
// forgotten and what it stands for left alone: its own block, or that of the
// whole that it was an instance of.
func (c *Config) Forgets(a Address) bool {
	if len(c.removed) == 0 {
		return false
	}
	p, err := parseAddress(string(a))
	if err != nil {
		return false
	}
	for _, r := range c.removed {
		if r.From == a || r.From == p.block() {
			return true
		}
	}
	return false
}

// ImportFor reports whether an import block names a credential.
func (c *Config) ImportFor(to Address) bool {
	for i := range c.imports {
		if c.imports[i].To == c.own(to) {
			return true
		}
	}
	return false
}

// changesStillHold reports whether what moved, removed and import blocks need
// of the declared addresses is still so.
func (c *Config) changesStillHold() bool {
	gone := func(a Address) bool {
		p, err := parseAddress(string(a))
		return err == nil && !c.declared(p)
	}
	for _, m := range c.moved {
		from, err := parseAddress(string(m.From))
		to, err2 := parseAddress(string(m.To))
		if err == nil && err2 == nil && c.stands(from, to) {
			return false
		}
	}
	for _, r := range c.removed {
		if !gone(r.From) {
			return false
		}
	}
	for i := range c.imports {
		if gone(c.imports[i].To) {
			return false
		}
	}
	return true
}
