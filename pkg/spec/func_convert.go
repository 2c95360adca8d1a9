package spec

import (
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// collectionFunc is tolist or toset. Elements of one type, as nearly all are,
// are taken as they are: unifying the types of a hundred thousand elements by
// comparing each with each takes minutes.
func collectionFunc(of func(cty.Type) cty.Type, make func([]cty.Value) cty.Value) function.Function {
	general := stdlib.MakeToFunc(of(cty.DynamicPseudoType))
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "v", Type: cty.DynamicPseudoType, AllowNull: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if t, ok := uniform(args[0].Type()); ok {
				return of(t), nil
			}
			return general.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if _, ok := uniform(args[0].Type()); ok && !args[0].IsNull() {
				return make(args[0].AsValueSlice()), nil
			}
			return general.Call(args)
		},
	})
}

// uniform returns the type of a tuple's elements where all have the same.
func uniform(t cty.Type) (cty.Type, bool) {
	if !t.IsTupleType() || t.Length() == 0 {
		return cty.NilType, false
	}
	elems := t.TupleElementTypes()
	first := elems[0]
	if first.HasDynamicTypes() {
		return cty.NilType, false
	}
	for _, e := range elems[1:] {
		if !e.Equals(first) {
			return cty.NilType, false
		}
	}
	return first, true
}
