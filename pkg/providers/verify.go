package providers

import "fmt"

// checkOwnOrigin refuses a verification request of a type that goes elsewhere
// than to where its tokens come from.
func (e *Endpoint) checkOwnOrigin(r *Request, f *frame, g *grantProgram) error {
	var own string
	for _, p := range []*requestProgram{g.request, g.refresh} {
		if p == nil || p.laterURL {
			continue
		}
		u, _, err := e.url(p, f)
		if err != nil {
			continue
		}
		if own = originOf(u); own == r.Origin {
			return nil
		}
	}
	if own == "" {
		return nil // nothing else says where its tokens come from: its recorded origins do
	}
	return &Error{Op: r.call.Op, Class: ClassConfig, URL: r.address(),
		Message: fmt.Sprintf("asking %s about the token is refused: it comes from %s", r.Origin, own),
		Hint:    fmt.Sprintf("mend the verify block of provider type %s", e.typ.Name)}
}
