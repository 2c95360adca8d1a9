package spec

import (
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// defaultVerifyEvery is how often an API is asked about a token.
const defaultVerifyEvery = 5 * time.Minute

// verifyOf reads how a credential asks its API about its token: by its own
// block, else by its type's request; nil for not at all.
func verifyOf(plan *credentialPlan, v section) *Verify {
	own := plan.typ.Verify != nil && !plan.grant.Static
	vf, ok := v.block("verify")
	if !ok {
		if !own {
			return nil
		}
		return &Verify{Every: defaultVerifyEvery}
	}
	out := &Verify{Path: vf.text("path"), Every: defaultVerifyEvery}
	vf.duration("every", &out.Every, 0)
	switch {
	case out.Every > 0 && out.Every < time.Second:
		vf.wrong("every", `every must be at least 1s, or "0s" for never.`)
	case !vf.settled("path", "every"):
	case out.Path == "" && !own:
		vf.wrong("path", "path is missing: provider type %s has no request of its own that asks whether a token works.", plan.typ.Name)
	case out.Path != "" && !isOwnPath(out.Path):
		vf.wrong("path", `path must be a path of the provider's own origin, such as "/me": it begins with one slash, and names no other host.`)
	case !plan.typ.HasAccessToken(plan.grant):
		vf.wrong("path", "the grant %s gives no access token that an API could be asked about.", plan.grant.Name)
	case out.Every > 0:
		return out
	}
	return nil
}

// isOwnPath reports whether a path stays on the origin that it is resolved
// against, however a client reads it.
func isOwnPath(p string) bool {
	u, err := url.Parse(p)
	return err == nil && strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "//") && !strings.Contains(p, `\`) && u.Host == "" && u.Scheme == "" && u.Fragment == ""
}

// checkVerifyOrigin reports a type's verification that goes, by what is written
// out, to another origin than all of its grants' requests: no token of them may
// go there. That there is no request is said elsewhere.
func (d *typeDecoder) checkVerifyOrigin() {
	if d.t.Verify.Request == nil {
		return
	}
	at, ok := writtenOrigin(d.t.Verify.Request.URL)
	if !ok {
		return
	}
	var other []string
	for _, g := range d.t.Grants {
		if g.Request == nil {
			continue
		}
		origin, ok := writtenOrigin(g.Request.URL)
		if !ok || origin == at {
			return
		}
		other = append(other, origin)
	}
	if len(other) > 0 {
		d.add(problem(d.t.Verify.Request.URL.Range(), "Verification at another origin", "A token goes only to the origin that its own requests have, which is %s here.", other[0]))
	}
}

// writtenOrigin is the scheme and host that a URL's text begins with, when they
// are written out.
func writtenOrigin(e hcl.Expression) (string, bool) {
	text, whole := "", false
	switch x := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		text, whole = literalText(x), true
	case *hclsyntax.TemplateExpr:
		if len(x.Parts) > 0 {
			if l, ok := x.Parts[0].(*hclsyntax.LiteralValueExpr); ok {
				text, whole = literalText(l), len(x.Parts) == 1
			}
		}
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return "", false
	}
	host, _, ended := strings.Cut(rest, "/")
	if !ended && !whole {
		return "", false // the host goes on in what is not known
	}
	return strings.ToLower(scheme + "://" + host), true
}

func literalText(l *hclsyntax.LiteralValueExpr) string {
	if l.Val.Type() == cty.String && l.Val.IsKnown() && !l.Val.IsNull() {
		return l.Val.AsString()
	}
	return ""
}
