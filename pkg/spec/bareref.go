package spec

import "github.com/hashicorp/hcl/v2"

// adviseAttribute adds to the mistake of an argument which attribute may have
// been meant, where it names a secret or a credential as a whole.
func (ev *evaluator) adviseAttribute(a *argument, in *instance, diags Diagnostics) {
	for i := range a.refs {
		r := &a.refs[i]
		if r.root() != kindSecret && r.root() != kindCredential {
			continue
		}
		t, d := ev.target(r, in)
		if d != nil || len(t.rest) > 0 {
			continue
		}
		for _, d := range diags {
			if d.Severity == hcl.DiagError && covers(a, d, r) {
				d.Detail += " " + t.attributeAdvice()
				return
			}
		}
	}
}

// covers reports whether a diagnostic about an argument is about a reference.
func covers(a *argument, d *hcl.Diagnostic, r *ref) bool {
	return d.Subject == nil || *d.Subject == a.rng() || d.Subject.Overlaps(r.rng)
}

// attributeAdvice says how an attribute of what a reference names is written.
func (t *target) attributeAdvice() string {
	name := string(t.p.address())
	if t.res != nil && t.res.insts != nil && t.p.key.kind == noKey {
		name += `["KEY"]`
		if t.res.insts.kind == numKey {
			name = string(t.p.address()) + "[0]"
		}
	}
	if t.p.kind == kindSecret {
		return "Write " + name + ".value."
	}
	return "Write " + name + ".access_token, or another attribute of it."
}
