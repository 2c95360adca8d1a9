package spec

import "github.com/hashicorp/hcl/v2"

// followed is the Extra, until [finish], of a diagnostic that only follows from
// another one: it stops an evaluation and is not shown.
type followed struct{}

// following is what is wrong with an argument that names a broken variable or
// local, or an instance that is made up.
func following(a *argument) *hcl.Diagnostic {
	return follows(problem(a.rng(), "Value is not known", "%s names something that has no value.", a.name))
}

// follows marks d as following from a mistake that is reported elsewhere.
func follows(d *hcl.Diagnostic) *hcl.Diagnostic {
	d.Extra = followed{}
	return d
}

// noteBroken notes whether any variable or local has no value.
func (l *loader) noteBroken() {
	for _, v := range l.c.vars {
		l.c.broken = l.c.broken || v.broken
	}
	for _, lo := range l.c.locals {
		l.c.broken = l.c.broken || lo.broken
	}
}

// onBroken reports whether references lead to a variable or a local that has no
// value because of a mistake, which is reported where it is.
func (c *Config) onBroken(refs []ref) bool {
	if !c.broken {
		return false
	}
	for _, r := range c.deepRefs(refs) {
		switch r.root() {
		case "var":
			if v := c.vars[r.attr(1)]; v != nil && v.broken {
				return true
			}
		case "local":
			if lo := c.locals[r.attr(1)]; lo != nil && lo.broken {
				return true
			}
		}
	}
	return false
}
