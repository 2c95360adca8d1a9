package providers

import (
	"fmt"
	"strings"
)

// otherIssuer is the error for a redirect that another authorization server sent
// than the one that the login began with (RFC 9207 section 2.4). All of them send
// people to the same address here; so one that is hostile could have its login end
// at another server, and that one's code sent to itself (RFC 9700 section 4.4).
//
// A redirect that names no issuer is taken, unless the server's metadata say that
// its redirects do.
func (e *Endpoint) otherIssuer(f *frame, g *grantProgram) error {
	issuer := e.issuer(f)
	if !g.traits.Discovers || issuer == "" {
		return nil
	}
	got := f.call.Flow.Params["iss"].Reveal()
	if strings.TrimSuffix(got, "/") == strings.TrimSuffix(issuer, "/") {
		return nil
	}
	out := &Error{Op: OpExchange, Class: ClassLogin, Hint: "begin the login again", Err: ErrRefused}
	if got != "" {
		out.Message = fmt.Sprintf("the redirect comes from another server, %q: its code is not sent to %s", clean(got, 100), issuer)
		return out
	}
	doc, err := e.known(f)
	if err != nil || f.call.Flow.Params["code"].Empty() || doc.member("authorization_response_iss_parameter_supported") != "true" {
		return nil
	}
	out.Message = "the redirect does not say which server it comes from (iss), as those of " + issuer + " do"
	return out
}
