package providers

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"tokend/pkg/spec"
)

// node is a compiled expression.
type node func(*frame) (value, error)

// compiler turns expressions into nodes. Templates, names, conditions and calls
// become closures; what is left (for, splat, try …) is evaluated by HCL.
type compiler struct {
	config    spec.Values
	functions map[string]function.Function
}

func constant(v value) node { return func(*frame) (value, error) { return v, nil } }

// expr compiles e; nil stays nil.
func (c *compiler) expr(e hcl.Expression) node {
	if e == nil {
		return nil
	}
	n, ok := e.(hclsyntax.Expression)
	if !ok {
		return c.fallback(e)
	}
	return c.native(n)
}

// native compiles one syntax node.
func (c *compiler) native(e hclsyntax.Expression) node {
	switch x := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return constant(valueOf(x.Val))
	case *hclsyntax.ParenthesesExpr:
		return c.native(x.Expression)
	case *hclsyntax.TemplateWrapExpr:
		return c.native(x.Wrapped)
	case *hclsyntax.TemplateExpr:
		return c.template(x)
	case *hclsyntax.ScopeTraversalExpr:
		return c.traversal(x.Traversal)
	case *spec.Lenient:
		return c.access(x.Unwrap())
	case *hclsyntax.ConditionalExpr:
		return c.conditional(x)
	case *hclsyntax.BinaryOpExpr:
		return c.binary(x)
	case *hclsyntax.UnaryOpExpr:
		if x.Op == hclsyntax.OpLogicalNot {
			return not(c.native(x.Val))
		}
	case *hclsyntax.FunctionCallExpr:
		return c.call(x)
	}
	return c.fallback(e)
}

// access compiles the inside of a spec.Lenient.
func (c *compiler) access(e hclsyntax.Expression) node {
	switch x := e.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return c.traversal(x.Traversal)
	case *hclsyntax.RelativeTraversalExpr:
		return members(c.native(x.Source), x.Traversal)
	case *hclsyntax.IndexExpr:
		collection, key := c.native(x.Collection), c.native(x.Key)
		return func(f *frame) (value, error) {
			v, err := collection(f)
			if err != nil {
				return v, err
			}
			k, err := key(f)
			if err != nil {
				return k, err
			}
			return v.member(k), nil
		}
	}
	return c.fallback(e)
}

// traversal compiles a name such as body.data.token.
func (c *compiler) traversal(t hcl.Traversal) node {
	root := t.RootName()
	first, rest := "", t[1:]
	if len(rest) > 0 {
		if name, ok := stepName(rest[0]); ok {
			first, rest = name, rest[1:]
		}
	}
	if root == "config" {
		// Settings do not change in the life of an endpoint.
		f := &frame{config: c.config, call: &Call{}}
		return members(constant(f.root(root, first)), rest)
	}
	return members(func(f *frame) (value, error) { return f.root(root, first), nil }, rest)
}

// stepName is the key of a step when it is a string.
func stepName(s hcl.Traverser) (string, bool) {
	switch s := s.(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString(), true
		}
	}
	return "", false
}

// members follows steps from what source gives.
func members(source node, steps hcl.Traversal) node {
	if len(steps) == 0 {
		return source
	}
	keys := make([]value, len(steps))
	for i, s := range steps {
		switch s := s.(type) {
		case hcl.TraverseAttr:
			keys[i] = stringValue(s.Name, false)
		case hcl.TraverseIndex:
			keys[i] = valueOf(s.Key)
		}
	}
	return func(f *frame) (value, error) {
		v, err := source(f)
		for i := 0; i < len(keys) && err == nil; i++ {
			v = v.member(keys[i])
		}
		return v, err
	}
}

// template compiles text with names in it. Runs of constant parts become one.
func (c *compiler) template(x *hclsyntax.TemplateExpr) node {
	type part struct {
		text string
		n    node
	}
	var parts []part
	for _, p := range x.Parts {
		if v, ok := c.constantOf(p); ok {
			s, err := v.str()
			if err == nil && !v.marked {
				if n := len(parts); n > 0 && parts[n-1].n == nil {
					parts[n-1].text += s
				} else {
					parts = append(parts, part{text: s})
				}
				continue
			}
		}
		parts = append(parts, part{n: c.native(p)})
	}
	if len(parts) == 0 {
		return constant(stringValue("", false))
	}
	if len(parts) == 1 && parts[0].n == nil {
		return constant(stringValue(parts[0].text, false))
	}
	return func(f *frame) (value, error) {
		var few [8]string
		texts, marked := few[:0], false
		for _, p := range parts {
			if p.n == nil {
				texts = append(texts, p.text)
				continue
			}
			v, err := p.n(f)
			if err != nil {
				return v, err
			}
			s, err := v.str()
			if err != nil {
				return v, fmt.Errorf("a part of the text cannot be put in: %w", err)
			}
			texts, marked = append(texts, s), marked || v.marked
		}
		return stringValue(strings.Join(texts, ""), marked), nil
	}
}

// constantOf evaluates what needs no frame: literals, and settings.
func (c *compiler) constantOf(e hclsyntax.Expression) (value, bool) {
	for _, t := range e.Variables() {
		if t.RootName() != "config" {
			return value{}, false
		}
	}
	v, err := c.native(e)(&frame{config: c.config, functions: c.functions, call: &Call{}})
	return v, err == nil
}

func (c *compiler) conditional(x *hclsyntax.ConditionalExpr) node {
	cond, yes, no := c.native(x.Condition), c.native(x.TrueResult), c.native(x.FalseResult)
	return func(f *frame) (value, error) {
		v, err := cond(f)
		if err != nil {
			return v, err
		}
		b, err := v.bool()
		if err != nil {
			return v, fmt.Errorf("the condition: %w", err)
		}
		marked := v.marked
		if b {
			v, err = yes(f)
		} else {
			v, err = no(f)
		}
		v.marked = v.marked || marked
		return v, err
	}
}

func (c *compiler) binary(x *hclsyntax.BinaryOpExpr) node {
	a, b := c.native(x.LHS), c.native(x.RHS)
	switch x.Op {
	case hclsyntax.OpEqual, hclsyntax.OpNotEqual:
		want := x.Op == hclsyntax.OpEqual
		return both(a, b, func(l, r value) (value, error) {
			eq, err := l.equal(r)
			return boolValue(eq == want), err
		})
	case hclsyntax.OpLogicalAnd, hclsyntax.OpLogicalOr:
		return logical(a, b, x.Op == hclsyntax.OpLogicalOr)
	case hclsyntax.OpGreaterThan, hclsyntax.OpGreaterThanOrEqual, hclsyntax.OpLessThan, hclsyntax.OpLessThanOrEqual:
		op := x.Op
		return both(a, b, func(l, r value) (value, error) {
			p, okL := parseNumber(l.text)
			q, okR := parseNumber(r.text)
			if !okL || !okR {
				return value{}, errors.New("numbers are required")
			}
			cmp := p.Cmp(q)
			return boolValue(op == hclsyntax.OpGreaterThan && cmp > 0 || op == hclsyntax.OpGreaterThanOrEqual && cmp >= 0 ||
				op == hclsyntax.OpLessThan && cmp < 0 || op == hclsyntax.OpLessThanOrEqual && cmp <= 0), nil
		})
	}
	return c.fallback(x)
}

// logical is && and ||. As in HCL, one operand that decides the result makes
// the other one's null, or failure, irrelevant, and null counts as false for &&;
// deciding is true for || and false for &&.
func logical(a, b node, deciding bool) node {
	return func(f *frame) (value, error) {
		l, errL := a(f)
		r, errR := b(f)
		marked := l.marked || r.marked
		p, q := false, false
		if errL == nil && (deciding || !l.isNull()) {
			p, errL = l.bool()
		}
		if errR == nil && (deciding || !r.isNull()) {
			q, errR = r.bool()
		}
		out := boolValue(deciding)
		out.marked = marked
		switch {
		case errors.Is(errL, errNotBool):
			return value{}, errL
		case errors.Is(errR, errNotBool):
			return value{}, errR
		case errL == nil && p == deciding, errR == nil && q == deciding:
			return out, nil
		}
		out.text = boolValue(!deciding).text
		return out, errors.Join(errL, errR)
	}
}

func both(a, b node, f func(l, r value) (value, error)) node {
	return func(fr *frame) (value, error) {
		l, err := a(fr)
		if err != nil {
			return l, err
		}
		r, err := b(fr)
		if err != nil {
			return r, err
		}
		v, err := f(l, r)
		v.marked = l.marked || r.marked
		return v, err
	}
}

func not(n node) node {
	return func(f *frame) (value, error) {
		v, err := n(f)
		if err != nil {
			return v, err
		}
		b, err := v.bool()
		return value{kind: kindBool, text: boolValue(!b).text, marked: v.marked}, err
	}
}

// fallback leaves an expression to HCL. Its errors say what and where, and no
// value: a diagnostic's detail may quote one.
func (c *compiler) fallback(e hcl.Expression) node {
	seen := map[string]bool{}
	for _, t := range e.Variables() {
		seen[t.RootName()] = true
	}
	roots := make([]string, 0, len(seen))
	for r := range seen {
		roots = append(roots, r)
	}
	sort.Strings(roots)
	return func(f *frame) (value, error) {
		ctx, err := f.context(roots)
		if err != nil {
			return value{}, err
		}
		v, diags := e.Value(ctx)
		if diags.HasErrors() {
			return value{}, errors.New(firstSummary(diags))
		}
		return valueOf(v), nil
	}
}

// firstSummary is the first error of HCL in lower case, without its detail.
func firstSummary(diags hcl.Diagnostics) string {
	for _, d := range diags {
		if d.Severity == hcl.DiagError && d.Summary != "" {
			return strings.ToLower(d.Summary[:1]) + d.Summary[1:]
		}
	}
	return "the expression cannot be evaluated"
}
