package providers

import (
	"errors"
	"slices"
	"sort"

	"tokend/pkg/spec"
)

// Origins lists, sorted, the scheme://host:port of every request that a grant
// can make with these inputs: obtaining, refreshing, revoking, verifying, the
// actions, and the discovery of the issuer's metadata. An address that a type
// makes of a token's parts is known only when there is one, and is not listed.
func (e *Endpoint) Origins(grant string, in spec.Values) ([]string, error) {
	all, err := e.origins(grant, in)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// KnownOrigins are those of [Endpoint.Origins] that can be told at this moment:
// not of a request whose address is in metadata that were not read yet, but of
// the issuer that has them.
func (e *Endpoint) KnownOrigins(grant string, in spec.Values) []string {
	known, _ := e.origins(grant, in)
	return known
}

// origins are the origins that can be told, with an error when there are others.
func (e *Endpoint) origins(grant string, in spec.Values) ([]string, error) {
	c := Call{Op: OpGrant, Grant: grant, Inputs: in}
	g, err := e.grant(&c)
	if err != nil {
		return nil, err
	}
	f, failed := e.frame(&c, g)
	if failed != nil {
		f = &frame{call: &c, config: e.provider.Config, functions: e.functions} // as if the metadata said nothing
	}
	out := []string{}
	add := func(origin string) {
		if !slices.Contains(out, origin) {
			out = append(out, origin)
		}
	}
	if issuer := e.issuer(f); issuer != "" && g.traits.Discovers {
		u, err := e.parseURL(issuer)
		if err != nil {
			return nil, &Error{Op: c.Op, Class: ClassConfig, Message: "the issuer: " + err.Error()}
		}
		add(originOf(u))
	}
	programs := []*requestProgram{g.request, g.refresh, g.revoke, g.device, e.verify}
	for _, a := range e.actions {
		programs = append(programs, a)
	}
	for _, p := range programs {
		if p == nil || p.laterURL {
			continue
		}
		u, _, err := e.url(p, f)
		if errors.Is(err, errNoURL) {
			continue
		}
		if err != nil {
			if failed == nil {
				failed = e.configError(&c, "the url", err)
			}
			continue
		}
		if p.fixed != nil {
			add(p.fixedOrigin)
		} else {
			add(originOf(u))
		}
	}
	sort.Strings(out)
	return out, failed
}
