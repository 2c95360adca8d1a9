package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// rootNames are what a reference can begin with.
var rootNames = []string{"var", "local", "secret", "credential", "sink", "hook", "vault", "provider", "each", "count", "path", "host"}

// checkRefs checks all references of an argument: that what they name is
// declared, and that a credential has the attribute.
func (c *Config) checkRefs(ev *evaluator, a *argument, in *instance) Diagnostics {
	var diags Diagnostics
	for i := range a.refs {
		d := c.checkRef(ev, &a.refs[i], in)
		if lacksInstance(d) && (madeUp(in) || a.expr != nil && mayDoWithout(a.expr)) {
			continue // evaluating it tells whether it needs that
		}
		if d != nil {
			diags = append(diags, d)
		}
	}
	return diags
}

// checkRef returns what is wrong with a reference, or nil.
func (c *Config) checkRef(ev *evaluator, r *ref, in *instance) *hcl.Diagnostic {
	root, second := r.root(), r.attr(1)
	if in != nil {
		if v, ok := in.extra[root]; ok {
			return checkElement(r, v)
		}
	}
	switch root {
	case "var":
		if _, ok := c.vars[second]; !ok {
			return c.unknownName(r, "variable", second, sortedKeys(c.vars), `variable "`+second+`" { … }`)
		}
	case "local":
		if _, ok := c.locals[second]; !ok {
			return c.unknownName(r, "local", second, sortedKeys(c.locals), "locals { "+second+" = … }")
		}
	case "path", "host":
		only := map[string]string{"path": "config", "host": "name"}[root]
		if second != only {
			return problem(stepRange(r.trav, 1, r.rng), "Unknown attribute", "There is %s.%s and nothing else: %s.", root, only,
				map[string]string{"path": "the directory of the configuration", "host": "the host's name"}[root])
		}
	case "each", "count":
		return c.checkEach(r, in)
	default:
		if addressParts(root) == 0 {
			return unknownRoot(r)
		}
		return c.checkTarget(ev, r, in)
	}
	return nil
}

func (c *Config) unknownName(r *ref, what, n string, known []string, declare string) *hcl.Diagnostic {
	if n == "" {
		return problem(r.rng, "Invalid reference", "%s must be followed by a name: %s.NAME.", r.root(), r.root())
	}
	return absence(problem(r.rng, "Reference to undeclared "+what, "No block declares %s.%s.%s Declare it with %s, or mend the reference.",
		r.root(), n, suggest(n, known), declare), n)
}

func unknownRoot(r *ref) *hcl.Diagnostic {
	root := r.root()
	switch root {
	case "data", "module", "resource", "self", "terraform":
		return problem(r.rng, "Unknown reference", "There is no %s here: secrets are secret.TYPE.NAME.value, tokens credential.TYPE.NAME.access_token.", root)
	case "input", "config", "token", "body", "flow":
		return problem(r.rng, "Unknown reference", "%s.… has a meaning inside provider_type blocks only.", root)
	}
	if n := nearest(root, rootNames); n != "" {
		return problem(r.rng, "Unknown reference", "Nothing is named %q. Did you mean %q?", root, n)
	}
	if len(r.trav) == 1 {
		return problem(r.rng, "Unknown reference", `Nothing is named %q. If it is meant as text, write it in quotes: "%s".`, root, root)
	}
	return problem(r.rng, "Unknown reference", "Nothing is named %q. References begin with %s.", root, strings.Join(rootNames, ", "))
}

func (c *Config) checkEach(r *ref, in *instance) *hcl.Diagnostic {
	root, second := r.root(), r.attr(1)
	if in == nil || in.set == nil {
		if root == "count" {
			return problem(r.rng, "Reference to count without count", "count.… has a meaning in credential, secret and sink blocks that have count.")
		}
		return problem(r.rng, "Reference to each without for_each", "each.… has a meaning in credential, secret and sink blocks that have for_each.")
	}
	switch {
	case root == "count" && in.set.kind != numKey:
		return problem(r.rng, "Reference to count without count", "This block has for_each; its instances know each.key and each.value.")
	case root == "each" && in.set.kind != strKey:
		return problem(r.rng, "Reference to each without for_each", "This block has count; its instances know count.index.")
	case root == "count" && second != "index":
		return problem(stepRange(r.trav, 1, r.rng), "Unknown attribute", "There is count.index and nothing else.")
	case root == "each" && second != "key" && second != "value":
		return problem(stepRange(r.trav, 1, r.rng), "Unknown attribute", "There is each.key and each.value and nothing else.%s", suggestRef(root, second, "key", "value"))
	case second == "value" && in.set.of != nil && len(r.trav) > 2 && in.index < in.set.of.set.len():
		return c.checkEachValue(r, in)
	}
	return nil
}

// checkEachValue checks each.value.ATTRIBUTE where each.value stands for an
// instance of another block.
func (c *Config) checkEachValue(r *ref, in *instance) *hcl.Diagnostic {
	of := in.set.of
	t := &target{p: parsed{kind: of.kind, typ: of.typ, label: of.label, key: of.set.key(in.index)}, rest: r.trav[2:]}
	return c.checkAttr(t, r)
}

// checkTarget checks a reference to something with an address.
func (c *Config) checkTarget(ev *evaluator, r *ref, in *instance) *hcl.Diagnostic {
	t, d := ev.target(r, in)
	if d != nil {
		return d
	}
	if !expands(t.p.kind) {
		if len(t.rest) > 0 {
			return problem(stepRange(t.rest, 0, r.rng), "Reference to an attribute", "%s can be named as a whole only; it has no attributes.", t.p.address())
		}
		return nil
	}
	if t.whole || len(t.rest) == 0 {
		return nil
	}
	return c.checkAttr(&t, r)
}

// checkAttr checks the attribute of an instance that a reference asks for.
func (c *Config) checkAttr(t *target, r *ref) *hcl.Diagnostic {
	attr := stepName(t.rest, 0)
	if attr == "" {
		return nil
	}
	switch t.p.kind {
	case kindSecret:
		if attr != "value" {
			return problem(stepRange(t.rest, 0, r.rng), "Unknown attribute", "A secret has the attribute value and nothing else: %s.value.", t.p.address())
		}
	case kindCredential:
		return c.checkCredentialAttr(t, attr, stepRange(t.rest, 0, r.rng))
	case kindSink:
		return problem(stepRange(t.rest, 0, r.rng), "Unknown attribute", "A sink has no attributes; its instances can be gone through by for_each.")
	}
	return nil
}

func (c *Config) checkCredentialAttr(t *target, attr string, at hcl.Range) *hcl.Diagnostic {
	p, res := t.p, t.res
	if res == nil {
		res = c.find(p.kind, p.typ, p.label)
	}
	names, open := []string(nil), false
	if res != nil {
		s := c.attrsOf(res)
		names, open = s.names, s.open
	}
	if contains(names, attr) {
		return nil
	}
	if attr == "refresh_token" {
		return problem(at, "Refresh token is not exposed", "%s has the attribute refresh_token only with expose_refresh_token = true in its block.", p.block())
	}
	if open || len(names) == 0 {
		return nil
	}
	return problem(at, "Unknown attribute", "%s has no attribute %s.%s", p.block(), attr, didYouMean(attr, names))
}

// checkElement checks a reference to the element of a dynamic block.
func checkElement(r *ref, v cty.Value) *hcl.Diagnostic {
	second := r.attr(1)
	if second == "" || !v.Type().IsObjectType() || v.Type().HasAttribute(second) {
		return nil
	}
	return problem(stepRange(r.trav, 1, r.rng), "Unknown attribute", "There is %s.key and %s.value and nothing else.%s",
		r.root(), r.root(), suggestRef(r.root(), second, "key", "value"))
}

// suggestRef is " Did you mean root.x?" where given is close to one of the known.
func suggestRef(root, given string, known ...string) string {
	if n := nearest(given, known); n != "" {
		return " Did you mean " + root + "." + n + "?"
	}
	return ""
}

// stepRange is the range of step i of a traversal, or else of the whole.
func stepRange(t hcl.Traversal, i int, whole hcl.Range) hcl.Range {
	if i >= len(t) {
		return whole
	}
	if at := t[i].SourceRange(); at.Filename == whole.Filename && at.Start.Byte >= whole.Start.Byte && at.End.Byte > at.Start.Byte {
		return at
	}
	return whole
}
