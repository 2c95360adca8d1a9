package spec

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// anyGrant is the schema of a credential of a type whose grant is not known: what
// it has in any of them. An argument that two grants take for different things is
// taken for nothing in particular.
func (c *Config) anyGrant(typ *ProviderType) *Schema {
	out := &Schema{}
	for _, g := range typ.Grants {
		sc := c.grantSchemas[g]
		if sc == nil {
			continue
		}
		for _, at := range sc.Attrs {
			at.Required = false // it may be the other grant
			switch have := out.attr(at.Name); {
			case have == nil:
				out.Attrs = append(out.Attrs, at)
			case have.Type != at.Type || have.Sensitive != at.Sensitive || have.Ref != at.Ref:
				*have = Attr{Name: at.Name, Type: cty.DynamicPseudoType, Deferred: true}
			}
		}
		for _, b := range sc.Blocks {
			if out.nested(b.Name) == nil {
				out.Blocks = append(out.Blocks, b)
			}
		}
	}
	return out
}

// grantUnknown checks a credential whose grant is missing or unknown by what every
// grant of its type that could be meant has in common, so that its other mistakes
// are said in the same run.
func (k *checker) grantUnknown(p *credentialPlan, res *resource) {
	sc := k.l.c.anyGrant(p.typ)
	k.instances(kindCredential, res, func(in *instance, first bool) {
		if !first {
			return
		}
		ev := k.l.c.evaluator(Scope{})
		_, diags := ev.args(p.form, sc, in, &selectArgs{check: true})
		k.report(slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool { return saidAt(p.diags, d) })...)
	})
}

// saidAt reports whether something is said already of the place of a diagnostic.
func saidAt(diags Diagnostics, d *hcl.Diagnostic) bool {
	return d.Subject != nil && slices.ContainsFunc(diags, func(x *hcl.Diagnostic) bool { return x.Subject != nil && *x.Subject == *d.Subject })
}
