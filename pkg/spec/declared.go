package spec

import (
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Declared is one credential or sink instance that a configuration declares.
type Declared struct {
	Addr   Address
	Digest [16]byte  // as [Config.Digest] gives it
	Uses   []Address // as [Config.Uses] gives them; shared between instances, not to be changed

	Provider Address // of a credential; "": it cannot be told
	Direct   bool    // of a credential, as [Credential.Direct] gives it
}

// Direct reports whether a secret that changed can be a reason to do something
// about the credential at once, and not when its token is next obtained.
func (c *Credential) Direct() bool { return direct(c.Grant, c.Inputs) }

func direct(g *GrantType, inputs []Input) bool {
	return g.Static || slices.ContainsFunc(inputs, func(in Input) bool { return in.Deferred && in.OnChange == OnChangeReplace })
}

// Declared lists all credentials, sorted, and after them all sinks, sorted: what
// [Config.Credentials], [Config.Sinks], [Config.Digest] and [Config.Uses] say of
// each, for the cost of going through the blocks once, on several processors; with
// [Options].Declared, the first time, for the cost of those alone that have
// for_each or count.
func (c *Config) Declared() []Declared {
	credentials, sinks := count(c.resources[kindCredential]), count(c.resources[kindSink])
	rows := c.ahead.take()
	out := rows
	if rows == nil || c.expandsAny() {
		out = make([]Declared, credentials+sinks)
	}
	c.fillDeclared(out, rows)
	if c.names != nil {
		out = c.declaredNow(out)
		credentials, _ = c.Counts()
	}
	sortDeclared(out[:credentials])
	sortDeclared(out[credentials:])
	return out
}

// expandsAny reports whether a credential or sink block has not just itself as its
// only instance.
func (c *Config) expandsAny() bool {
	several := func(r resource) bool { return r.insts != nil }
	return slices.ContainsFunc(c.resources[kindCredential], several) || slices.ContainsFunc(c.resources[kindSink], several)
}

// declaredChunk is how many instances of a block are listed at a time.
const declaredChunk = 1024

// declaredPart is a range of instances of one block.
type declaredPart struct {
	kind     string
	res      *resource
	from, to int
	out      []Declared
}

// fillDeclared goes through all blocks on several processors. It deals out a few
// parts at a time, since a list of them all would take as much room as what they
// are filled with. rows are what is known of blocks that are their only instance.
func (c *Config) fillDeclared(out, rows []Declared) {
	work := make(chan []declaredPart)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 8) {
		wg.Go(func() {
			for some := range work {
				for i := range some {
					some[i].fill(c)
				}
			}
		})
	}
	var some []declaredPart
	for p := range c.declaredParts(out, rows) {
		if some = append(some, p); len(some) == batch || len(p.out) > 1 { // much is in one already
			work <- some
			some = nil
		}
	}
	work <- some
	close(work)
	wg.Wait()
}

// declaredParts cuts what is to be filled in up by blocks, and a block of many
// instances into several parts.
func (c *Config) declaredParts(out, rows []Declared) iter.Seq[declaredPart] {
	return func(yield func(declaredPart) bool) {
		for _, kind := range []string{kindCredential, kindSink} {
			list := c.resources[kind]
			for i := range list {
				if len(rows) > 0 {
					known := rows[0]
					if rows = rows[1:]; known.Addr != "" {
						out[0], out = known, out[1:]
						continue
					}
				}
				n := 1
				if list[i].insts != nil {
					n = list[i].insts.len()
				}
				for from := 0; from < n; from += declaredChunk {
					to := min(n, from+declaredChunk)
					if !yield(declaredPart{kind, &list[i], from, to, out[:to-from]}) {
						return
					}
					out = out[to-from:]
				}
			}
		}
	}
}

func (p *declaredPart) fill(c *Config) {
	f, uses, varying, about := c.blockUses(p.kind, p.res)
	var shared *blockSum
	if p.res.insts == nil {
		shared = c.formSum(p.kind, f)
	} else {
		shared = c.blockSum(p.kind, p.res)
	}
	typ, label := p.res.names()
	in := instance{kind: p.kind, typ: typ, label: label, set: p.res.insts}
	for i := p.from; i < p.to; i++ {
		d := &p.out[i-p.from]
		s := shared.sum
		if in.set != nil {
			in.key, in.index = in.set.key(i), i
			s = c.instanceSum(&in, shared)
		}
		d.Addr = in.address()
		copy(d.Digest[:], s.hash[:])
		d.Uses = c.usesOf(uses, varying, &in)
		switch {
		case about == nil:
		case i > p.from && !about.providerVaries():
			d.Provider, d.Direct = p.out[0].Provider, p.out[0].Direct
		default:
			d.about(c, about, &in)
		}
	}
}

// blockUses is what all instances of a block name, and the references that have
// to be resolved for each. Of a block that is its only instance nothing is kept:
// there are very many, and each is gone through once.
func (c *Config) blockUses(kind string, res *resource) (*form, []Address, []ref, *credentialPlan) {
	switch one := res.insts == nil; {
	case kind == kindCredential:
		plan := c.planCredential
		if !one {
			plan = c.credentialPlan
		}
		p := plan(res)
		return p.form, p.uses, p.useRefs, p
	default:
		plan := c.planBlock
		if !one {
			plan = c.blockPlan
		}
		p := plan(kind, res)
		return p.form, p.uses, p.useRefs, nil
	}
}

func (p *credentialPlan) providerVaries() bool {
	a := p.form.arg(kindProvider)
	return a != nil && a.varies()
}

// about fills in what is said of a credential without evaluating more of it than
// its provider.
func (d *Declared) about(c *Config, plan *credentialPlan, in *instance) {
	if plan.grant == nil {
		return
	}
	m, diags := c.evaluator(Scope{}).args(plan.form, plan.schema, in, &selectArgs{names: []string{kindProvider}})
	if diags.HasErrors() {
		return
	}
	d.Direct = direct(plan.grant, plan.inputs)
	if d.Provider = Address(section{f: plan.form, v: NewValues(m), in: in}.text(kindProvider)); d.Provider == "" {
		d.Provider = name(kindProvider, plan.typ.Name, defaultAlias, instKey{})
	}
}

func sortDeclared(list []Declared) {
	slices.SortFunc(list, func(a, b Declared) int { return strings.Compare(string(a.Addr), string(b.Addr)) })
}
