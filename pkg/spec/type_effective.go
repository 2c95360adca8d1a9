package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Grant returns the grant of that name, or nil.
func (t *ProviderType) Grant(name string) *GrantType {
	for _, g := range t.Grants {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// Action returns the action of that name, or nil.
func (t *ProviderType) Action(name string) *Action {
	for _, a := range t.Actions {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// ResponseOf is the response by which a reply to the grant's request is read:
// its own or the type's. A static grant has its own or none.
func (t *ProviderType) ResponseOf(g *GrantType) *Response {
	if g.Response != nil || g.Static {
		return g.Response
	}
	return t.Response
}

// RefreshOf is the refresh of a grant: its own or the type's, nil where there
// is none, the grant says `refreshable = false`, or no reply to the grant has
// the refresh token that the request names.
func (t *ProviderType) RefreshOf(g *GrantType) *Refresh {
	switch {
	case g.Static || g.NoRefresh:
		return nil
	case g.Refresh != nil:
		return g.Refresh
	case t.Refresh == nil || !t.canName(g, t.Refresh.Request):
		return nil
	}
	return t.Refresh
}

// RefreshResponseOf is the response by which a reply to a refresh is read.
func (t *ProviderType) RefreshResponseOf(g *GrantType) *Response {
	if r := t.RefreshOf(g); r != nil && r.Response != nil {
		return r.Response
	}
	return t.ResponseOf(g)
}

// RevokeOf is the revocation of a grant, by the same rule as RefreshOf; one
// that names the access token as well is there without a refresh token too.
func (t *ProviderType) RevokeOf(g *GrantType) *Revoke {
	switch {
	case g.Static || g.NoRevoke:
		return nil
	case g.Revoke != nil:
		return g.Revoke
	case t.Revoke == nil || !t.canName(g, t.Revoke.Request):
		return nil
	}
	return t.Revoke
}

// canName reports whether the grant can have the tokens that r names.
func (t *ProviderType) canName(g *GrantType, r *Request) bool {
	reads := readsOf("token", r.Exprs()...)
	resp := t.ResponseOf(g)
	if reads["access_token"] || !reads["refresh_token"] {
		return true
	}
	return resp != nil && resp.RefreshToken != nil
}

// OutputNames lists what a credential of the grant has beside the common
// attributes, in the order in which the type lists them.
func (t *ProviderType) OutputNames(g *GrantType) []string {
	var names []string
	add := func(e hcl.Expression) {
		for _, item := range objectItems(e) {
			if k, ok := literalKey(item); ok && !contains(names, k) {
				names = append(names, k)
			}
		}
	}
	add(g.Outputs)
	if r := t.ResponseOf(g); r != nil {
		add(r.Outputs)
	}
	return names
}

// HasAccessToken reports whether a credential of the grant has an access token.
// A static grant has one only when its response says where it is.
func (t *ProviderType) HasAccessToken(g *GrantType) bool {
	r := t.ResponseOf(g)
	return r != nil && r.AccessToken != nil
}

// objectItems are the members of an object constructor, nil for anything else.
func objectItems(e hcl.Expression) []hclsyntax.ObjectConsItem {
	for {
		switch x := e.(type) {
		case *hclsyntax.ParenthesesExpr:
			e = x.Expression
		case *hclsyntax.ObjectConsExpr:
			return x.Items
		default:
			return nil
		}
	}
}

// ReadsOf lists the members of the variable root that the expressions name;
// "" is among them where the variable is named as a whole. Nil expressions are
// allowed.
func ReadsOf(root string, exprs ...hcl.Expression) map[string]bool { return readsOf(root, exprs...) }

func readsOf(root string, exprs ...hcl.Expression) map[string]bool {
	out := map[string]bool{}
	for _, e := range exprs {
		if e == nil {
			continue
		}
		for _, t := range e.Variables() {
			if t.RootName() == root {
				out[memberName(t)] = true
			}
		}
	}
	return out
}

// memberName is the first member that a traversal names; "" when it names none.
func memberName(t hcl.Traversal) string {
	if len(t) < 2 {
		return ""
	}
	switch s := t[1].(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if k, ok := keyString(s); ok {
			return k
		}
	}
	return ""
}

// allOutputs lists the outputs of all grants.
func (t *ProviderType) allOutputs() []string {
	var names []string
	for _, g := range t.Grants {
		for _, n := range t.OutputNames(g) {
			if !contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}
