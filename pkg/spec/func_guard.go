package spec

import (
	"errors"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// errSensitiveArgument replaces the error of a function that was given a
// sensitive value: many a function quotes its argument when it refuses it.
var errSensitiveArgument = errors.New("the value does not fit; it is sensitive, so the reason is not shown")

// KeyError says what is wrong with a key in words that quote nothing of it, nor of
// another argument: it is shown also where the key is sensitive.
type KeyError struct{ Text string }

func (e *KeyError) Error() string { return e.Text }

// guard returns f with errors that quote no sensitive argument.
func guard(f function.Function) function.Function {
	s := &function.Spec{Description: f.Description(), Params: passAll(f.Params())}
	if v := f.VarParam(); v != nil {
		s.VarParam = &passAll([]function.Parameter{*v})[0]
	}
	s.Type = func(args []cty.Value) (cty.Type, error) {
		t, err := f.ReturnTypeForValues(args)
		return t, quoteless(err, args)
	}
	s.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, err := f.Call(args)
		return v, quoteless(err, args)
	}
	return function.New(s)
}

// passAll lets every argument through to the guarded function, which makes its
// own checks.
func passAll(params []function.Parameter) []function.Parameter {
	out := make([]function.Parameter, len(params))
	for i, p := range params {
		p.AllowMarked, p.AllowUnknown, p.AllowNull, p.AllowDynamicType = true, true, true, true
		out[i] = p
	}
	return out
}

func quoteless(err error, args []cty.Value) error {
	if err == nil {
		return nil
	}
	var key *KeyError
	if errors.As(err, &key) {
		return err
	}
	var shown *templateError
	if errors.As(err, &shown) && shown.plain && !args[0].ContainsMarked() {
		return err // a mistake in a template's own text
	}
	for _, a := range args {
		if !a.ContainsMarked() {
			continue
		}
		var arg function.ArgError
		if errors.As(err, &arg) {
			return function.NewArgError(arg.Index, errSensitiveArgument)
		}
		return errSensitiveArgument
	}
	return err
}
