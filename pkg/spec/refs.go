package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// ref is one reference in an expression, as precise as the text is:
// `credential.x.y[each.key].access_token` is the traversal credential.x.y, the
// index each.key and the rest .access_token.
type ref struct {
	trav  hcl.Traversal
	index hclsyntax.Expression // a key that must be evaluated; nil: trav says it, or all instances are meant
	rest  hcl.Traversal        // what follows index
	rng   hcl.Range

	indexRefs []ref // those of index
}

func (r *ref) root() string { return r.trav.RootName() }

// attr returns the name at step i of the traversal, or "".
func (r *ref) attr(i int) string { return stepName(r.trav, i) }

// stepName returns the name that step i of a traversal asks for; an index by a
// string asks for a name too.
func stepName(t hcl.Traversal, i int) string {
	if i >= len(t) {
		return ""
	}
	switch s := t[i].(type) {
	case hcl.TraverseRoot:
		return s.Name
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			k, _ := s.Key.Unmark()
			return k.AsString()
		}
	}
	return ""
}

// collectRefs lists the references of an expression, but for names that the
// expression itself, or a dynamic block around it, defines.
func collectRefs(e hclsyntax.Expression, locals []string) []ref {
	switch x := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return nil
	case *hclsyntax.ScopeTraversalExpr:
		if !contains(locals, x.Traversal.RootName()) {
			return []ref{{trav: x.Traversal, rng: x.SrcRange}}
		}
		return nil
	}
	w := &refWalker{}
	if len(locals) > 0 {
		names := map[string]struct{}{}
		for _, l := range locals {
			names[l] = struct{}{}
		}
		w.scopes = append(w.scopes, names)
	}
	// The walker itself reports nothing.
	_ = hclsyntax.Walk(e, w)
	return w.refs
}

type refWalker struct {
	refs   []ref
	scopes []map[string]struct{}
	// done are nodes that an outer node has recorded already.
	done map[hclsyntax.Node]bool
	// rests are the traversals that follow an index expression.
	rests map[hclsyntax.Node]hcl.Traversal
}

func (w *refWalker) local(name string) bool {
	for _, s := range w.scopes {
		if _, ok := s[name]; ok {
			return true
		}
	}
	return false
}

// Enter records references on the way down.
func (w *refWalker) Enter(n hclsyntax.Node) hcl.Diagnostics {
	switch x := n.(type) {
	case hclsyntax.ChildScope:
		w.scopes = append(w.scopes, x.LocalNames)
	case *hclsyntax.RelativeTraversalExpr:
		if ix, ok := unwrap(x.Source).(*hclsyntax.IndexExpr); ok {
			if w.rests == nil {
				w.rests = map[hclsyntax.Node]hcl.Traversal{}
			}
			w.rests[ix] = x.Traversal
		}
	case *hclsyntax.IndexExpr:
		w.enterIndex(x)
	case *hclsyntax.ScopeTraversalExpr:
		if !w.done[n] && !w.local(x.Traversal.RootName()) {
			w.refs = append(w.refs, ref{trav: x.Traversal, rng: x.SrcRange})
		}
	}
	return nil
}

// enterIndex takes an instance's key that must be evaluated together with the
// block that it indexes, unless the key depends on a name of the expression.
func (w *refWalker) enterIndex(x *hclsyntax.IndexExpr) {
	coll, ok := x.Collection.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(coll.Traversal) != 3 || !expands(coll.Traversal.RootName()) || w.local(coll.Traversal.RootName()) {
		return
	}
	for _, v := range hclsyntax.Variables(x.Key) {
		if w.local(v.RootName()) {
			return
		}
	}
	if w.done == nil {
		w.done = map[hclsyntax.Node]bool{}
	}
	w.done[coll] = true
	w.refs = append(w.refs, ref{
		trav: coll.Traversal, index: x.Key, rest: w.rests[x], rng: x.SrcRange,
		indexRefs: collectRefs(x.Key, nil),
	})
}

// Exit leaves scopes on the way up.
func (w *refWalker) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(hclsyntax.ChildScope); ok {
		w.scopes = w.scopes[:len(w.scopes)-1]
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// callsFile reports whether an expression calls a function that reads files.
func callsFile(e hclsyntax.Expression) bool {
	switch e.(type) {
	case *hclsyntax.LiteralValueExpr, *hclsyntax.ScopeTraversalExpr:
		return false
	}
	found := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if c, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			found = found || readsFiles(c.Name)
		}
		return nil
	})
	return found
}

// readsFiles reports whether the function of this name reads files.
func readsFiles(name string) bool {
	return strings.HasPrefix(name, "file") || name == "templatefile"
}
