package spec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// tryFunc is Terraform's try, with marks: the stock one forgets them when the
// result is unknown, and takes no account of the marks of what failed before.
func tryFunc() function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "expressions", Type: customdecode.ExpressionClosureType},
		Type: func(args []cty.Value) (cty.Type, error) {
			v, err := tryEach(args)
			if err != nil {
				return cty.NilType, err
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return tryEach(args) },
	})
}

func tryEach(args []cty.Value) (cty.Value, error) {
	if len(args) == 0 {
		return cty.NilVal, errors.New("at least one argument is required")
	}
	var failed hcl.Diagnostics
	marks := cty.ValueMarks{}
	for _, arg := range args {
		closure := customdecode.ExpressionClosureFromVal(arg)
		v, diags := closure.Value()
		if diags.HasErrors() {
			failed = append(failed, diags...)
			collectMarks(marks, closure)
			continue
		}
		if !v.IsWhollyKnown() {
			// Another expression may win once it is known, so not even the type is certain.
			_, own := v.UnmarkDeep()
			return cty.DynamicVal.WithMarks(own, marks), nil
		}
		return v.WithMarks(marks), nil
	}
	var b strings.Builder
	b.WriteString("no expression succeeded:")
	for _, d := range failed {
		if d.Subject != nil {
			fmt.Fprintf(&b, "\n- %s (at %s)", d.Summary, d.Subject)
		} else {
			fmt.Fprintf(&b, "\n- %s", d.Summary)
		}
	}
	return cty.NilVal, errors.New(b.String())
}

// canFunc is Terraform's can, with the marks of what its expression names: that
// an expression fails says something about the value.
func canFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "expression", Type: customdecode.ExpressionClosureType}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			closure := customdecode.ExpressionClosureFromVal(args[0])
			marks := cty.ValueMarks{}
			collectMarks(marks, closure)
			v, diags := closure.Value()
			switch {
			case diags.HasErrors():
				return cty.False.WithMarks(marks), nil
			case !v.IsWhollyKnown():
				return cty.UnknownVal(cty.Bool).WithMarks(marks), nil
			}
			return cty.True.WithMarks(marks), nil
		},
	})
}

// collectMarks adds the marks of every value that the expression names. A name
// that leads nowhere contributes those of the part of it that exists.
func collectMarks(into cty.ValueMarks, c *customdecode.ExpressionClosure) {
	for _, t := range c.Expression.Variables() {
		for n := len(t); n > 0; n-- {
			v, diags := t[:n].TraverseAbs(c.EvalContext)
			if diags.HasErrors() {
				continue
			}
			_, own := v.UnmarkDeep()
			for m := range own {
				into[m] = struct{}{}
			}
			break
		}
	}
}

// sensitiveFunc marks its argument.
func sensitiveFunc() function.Function {
	return markFunc("sensitive", func(v cty.Value) cty.Value { return Sensitive(v) })
}

// nonsensitiveFunc takes every mark off, at any depth.
func nonsensitiveFunc() function.Function {
	return markFunc("nonsensitive", func(v cty.Value) cty.Value {
		v, _ = v.UnmarkDeep()
		return v
	})
}

func markFunc(name string, apply func(cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Description: name,
		Params: []function.Parameter{{
			Name: "value", Type: cty.DynamicPseudoType,
			AllowUnknown: true, AllowNull: true, AllowMarked: true, AllowDynamicType: true,
		}},
		Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return apply(args[0]), nil },
	})
}

func issensitiveFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{
			Name: "value", Type: cty.DynamicPseudoType,
			AllowUnknown: true, AllowNull: true, AllowMarked: true, AllowDynamicType: true,
		}},
		Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(IsSensitive(args[0])), nil
		},
	})
}
