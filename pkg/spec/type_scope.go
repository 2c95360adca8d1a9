package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// typeScope says what an expression at one place of a provider type may name.
type typeScope struct {
	what      string // the place in words: "a request of the grant"
	config    bool
	input     bool
	token     []string // members of token; nil: token is not in scope
	tokenWhy  string   // why it is not
	flow      []string // members of flow; nil: not in scope
	reply     bool     // status, headers, body
	request   bool     // now, jwt_sign, discovered
	operation bool
}

// typePlace is an expression with its scope. grants are those whose inputs the
// expression is evaluated with.
type typePlace struct {
	expr   hcl.Expression
	scope  typeScope
	grants []*GrantType
	want   cty.Type // what the value must be, or cty.NilType
	wants  string   // the same in words
}

func tokenMembers() []string {
	return []string{"access_token", "refresh_token", "token_type", "scopes", "expires_at", "header_name", "header", "outputs"}
}

// keyString is the key of an index step as a string.
func keyString(s hcl.TraverseIndex) (string, bool) {
	k, err := convert.Convert(s.Key, cty.String)
	if err != nil || !k.IsKnown() || k.IsNull() {
		return "", false
	}
	return k.AsString(), true
}

// checkScopes looks at every name that the type's expressions use, and then
// evaluates each expression with unknown values for what it will know.
func (d *typeDecoder) checkScopes() {
	for _, p := range d.places {
		if p.expr == nil {
			continue
		}
		before := len(d.diags)
		d.checkCalls(p)
		for _, t := range p.expr.Variables() {
			d.checkName(p, t)
		}
		if len(d.diags) == before {
			d.checkTypes(p)
			d.checkTries(p)
		}
	}
}

// checkCalls reports functions that exist, but not here.
func (d *typeDecoder) checkCalls(p typePlace) {
	e, ok := p.expr.(hclsyntax.Expression)
	if !ok {
		return
	}
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok {
			return nil
		}
		switch {
		case call.Name == "jwt_sign" && !p.scope.request:
			d.add(problem(call.NameRange, "Function out of place", "jwt_sign can be called in requests only, not in %s.", p.scope.what))
		case readsFiles(call.Name) || contains([]string{"abspath", "basename", "dirname"}, call.Name):
			d.add(hinted(problem(call.NameRange, "Function out of place", "A provider type reads no files: %s cannot be called here.", call.Name),
				"Make the value an input or a setting, and read the file where the credential or the provider is declared."))
		}
		return nil
	})
}

// checkName reports a name that is not in scope.
func (d *typeDecoder) checkName(p typePlace, t hcl.Traversal) {
	s := p.scope
	at := t[0].SourceRange()
	switch root := t.RootName(); root {
	case "config":
		if !s.config {
			d.outOfScope(p, root, at)
			return
		}
		d.checkMember(p, t, fieldNames(d.t.Config), "The provider type %q has no setting %q.", d.t.Name)
	case "input":
		if !s.input {
			d.outOfScope(p, root, at)
			return
		}
		d.checkInput(p, t)
	case "token":
		if s.token == nil {
			why := s.tokenWhy
			if why == "" {
				why = "is not in scope in " + s.what
			}
			d.add(problem(at, "Name out of scope", "token %s.", why))
			return
		}
		d.checkMember(p, t, s.token, "%s has no member %q here.", "token")
	case "flow":
		if s.flow == nil {
			d.add(hinted(problem(at, "Name out of scope", "flow is in scope only where a person takes part: in an interactive grant.%s", grantsWithoutFlow(p)),
				"An interactive grant has an authorize or a device block."))
			return
		}
		d.checkMember(p, t, s.flow, "%s has no member %q here.", "flow")
	case "status", "headers", "body":
		if !s.reply {
			d.add(problem(at, "Name out of scope", "%s is what a reply has; it is in scope in response and error blocks, not in %s.", root, s.what))
		}
	case "now":
		if !s.request {
			d.add(problem(at, "Name out of scope", "now can be named in requests only, not in %s.", s.what))
		}
	case "discovered":
		switch {
		case !s.request:
			d.outOfScope(p, root, at)
		case d.t.Discovery == nil:
			d.add(hinted(problem(at, "Name out of scope", "discovered is the metadata of an issuer, and this type does not say which."), "Add discovery = input.issuer, or the like, to the type."))
		}
	case "operation":
		if !s.operation {
			d.outOfScope(p, root, at)
		}
	default:
		d.add(problem(at, "Unknown name", "There is no %q in a provider type.%s", root, didYouMean(root, s.roots())))
	}
}

func (d *typeDecoder) outOfScope(p typePlace, root string, at hcl.Range) {
	d.add(problem(at, "Name out of scope", "%s is not in scope in %s. In scope here: %s.", root, p.scope.what, strings.Join(p.scope.roots(), ", ")))
}

// roots lists the variables in scope.
func (s typeScope) roots() []string {
	var out []string
	for _, r := range []struct {
		in   bool
		name string
	}{
		{s.config, "config"}, {s.input, "input"}, {s.token != nil, "token"}, {s.flow != nil, "flow"},
		{s.request, "now"}, {s.reply, "status"}, {s.reply, "headers"}, {s.reply, "body"}, {s.operation, "operation"},
	} {
		if r.in {
			out = append(out, r.name)
		}
	}
	return out
}

func grantsWithoutFlow(p typePlace) string {
	for _, g := range p.grants {
		if !g.Interactive() {
			return " Grant \"" + g.Name + "\" is none."
		}
	}
	return ""
}

// checkMember checks the first member that t names against those there are.
func (d *typeDecoder) checkMember(p typePlace, t hcl.Traversal, known []string, format, of string) {
	name := memberName(t)
	if name == "" || contains(known, name) {
		return
	}
	d.add(problem(t[1].SourceRange(), "Unknown name", format+"%s", of, name, didYouMean(name, known)))
}

// checkInput checks an input's name against every grant that evaluates the
// expression: a block of the type serves several, with different inputs.
func (d *typeDecoder) checkInput(p typePlace, t hcl.Traversal) {
	name := memberName(t)
	if name == "" || name == "scopes" {
		return
	}
	var with, without, all []string
	for _, g := range p.grants {
		names := fieldNames(g.Inputs)
		all = append(all, names...)
		if contains(names, name) {
			with = append(with, g.Name)
		} else {
			without = append(without, g.Name)
		}
	}
	switch at := t[1].SourceRange(); {
	case len(without) == 0:
	case len(p.grants) == 1:
		d.add(problem(at, "Unknown name", "Grant %q has no input %q.%s", without[0], name, didYouMean(name, append(all, "scopes"))))
	case len(with) == 0:
		d.add(problem(at, "Unknown name", "No grant that reaches %s has an input %q.%s", p.scope.what, name, didYouMean(name, append(unique(all), "scopes"))))
	default:
		d.add(hinted(problem(at, "Unknown name", "This is used for grant %s too, which has no input %q.", orList(without), name),
			"Give that grant the input, or a block of its own."))
	}
}

func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if !contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func fieldNames(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return out
}

// checkTypes evaluates the expression with unknown values, for each grant that
// will, so that a wrong call or a map in a string is found now.
func (d *typeDecoder) checkTypes(p typePlace) {
	grants := p.grants
	if len(grants) == 0 {
		grants = []*GrantType{{}}
	}
	for _, g := range grants {
		v, diags := p.expr.Value(d.unknownContext(p.scope, g))
		if diags.HasErrors() {
			d.diags = append(d.diags, diags...)
			return
		}
		if p.want == cty.NilType || v.Type() == cty.DynamicPseudoType {
			continue
		}
		if !fits(v, p.want) {
			d.add(problem(p.expr.Range(), "Wrong type", "This must be %s, not %s.", p.wants, typeWords(v.Type())))
			return
		}
	}
}

// fits reports whether a value can be what is wanted; the empty object stands
// for any map.
func fits(v cty.Value, want cty.Type) bool {
	if want.IsObjectType() {
		return v.Type().IsObjectType() || v.Type().IsMapType()
	}
	_, err := convert.Convert(v, want)
	return err == nil
}

func (d *typeDecoder) unknownContext(s typeScope, g *GrantType) *hcl.EvalContext {
	str := cty.UnknownVal(cty.String)
	vars := map[string]cty.Value{
		"config": unknownFields(d.t.Config, false), "now": cty.UnknownVal(cty.Number),
		"status": cty.UnknownVal(cty.Number), "headers": cty.DynamicVal, "body": cty.DynamicVal, "discovered": cty.DynamicVal, "operation": str,
		"input": unknownFields(g.Inputs, true),
		"flow":  cty.ObjectVal(map[string]cty.Value{"code": str, "state": str, "redirect_uri": str, "code_verifier": str, "device_code": str, "params": cty.DynamicVal}),
		"token": cty.ObjectVal(map[string]cty.Value{"access_token": str, "refresh_token": str, "token_type": str, "scopes": cty.UnknownVal(cty.List(cty.String)),
			"expires_at": str, "header_name": str, "header": str, "outputs": cty.DynamicVal}),
	}
	fns := make(map[string]function.Function, len(d.fns)+1)
	for n, f := range d.fns {
		fns[n] = f
	}
	fns["jwt_sign"] = JWTSignFunction(nil)
	return &hcl.EvalContext{Variables: vars, Functions: fns}
}

func unknownFields(fields []Field, scopes bool) cty.Value {
	vals := make(map[string]cty.Value, len(fields)+1)
	for _, f := range fields {
		vals[f.Name] = cty.UnknownVal(f.Type)
	}
	if scopes {
		vals["scopes"] = cty.UnknownVal(cty.List(cty.String))
	}
	return cty.ObjectVal(vals)
}

// JWTSignFunction is jwt_sign(algorithm, key, claims, headers), which provider
// types have in requests. sign gets the arguments unmarked; with nil the result
// is unknown, which is all that checking needs.
func JWTSignFunction(sign func(algorithm, key string, claims, headers cty.Value) (string, error)) function.Function {
	return guard(function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "algorithm", Type: cty.String}, {Name: "key", Type: cty.String},
			{Name: "claims", Type: cty.DynamicPseudoType},
		},
		VarParam: &function.Parameter{Name: "headers", Type: cty.DynamicPseudoType, AllowNull: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args) > 4 {
				return cty.NilVal, function.NewArgErrorf(4, "jwt_sign has four arguments: algorithm, key, claims, headers")
			}
			if sign == nil {
				return cty.UnknownVal(cty.String), nil
			}
			headers := cty.NullVal(cty.DynamicPseudoType)
			if len(args) == 4 {
				headers = args[3]
			}
			s, err := sign(args[0].AsString(), args[1].AsString(), args[2], headers)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(s), nil
		},
	}))
}
