package spec

import (
	"maps"
	"slices"
)

// Uses lists what a credential or sink names: secrets and credentials, sorted.
// It is that of [Config.Credential] and [Config.Sink], and evaluates nothing
// else, so that an index over everything can be made of it.
func (c *Config) Uses(a Address) ([]Address, error) {
	p, err := parseAddress(string(c.own(a)))
	if err != nil || p.kind != kindCredential && p.kind != kindSink {
		return nil, &UnknownAddressError{Addr: a}
	}
	res := c.find(p.kind, p.typ, p.label)
	if res == nil {
		return nil, &UnknownAddressError{Addr: a}
	}
	in, err := c.instanceOf(p, res)
	if err != nil {
		return nil, err
	}
	if p.kind == kindCredential {
		plan := c.credentialPlan(res)
		return c.allNow(c.usesOf(plan.uses, plan.useRefs, in)), nil
	}
	plan := c.blockPlan(kindSink, res)
	return c.allNow(c.usesOf(plan.uses, plan.useRefs, in)), nil
}

// usesOf adds to what all instances of a block name what one of them does.
func (c *Config) usesOf(shared []Address, varying []ref, in *instance) []Address {
	if len(varying) == 0 {
		return shared
	}
	ev := c.evaluator(Scope{})
	if len(shared) == 0 && len(varying) == 1 {
		return sortAddresses(ev.addresses(&varying[0], in))
	}
	uses := append([]Address(nil), shared...)
	for i := range varying {
		uses = append(uses, ev.addresses(&varying[i], in)...)
	}
	return sortAddresses(uses)
}

// Changed compares with an earlier configuration of the same directory: the
// credentials and sinks that are new or have another digest, and those that are
// gone, both sorted. It costs what changed, and next to nothing for blocks of
// files that [Options.Previous] kept.
func (c *Config) Changed(prev *Config) (changed, gone []Address) {
	if c.names != nil || prev.names != nil {
		return c.changedNow(prev)
	}
	d := &difference{now: c, was: prev, around: c.sameAround(prev)}
	for _, kind := range []string{kindCredential, kindSink} {
		d.kind(kind)
	}
	return sortAddresses(d.changed), sortAddresses(d.gone)
}

// difference goes through the blocks of two configurations side by side.
type difference struct {
	now, was      *Config
	around        bool // everything that a block can name is the same
	changed, gone []Address
}

func (d *difference) kind(kind string) {
	now, was := d.now.resources[kind], d.was.resources[kind]
	all := func(c *Config, res *resource, out *[]Address) {
		c.each(kind, res, func(in *instance) { *out = append(*out, in.address()) })
	}
	for i, j := 0, 0; i < len(now) || j < len(was); {
		if d.around && i < len(now) && j < len(was) && now[i].plainAs(&was[j]) {
			i++ // as nearly all are, of very many
			j++
			continue
		}
		switch order := compareBlocks(now[i:], was[j:]); {
		case order < 0:
			all(d.now, &now[i], &d.changed)
			i++
		case order > 0:
			all(d.was, &was[j], &d.gone)
			j++
		default:
			d.block(kind, &now[i], &was[j])
			i++
			j++
		}
	}
}

// plainAs reports whether two blocks are the same text, and have one instance each.
func (r *resource) plainAs(was *resource) bool {
	return r.src == was.src && r.row == was.row && r.insts == nil && was.insts == nil
}

// compareBlocks orders the first blocks of two lists by name; where one list is
// at its end the other's comes first.
func compareBlocks(a, b []resource) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	if a[0].src == b[0].src && a[0].row == b[0].row {
		return 0
	}
	typ, label := b[0].names()
	switch {
	case a[0].less(typ, label):
		return -1
	case typ == a[0].typeName() && label == a[0].labelName():
		return 0
	}
	return 1
}

func (r *resource) typeName() string  { typ, _ := r.names(); return typ }
func (r *resource) labelName() string { _, label := r.names(); return label }

// block compares two blocks of one name.
func (d *difference) block(kind string, now, was *resource) {
	text := d.around && now.src == was.src && now.row == was.row
	if now.insts == nil && was.insts == nil {
		if !text && d.now.blockSum(kind, now).sum != d.was.blockSum(kind, was).sum {
			d.now.each(kind, now, func(in *instance) { d.changed = append(d.changed, in.address()) })
		}
		return
	}
	if now.insts != nil && was.insts != nil && now.insts.same(was.insts) {
		if text {
			return
		}
		a, b := d.now.blockSum(kind, now), d.was.blockSum(kind, was)
		if a.sum == b.sum && a.addressesOnly(now.insts) {
			return
		}
	}
	d.instances(kind, now, was)
}

// addressesOnly reports whether what varies between instances is nothing but
// the addresses of other instances, which follow from the text and the keys.
func (b *blockSum) addressesOnly(set *instances) bool {
	if len(b.files) > 0 {
		return false
	}
	for i := range b.varying {
		switch r := &b.varying[i]; {
		case r.root() == kindCredential:
		case r.root() == "each" && set.of != nil && set.of.kind == kindCredential:
		default:
			return false
		}
	}
	return true
}

// instances compares two blocks instance by instance.
func (d *difference) instances(kind string, now, was *resource) {
	d.now.each(kind, now, func(in *instance) {
		a := in.address()
		s, _ := d.now.Digest(a)
		if old, ok := d.was.Digest(a); !ok || old != s {
			d.changed = append(d.changed, a)
		}
	})
	d.was.each(kind, was, func(in *instance) {
		if now.insts == nil && in.set == nil || now.insts != nil && in.set != nil && now.insts.indexOf(in.key) >= 0 {
			return
		}
		d.gone = append(d.gone, in.address())
	})
}

// same reports whether two blocks of one text have the same instances.
func (s *instances) same(o *instances) bool {
	if s == o {
		return true
	}
	if s.kind != o.kind || s.n != o.n || (s.of == nil) != (o.of == nil) || len(s.vals) != len(o.vals) || !slices.Equal(s.keys, o.keys) {
		return false
	}
	if s.of != nil && (s.of.kind != o.of.kind || s.of.typ != o.of.typ || s.of.label != o.of.label) {
		return false
	}
	for i := range s.vals {
		if !s.vals[i].RawEquals(o.vals[i]) {
			return false
		}
	}
	return true
}

// sameAround reports whether everything that the text of a credential or sink
// can name is as it was, but for other credentials.
func (c *Config) sameAround(prev *Config) bool {
	if c.dir != prev.dir || c.settings.Refresh != prev.settings.Refresh || c.settings.Retry != prev.settings.Retry || c.settings.PublicURL != prev.settings.PublicURL {
		return false
	}
	for _, root := range []string{"path", "host", "var"} {
		if !c.roots[root].RawEquals(prev.roots[root]) {
			return false
		}
	}
	sameLocal := func(a, b *local) bool { return a.text == b.text }
	sameType := func(a, b *ProviderType) bool {
		return a == b || a.Name == b.Name && string(a.Source) == string(b.Source)
	}
	if !maps.EqualFunc(c.locals, prev.locals, sameLocal) || !maps.EqualFunc(c.types, prev.types, sameType) {
		return false
	}
	if len(c.providers) != len(prev.providers) || !c.sameNamed(prev) || !c.sameInstances(prev) {
		return false
	}
	return c.reads.same(prev.reads)
}

// sameInstances compares the instances of credentials: a block that names all
// of another's says something else when there are others.
func (c *Config) sameInstances(prev *Config) bool {
	next := func(list []resource) []resource {
		for len(list) > 0 && list[0].insts == nil {
			list = list[1:]
		}
		return list
	}
	now, was := next(c.resources[kindCredential]), next(prev.resources[kindCredential])
	for len(now) > 0 && len(was) > 0 {
		if compareBlocks(now, was) != 0 || !now[0].insts.same(was[0].insts) {
			return false
		}
		now, was = next(now[1:]), next(was[1:])
	}
	return len(now) == len(was)
}

// sameNamed compares providers, vaults, secrets and hooks.
func (c *Config) sameNamed(prev *Config) bool {
	for a, now := range c.providers {
		was := prev.providers[a]
		if was == nil {
			return false
		}
		if now.at != was.at {
			x, _ := c.Digest(a)
			if y, _ := prev.Digest(a); x != y {
				return false
			}
		}
	}
	for _, kind := range []string{kindVault, kindSecret, kindHook} {
		now, was := c.resources[kind], prev.resources[kind]
		if len(now) != len(was) {
			return false
		}
		for i := range now {
			if (now[i].insts == nil) != (was[i].insts == nil) || now[i].insts != nil && !now[i].insts.same(was[i].insts) {
				return false
			}
			if now[i].src == was[i].src && now[i].row == was[i].row {
				continue
			}
			if compareBlocks(now[i:], was[i:]) != 0 || c.blockSum(kind, &now[i]).sum != prev.blockSum(kind, &was[i]).sum {
				return false
			}
		}
	}
	return true
}

// same reports whether two configurations read the same from files beside their
// own.
func (r *readLog) same(o *readLog) bool {
	if r == o {
		return true
	}
	r.mu.Lock()
	paths, sums := maps.Clone(r.paths), maps.Clone(r.sums)
	r.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Equal(paths, o.paths) && maps.Equal(sums, o.sums)
}
