package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// secretHint names the ways of giving a secret.
const secretHint = `declare a secret block (secret "file" "NAME" { path = … }, or env, systemd, vault_kv, exec) and write secret.TYPE.NAME.value here; ` +
	`or give a variable with sensitive = true its value from outside`

// checkSecret checks that the value of a sensitive argument comes from where
// secrets are kept. The diagnostic shows no source line.
func (c *Config) checkSecret(a *argument, v cty.Value) *hcl.Diagnostic {
	if isNull(v) || hasMark(v, sensitiveMark{}) && hasMark(v, sourcedMark{}) {
		return nil
	}
	d := problem(a.rng(), "Secret in the configuration", "%s is sensitive, and %s", a.name, c.whyNotSecret(a, v))
	hideSource(d)
	return hinted(d, secretHint)
}

// whyNotSecret says what is wrong with where a value comes from.
func (c *Config) whyNotSecret(a *argument, v cty.Value) string {
	e := unwrap(a.expr)
	calls := calledFunctions(e)
	fromDefault, plain := "", ""
	for _, r := range c.deepRefs(a.refs) {
		if r.root() != "var" {
			continue
		}
		if x := c.vars[r.attr(1)]; x != nil {
			switch {
			case x.sensitive && x.fromText:
				fromDefault = x.name
			case !x.sensitive:
				plain = x.name
			}
		}
	}
	switch {
	case calls["nonsensitive"]:
		return "nonsensitive() has declared that its value is not. A value that may be shown cannot be a secret."
	case fromDefault != "":
		return "the value of var." + fromDefault + " is the default that stands in the configuration, where everyone who reads the directory reads it."
	case anyReadsFiles(calls):
		return "a file read by a function becomes part of the configuration and is not kept as a secret. Read it with a secret block."
	case plain != "":
		return "var." + plain + " is a plain variable. Say sensitive = true in its block, and give it its value from outside."
	case calls["sensitive"]:
		return "sensitive() hides a value that stands in the configuration from messages only; everyone who reads the directory reads it."
	}
	for i := range a.refs {
		if lo := c.locals[a.refs[i].attr(1)]; a.refs[i].root() == "local" && lo != nil && lo.static {
			return "the value of local." + lo.name + " stands in the configuration, where everyone who reads the directory reads it."
		}
	}
	if _, ok := literal(e); ok {
		return "it must not stand in the configuration as text, where everyone who reads the directory reads it."
	}
	return "its value does not come from a secret, a credential or a sensitive variable."
}

func anyReadsFiles(calls map[string]bool) bool {
	for n := range calls {
		if readsFiles(n) {
			return true
		}
	}
	return false
}

// calledFunctions lists the functions that an expression calls.
func calledFunctions(e hclsyntax.Expression) map[string]bool {
	calls := map[string]bool{}
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			calls[call.Name] = true
		}
		return nil
	})
	return calls
}

// deepRefs lists references, those of the locals that they name included.
func (c *Config) deepRefs(refs []ref) []ref {
	var out []ref
	seen := map[string]bool{}
	var walk func([]ref)
	walk = func(refs []ref) {
		for _, r := range refs {
			out = append(out, r)
			out = append(out, r.indexRefs...)
			if r.root() != "local" || seen[r.attr(1)] {
				continue
			}
			seen[r.attr(1)] = true
			if lo := c.locals[r.attr(1)]; lo != nil {
				walk(lo.arg.refs)
			}
		}
	}
	walk(refs)
	return out
}
