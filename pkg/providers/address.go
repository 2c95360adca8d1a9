package providers

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"tokend/pkg/spec"
)

// baseURL is where a grant's requests go: base_url where the type has such a
// setting, else the address of the request that obtains the token.
func (e *Endpoint) baseURL(f *frame, g *grantProgram) (*url.URL, error) {
	if e.provider.Config.Has("base_url") {
		s, err := f.root("config", "base_url").str()
		if err != nil {
			return nil, err
		}
		return e.parseURL(s)
	}
	for _, p := range []*requestProgram{g.request, g.refresh} {
		if p != nil && !p.laterURL {
			u, _, err := e.url(p, f)
			return u, err
		}
	}
	return nil, errNoURL
}

// url evaluates a request's address; marked says that something sensitive is in it.
func (e *Endpoint) url(p *requestProgram, f *frame) (u *url.URL, marked bool, err error) {
	u, err = p.fixed, p.fixedErr
	if u == nil && err == nil {
		var v value
		if v, err = p.url(f); err != nil {
			return nil, false, err
		}
		if v.isNull() {
			return nil, false, errNoURL
		}
		marked = v.marked
		var s string
		if s, err = v.str(); err == nil {
			u, err = parseRequestURL(s)
		}
	}
	if err != nil {
		return nil, false, err
	}
	return u, marked, e.checkScheme(u)
}

func (e *Endpoint) parseURL(s string) (*url.URL, error) {
	u, err := parseRequestURL(s)
	if err != nil {
		return nil, err
	}
	return u, e.checkScheme(u)
}

// parseRequestURL reads an absolute http or https address. Its errors do not
// quote the text, which may hold anything.
func parseRequestURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("an absolute URL that begins with https:// is required")
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case u.User != nil:
		return nil, errors.New("the URL has a user name or password in it")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("the URL has a fragment (#)")
	}
	return u, nil
}

// checkScheme refuses to send secrets in clear, but to this machine itself.
func (e *Endpoint) checkScheme(u *url.URL) error {
	if u.Scheme == "https" || e.provider.AllowInsecureHTTP || loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("http://%s is not encrypted, and would carry secrets: use https, or set allow_insecure_http = true on the provider", u.Host)
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// originOf is scheme://host:port, the port written out.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		if port = "443"; u.Scheme == "http" {
			port = "80"
		}
	}
	return u.Scheme + "://" + net.JoinHostPort(spec.LowerASCII(u.Hostname()), port)
}

// ErrElsewhere is in the error of a request that was not sent because it would
// have gone to another origin than those of [Call.Origins].
var ErrElsewhere = errors.New("the request would go to another origin")

// ErrForbidden is in the error of a request that was not sent because
// [Options.AllowOrigin] forbids it.
var ErrForbidden = errors.New("the request is forbidden")

// checkOrigin refuses a request to another origin than those that the grant is
// bound to.
func (e *Endpoint) checkOrigin(r *Request) error {
	if allow := e.options.AllowOrigin; allow != nil {
		if err := allow(e.typ.Name, r.Origin); err != nil {
			return &Error{Op: r.call.Op, Class: ClassConfig, URL: r.address(), Message: err.Error(), Err: ErrForbidden, Hint: "change the configuration, or have the owner of this host change the policy"}
		}
	}
	if r.call.Origins == nil {
		return nil
	}
	for _, o := range r.call.Origins {
		if o == r.Origin {
			return nil
		}
	}
	return &Error{Op: r.call.Op, Class: ClassConfig, URL: r.address(),
		Message: fmt.Sprintf("sending to %s is refused: the token was issued by %s", r.Origin, strings.Join(r.call.Origins, ", ")), Err: ErrElsewhere,
		Hint: "begin a new grant with tokend approve, or set the old address again"}
}

func validMethod(m string) bool {
	switch m {
	case "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS":
		return true
	}
	return false
}

func validHeaderName(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return true
}

func validHeaderValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
