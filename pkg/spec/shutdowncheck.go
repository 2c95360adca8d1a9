package spec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// shutdown warns of revoke_on_shutdown where nothing can be revoked: the token lives on
// over a stop, although the block says that it ends; it is kept where its type has no
// revocation, and forgotten where that has no address. m are the arguments of the first
// instance, by whose inputs it is known whether it has one; what is discovered may have
// none all the same.
func (k *checker) shutdown(p *credentialPlan, cr *Credential, m map[string]cty.Value, failed bool) {
	if !cr.Lifecycle.RevokeOnShutdown || k.l.o.WasInForce {
		return
	}
	what, then, hint := "", "It is kept, and goes on after the next start", "take revoke_on_shutdown out"
	switch revoke := p.typ.RevokeOf(p.grant); {
	case p.grant.Static:
		what = fmt.Sprintf("the grant %s of %s is static, and nothing of it is ever revoked", p.grant.Name, p.typ.Name)
	case revoke == nil:
		what = fmt.Sprintf("the type %s has no revocation for the grant %s", p.typ.Name, p.grant.Name)
	case revoke.Request == nil || revoke.Request.URL == nil:
		return
	default:
		if k.requests == nil {
			k.requests = newRequestCheck(k.l.c)
		}
		in := object(k.requests.inputs(p, m, failed))
		at, diags := safeValue(revoke.Request.URL, k.requests.context(p.typ, k.requests.settings(cr.Provider, p.typ), in))
		if diags.HasErrors() || !isNull(at) {
			return
		}
		what, then = "its revocation has no address", "It is forgotten then, and lives until it ends by itself"
		if _, give, ok := strings.Cut(noAddress(p.typ, revoke.Request.URL), "; "); ok {
			hint = give + ", or " + hint
		}
	}
	lifecycle, _ := section{f: p.form, v: NewValues(m)}.block("lifecycle")
	d := problem(rangeIn(lifecycle.f, "revoke_on_shutdown"), "Setting without effect", "The token of %s cannot be revoked when the daemon stops: %s. %s.", p.form.title(), what, then)
	d.Severity = hcl.DiagWarning
	k.report(hinted(d, hint))
}
