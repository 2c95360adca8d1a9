package spec

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// InventedSecrets is a [Scope.Secret] for one sink in which every secret is
// invented: a string, or where the sink names members of it an object of strings.
// invent gives them, by the secret's address and the member's name ("" for a
// secret that is named as one). What a sink does with a secret in other ways (all
// members at once, a member whose name is a secret) cannot be invented: then
// reading it fails.
func (c *Config) InventedSecrets(sink Address, invent func(a Address, member string) string) func(Address) (cty.Value, error) {
	m := c.membersOf(sink)
	return func(a Address) (cty.Value, error) {
		p, err := parseAddress(string(a))
		if err != nil {
			return cty.NilVal, err
		}
		u := m[p.block()]
		switch {
		case u == nil || len(u.members) == 0 && !u.odd:
			return cty.StringVal(invent(a, "")), nil
		case u.odd || u.whole:
			return cty.NilVal, errors.New("its members are not known")
		}
		obj := make(map[string]cty.Value, len(u.members))
		for n := range u.members {
			obj[n] = cty.StringVal(invent(a, n))
		}
		return cty.ObjectVal(obj), nil
	}
}

// membersUsed are what a block names of a secret's value.
type membersUsed struct {
	members map[string]bool
	whole   bool // all of it
	odd     bool // a member whose name is not known
}

// membersOf finds which members of secrets a sink names, by the secrets' blocks.
func (c *Config) membersOf(sink Address) map[Address]*membersUsed {
	in, plan, err := c.blockAt(kindSink, sink)
	if err != nil {
		return nil
	}
	w := &memberWalk{ev: c.evaluator(Scope{}), in: in, found: map[Address]*membersUsed{}, locals: map[string]bool{}}
	plan.form.walk(func(a *argument) {
		if !isMeta(a.name) && a.expr != nil {
			w.expression(a.expr, a.refs)
		}
	})
	if in.set != nil && in.set.expr != nil {
		w.expression(in.set.expr, in.set.refs)
	}
	return w.found
}

// memberWalk looks through the expressions of one sink, and through the locals
// that they name.
type memberWalk struct {
	ev     *evaluator
	in     *instance
	found  map[Address]*membersUsed
	locals map[string]bool
}

func (w *memberWalk) expression(e hclsyntax.Expression, refs []ref) {
	taken := map[hclsyntax.Node]bool{} // part of an index that was seen
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		switch x := n.(type) {
		case *hclsyntax.IndexExpr:
			if a, rest, ok := w.secretIn(x.Collection); ok && len(rest) == 0 {
				taken[x.Collection] = true
				w.key(a, x.Key)
			}
		case *hclsyntax.ScopeTraversalExpr, *hclsyntax.RelativeTraversalExpr:
			if a, rest, ok := w.secretIn(n); ok && !taken[n] {
				w.note(a, stepName(rest, 0), len(rest) > 0)
			}
		}
		return nil
	})
	for i := range refs {
		n := refs[i].attr(1)
		if refs[i].root() != "local" || w.locals[n] {
			continue
		}
		w.locals[n] = true
		if lo := w.ev.c.locals[n]; lo != nil && lo.arg.expr != nil {
			w.expression(lo.arg.expr, lo.arg.refs)
		}
	}
}

// secretIn reads an expression that is the value of a secret, or something in it:
// the secret's block, and what follows the value.
func (w *memberWalk) secretIn(n hclsyntax.Node) (Address, hcl.Traversal, bool) {
	switch x := n.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		t := x.Traversal
		if t.RootName() == "each" && w.in.set != nil && w.in.set.of != nil && w.in.set.of.kind == kindSecret && stepName(t, 1) == "value" {
			return blockOf(w.in.set.of.address(w.in.index)), after(t, 2), stepName(t, 2) == "value"
		}
		if t.RootName() != kindSecret || len(t) < 4 {
			return "", nil, false
		}
		i := 3
		if _, ok := t[3].(hcl.TraverseIndex); ok {
			i = 4 // the instance's key
		}
		return name(kindSecret, stepName(t, 1), stepName(t, 2), instKey{}), after(t, i), stepName(t, i) == "value"
	case *hclsyntax.RelativeTraversalExpr:
		ix, ok := unwrap(x.Source).(*hclsyntax.IndexExpr)
		if !ok {
			return "", nil, false
		}
		coll, ok := ix.Collection.(*hclsyntax.ScopeTraversalExpr)
		if !ok || len(coll.Traversal) != 3 || coll.Traversal.RootName() != kindSecret {
			return "", nil, false
		}
		t := coll.Traversal
		return name(kindSecret, stepName(t, 1), stepName(t, 2), instKey{}), after(x.Traversal, 0), stepName(x.Traversal, 0) == "value"
	}
	return "", nil, false
}

// blockOf is the address of an instance's block.
func blockOf(a Address) Address {
	p, err := parseAddress(string(a))
	if err != nil {
		return a
	}
	return p.block()
}

// after is what follows a step of a traversal.
func after(t hcl.Traversal, step int) hcl.Traversal {
	if step+1 >= len(t) {
		return nil
	}
	return t[step+1:]
}

func (w *memberWalk) key(secret Address, e hclsyntax.Expression) {
	v, diags := w.ev.eval(e, collectRefs(e, nil), w.in)
	u, marks := v.Unmark()
	if diags.HasErrors() || len(marks) > 0 || !u.IsKnown() || u.IsNull() || u.Type() != cty.String {
		w.of(secret).odd = true
		return
	}
	w.note(secret, u.AsString(), true)
}

func (w *memberWalk) note(secret Address, member string, named bool) {
	switch u := w.of(secret); {
	case !named:
		u.whole = true
	case member == "":
		u.odd = true
	default:
		u.members[member] = true
	}
}

func (w *memberWalk) of(secret Address) *membersUsed {
	u := w.found[secret]
	if u == nil {
		u = &membersUsed{members: map[string]bool{}}
		w.found[secret] = u
	}
	return u
}

// TextValues are values that are all strings.
func TextValues(texts map[string]string) Values {
	m := make(map[string]cty.Value, len(texts))
	for n, t := range texts {
		m[n] = cty.StringVal(t)
	}
	return NewValues(m)
}
