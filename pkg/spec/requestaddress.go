package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// addressInputs are the inputs that the addresses of a grant's requests are made
// of; "" among them: perhaps all.
func (r *requestCheck) addressInputs(t *ProviderType, g *GrantType) map[string]bool {
	reads, ok := r.reads[g]
	if !ok {
		exprs := []hcl.Expression{t.Discovery}
		for _, q := range requestsOf(t, g) {
			exprs = append(exprs, q.url)
		}
		reads = readsOf("input", exprs...)
		r.reads[g] = reads
	}
	return reads
}

// addresses checks every address that is known, or whose beginning is.
func (r *requestCheck) addresses(t *ProviderType, g *GrantType, v *settingsView, in cty.Value, begins func(name string) string) []requestMistake {
	ctx := r.context(t, v, in)
	var out []requestMistake
	add := func(what string, e hcl.Expression) {
		got, diags := safeValue(e, ctx)
		if diags.HasErrors() {
			return
		}
		if shown := r.shownMistakes(what, e, ctx, begins); len(shown) > 0 {
			out = append(out, shown...)
			return // its text is not spoken of
		}
		text, ok := knownAddress(got)
		if !ok {
			return
		}
		if wrong := urlMistake(text, v.clear); wrong != "" {
			out = append(out, requestMistake{what: what, detail: wrong, hidden: strings.Contains(text, "@"), input: sourceOf("input", e, in, text), setting: sourceOf("config", e, object(v.values), text)})
		}
	}
	reads := false
	for _, q := range requestsOf(t, g) {
		if q.url != nil {
			add(q.what, q.url)
		}
		reads = reads || len(readsOf("discovered", append(q.parts, q.url)...)) > 0
	}
	if t.Discovery != nil && reads {
		add("its issuer", t.Discovery)
	}
	return out
}

// knownAddress is the text of an address: of one that is not wholly known, its
// origin where that is.
func knownAddress(v cty.Value) (string, bool) {
	v, _ = v.Unmark()
	if v.Type() != cty.String {
		return "", false
	}
	if v.IsKnown() {
		if v.IsNull() {
			return "", false
		}
		return v.AsString(), true
	}
	prefix := prefixOf(v)
	scheme, rest, ok := strings.Cut(prefix, "://")
	host, _, whole := strings.Cut(rest, "/")
	switch {
	case ok && whole:
		return scheme + "://" + host, true
	case !ok && strings.Contains(prefix, "/"):
		return prefix, true // no scheme can follow a slash
	}
	return "", false
}

// prefixOf is what a string that is not known is known to begin with.
func prefixOf(v cty.Value) string {
	if v.Type() != cty.String || v.IsKnown() {
		return ""
	}
	return v.Range().StringPrefix()
}

// sourceOf is the member of root that an address begins with.
func sourceOf(root string, e hcl.Expression, of cty.Value, address string) string {
	best, length := "", 0
	if !of.IsKnown() {
		return ""
	}
	for n := range readsOf(root, e) {
		if n == "" || !of.Type().HasAttribute(n) {
			continue
		}
		v, _ := of.GetAttr(n).UnmarkDeep()
		s := prefixOf(v)
		if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
			s = v.AsString()
		}
		if len(s) > length && (strings.HasPrefix(s, address) || beginsWith(address, s)) {
			best, length = n, len(s)
		}
	}
	return best
}

// beginsWith reports whether an address begins with s, and not only with the
// same letters.
func beginsWith(address, s string) bool {
	rest, ok := strings.CutPrefix(address, s)
	return ok && (rest == "" || strings.HasSuffix(s, "/") || strings.ContainsRune("/?#:", rune(rest[0])))
}
