package spec

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// strays are the moved blocks that lead to what nobody declares, as where the new name
// is misspelt: what is recorded of the old one cannot follow. One whose target was
// moved on or forgotten since leads there.
func (c *Config) strays() []Moved {
	var out []Moved
	for _, m := range c.moved {
		if to, err := parseAddress(string(m.To)); err == nil && c.astray(to) && !c.Forgets(m.To) && !c.movedOn(to) {
			out = append(out, m)
		}
	}
	return out
}

// astray reports whether nothing is declared at an address. Of a block with a mistake in
// its for_each nobody can say.
func (c *Config) astray(to parsed) bool {
	if res := c.find(to.kind, to.typ, to.label); res != nil && res.insts != nil && (res.insts.lost || res.insts.guess) {
		return false
	}
	return !c.declared(to)
}

// movedOn reports whether another moved block leads on from an address, or from an
// instance of it.
func (c *Config) movedOn(p parsed) bool {
	if _, _, on := c.renamed(p); on {
		return true
	}
	return slices.ContainsFunc(c.moved, func(m Moved) bool {
		from, err := parseAddress(string(m.From))
		return err == nil && p.key.kind == noKey && from.block() == p.block()
	})
}

// sameStrays reports whether the same moved blocks lead to nothing as before.
func (c *Config) sameStrays(prev *Config) bool { return slices.Equal(c.strays(), prev.strays()) }

// movesToNothing warns of moved blocks that lead to nothing. It is no mistake of one
// that is left over from before its target was removed.
func (l *loader) movesToNothing() {
	for _, m := range l.c.strays() {
		to, err := parseAddress(string(m.To))
		if err != nil {
			continue
		}
		at := l.movedTo[m.To]
		d := l.c.undeclared(to, at)
		if d == nil {
			continue
		}
		d = problem(at, "Moved to nothing", "%s As long as this is so, what is recorded of %s is held as it is.", d.Detail, m.From)
		d.Severity = hcl.DiagWarning
		l.report(absence(hinted(d, "where the target was removed since, take the moved block out"), to.label))
	}
}

// undeclared says of an address that it is not declared, and which one may be meant.
func (c *Config) undeclared(p parsed, at hcl.Range) *hcl.Diagnostic {
	res, d := c.lookup(p, at)
	if d != nil {
		return d
	}
	return c.checkKey(&target{p: p, res: res}, &ref{rng: at})
}
