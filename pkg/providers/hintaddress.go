package providers

import (
	"slices"
	"strings"
)

// setBy stands in a hint for what the address of the call is set by.
const setBy = "{address}"

// hintFor says in a hint by what the address of a call is set, for who wants to
// mend it: settings of the provider, else an input of the credential, else the
// provider type alone.
func (e *Endpoint) hintFor(c *Call, hint string) string {
	if !strings.Contains(hint, setBy) {
		return hint
	}
	return strings.ReplaceAll(hint, setBy, e.addressSetBy(c))
}

func (e *Endpoint) addressSetBy(c *Call) string {
	const called = "the address that is called"
	g := e.grants[c.Grant]
	if g == nil {
		return called
	}
	p, err := e.program(c, g)
	if err == nil && p == nil { // a path below the base, see baseURL
		if e.provider.Config.Has("base_url") {
			return "base_url"
		}
		p = g.request
	}
	switch {
	case err != nil || p == nil:
		return called
	case len(p.urlSettings) > 0:
		return strings.Join(p.urlSettings, " and ")
	}
	given := slices.DeleteFunc(slices.Clone(p.urlReads), func(name string) bool { return !c.Inputs.Has(name) })
	switch {
	case len(given) > 0:
		return called + " (" + strings.Join(given, ", ") + ")"
	case len(p.urlReads) > 0 || p.laterURL || p.fixed == nil:
		return called
	}
	return "the address in provider type " + e.typ.Name
}
