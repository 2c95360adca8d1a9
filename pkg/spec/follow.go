package spec

import "github.com/hashicorp/hcl/v2"

// followed is the Extra, until [finish], of a diagnostic that only follows from
// another one: it stops an evaluation and is not shown.
type followed struct{}

// following is what is wrong with an argument that names a broken local.
func following(a *argument) *hcl.Diagnostic {
	d := problem(a.rng(), "Value is not known", "%s names a local that has no value.", a.name)
	d.Extra = followed{}
	return d
}

// noteBroken notes whether any local has no value.
func (l *loader) noteBroken() {
	for _, lo := range l.c.locals {
		l.c.broken = l.c.broken || lo.broken
	}
}

// onBroken reports whether references lead to a local that has no value because
// of a mistake in it, which is reported where it is.
func (c *Config) onBroken(refs []ref) bool {
	if !c.broken {
		return false
	}
	for _, r := range c.deepRefs(refs) {
		if r.root() != "local" {
			continue
		}
		if lo := c.locals[r.attr(1)]; lo != nil && lo.broken {
			return true
		}
	}
	return false
}
