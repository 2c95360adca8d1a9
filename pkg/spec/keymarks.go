package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// HCL takes the marks of a key away before it looks for the key in an object, so
// that { a = "x", b = "y" }[var.pin] would tell what a sensitive variable holds.
// Here they are put on what the whole expression comes to.

// withKeyMarks marks the value of an expression by the keys in it: of an object or
// a list that is written out, each element by its own.
func withKeyMarks(v cty.Value, e hclsyntax.Expression, ctx *hcl.EvalContext) cty.Value {
	if !sensitiveContext(ctx) {
		return v
	}
	w := &keyWalk{ctx: ctx}
	_ = hclsyntax.Walk(e, w) // it reports nothing
	if len(w.marks) == 0 {
		return v
	}
	if parts, ok := elementKeyMarks(v, e, ctx); ok {
		return parts
	}
	return v.WithMarks(w.marks...)
}

func elementKeyMarks(v cty.Value, e hclsyntax.Expression, ctx *hcl.EvalContext) (cty.Value, bool) {
	if v.IsMarked() || v.IsNull() || !v.IsKnown() {
		return v, false
	}
	switch x := unwrap(e).(type) {
	case *hclsyntax.ObjectConsExpr:
		m := v.AsValueMap()
		for _, item := range x.Items {
			k, ok := objectKey(item.KeyExpr)
			if _, there := m[k]; !ok || !there {
				return v, false
			}
			m[k] = withKeyMarks(m[k], item.ValueExpr, ctx)
		}
		return cty.ObjectVal(m), true
	case *hclsyntax.TupleConsExpr:
		list := v.AsValueSlice()
		if len(list) != len(x.Exprs) {
			return v, false
		}
		for i := range list {
			list[i] = withKeyMarks(list[i], x.Exprs[i], ctx)
		}
		return cty.TupleVal(list), true
	}
	return v, false
}

// keyWalk collects the marks of keys.
type keyWalk struct {
	ctx   *hcl.EvalContext
	loops []keyLoop // around the node
	marks []cty.ValueMarks
}

// keyLoop is a for expression. The keys of what it goes through are never marked
// each by itself; its elements may be.
type keyLoop struct {
	key, element string
	marks        []cty.ValueMarks
}

func (w *keyWalk) Enter(n hclsyntax.Node) hcl.Diagnostics {
	switch x := n.(type) {
	case *hclsyntax.ForExpr:
		w.loops = append(w.loops, keyLoop{x.KeyVar, x.ValVar, w.marksOf(x.CollExpr)})
	case *hclsyntax.IndexExpr:
		w.marks = append(w.marks, w.marksOf(x.Key)...)
	}
	return nil
}

func (w *keyWalk) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(*hclsyntax.ForExpr); ok {
		w.loops = w.loops[:len(w.loops)-1]
	}
	return nil
}

// marksOf are the marks of an expression. Within a loop, whose elements nobody has
// at hand, they are those of all that it names.
func (w *keyWalk) marksOf(e hclsyntax.Expression) []cty.ValueMarks {
	names := e.Variables()
	if len(names) == 0 {
		return nil
	}
	var marks []cty.ValueMarks
	looped := false
	for _, t := range names {
		for i := len(w.loops) - 1; i >= 0; i-- {
			l := &w.loops[i]
			if looped = looped || t.RootName() == l.key || t.RootName() == l.element; t.RootName() == l.element {
				marks = append(marks, l.marks...)
			}
		}
	}
	if !looped {
		v, _ := safeValue(e, w.ctx) // it was evaluated before
		return marksIn(v)
	}
	for _, t := range names {
		if v, diags := t.TraverseAbs(w.ctx); !diags.HasErrors() {
			marks = append(marks, marksIn(v)...)
		}
	}
	return marks
}

// marksIn are the marks of a value and of all that is in it.
func marksIn(v cty.Value) []cty.ValueMarks {
	if !v.ContainsMarked() {
		return nil
	}
	_, pvm := v.UnmarkDeepWithPaths()
	var marks []cty.ValueMarks
	for _, m := range pvm {
		marks = append(marks, m.Marks)
	}
	return marks
}
