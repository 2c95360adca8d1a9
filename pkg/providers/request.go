package providers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// ErrNoEndpoint is what an Error wraps when the provider has no address for
// such a request: a server without a revocation endpoint. Nothing is to be done.
var ErrNoEndpoint = errors.New("the provider has no endpoint for this request")

// errNoURL: a request's url is null.
var errNoURL = errors.New("the url is null")

// Request is one HTTP request, ready to be sent. It holds secrets; only its
// String and Dump are fit to be shown.
type Request struct {
	Method    string
	Origin    string // scheme://host:port
	url       *url.URL
	header    http.Header
	body      []byte
	hasBody   bool
	call      Call
	secretURL bool     // the url has something sensitive in it
	hidden    []string // sensitive texts that were put in, derived ones too
}

// hide remembers what a member put into the request.
func (r *Request) hide(v value) {
	if v.marked && v.text != "" {
		r.hidden = append(r.hidden, v.text)
	}
}

// Prepare makes the request of a call, without any I/O. Its error is an *Error:
// of ClassConfig when the request cannot be made, or may not go where it would.
func (e *Endpoint) Prepare(c Call) (*Request, error) {
	r := &Request{call: c, header: make(http.Header, 4)}
	g, err := e.grant(&r.call)
	if err != nil {
		return nil, err
	}
	if name := missingInput(g.grant, c.Inputs, g.needs[c.Op]); name != "" {
		return nil, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("input %q has no value", name), Hint: "give the credential a value for " + name}
	}
	f, err := e.frame(&r.call, g)
	if err != nil {
		return nil, err
	}
	p, err := e.program(&r.call, g)
	if err != nil {
		return nil, err
	}
	if p == nil {
		err = e.verifyPath(r, f, g)
	} else {
		err = e.fill(r, p, f)
	}
	if err != nil {
		return nil, err
	}
	if p != nil && p.fixed != nil {
		r.Origin = p.fixedOrigin
	} else {
		r.Origin = originOf(r.url)
	}
	if err := e.checkOrigin(r); err != nil {
		return nil, err
	}
	if c.Op == OpVerify && p != nil {
		if err := e.checkOwnOrigin(r, f, g); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// program is the request of an operation; nil for a verification by path.
func (e *Endpoint) program(c *Call, g *grantProgram) (*requestProgram, error) {
	var p *requestProgram
	switch c.Op {
	case OpGrant, OpExchange:
		p = g.request
	case OpRefresh:
		p = g.refresh
	case OpRevoke:
		p = g.revoke
	case OpDevice:
		p = g.device
	case OpAction:
		p = e.actions[c.Action]
	case OpVerify:
		if c.Path != "" {
			return nil, nil
		}
		p = e.verify
	}
	if p == nil {
		what := string(c.Op)
		if c.Op == OpAction {
			what = fmt.Sprintf("action %q", c.Action)
		}
		return nil, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("grant %q of provider type %s has no %s request", c.Grant, e.typ.Name, what), Err: ErrNoEndpoint}
	}
	return p, nil
}

// frame is what the call's expressions are evaluated in.
func (e *Endpoint) frame(c *Call, g *grantProgram) (*frame, error) {
	f := &frame{call: c, config: e.provider.Config, functions: e.functions}
	if g.traits.Discovers {
		doc, err := e.known(f)
		if err != nil {
			return nil, err
		}
		f.discovered = doc
	}
	return f, nil
}

func (e *Endpoint) fill(r *Request, p *requestProgram, f *frame) error {
	c := &r.call
	method, err := textOf(p.method, f)
	if err != nil {
		return e.lacking(p, c, "method", err)
	}
	if r.Method = method; !validMethod(method) {
		return e.lacking(p, c, "method", errors.New("it is not a method of HTTP"))
	}
	u, marked, err := e.url(p, f)
	if errors.Is(err, errNoURL) {
		return e.noURL(c, p)
	}
	if err != nil {
		return e.lacking(p, c, "url", err)
	}
	r.url, r.secretURL = u, marked
	if err := r.setQuery(p.query, f); err != nil {
		return e.lacking(p, c, "query", err)
	}
	if err := r.setHeaders(p.headers, f); err != nil {
		return e.lacking(p, c, "headers", err)
	}
	if err := r.setBody(p, f); err != nil {
		return e.lacking(p, c, "the body", err)
	}
	if _, ok := r.header["Accept"]; !ok {
		r.header["Accept"] = acceptJSON
	}
	if _, ok := r.header["User-Agent"]; !ok {
		r.header["User-Agent"] = []string{e.options.UserAgent}
	}
	return nil
}

var (
	acceptJSON  = []string{"application/json"}
	contentJSON = []string{"application/json"}
	contentForm = []string{"application/x-www-form-urlencoded"}
)

func textOf(n node, f *frame) (string, error) {
	v, err := n(f)
	if err != nil {
		return "", err
	}
	return v.str()
}

// noURL says that a request has no address, and which inputs would give one.
func (e *Endpoint) noURL(c *Call, p *requestProgram) *Error {
	reads := append([]string(nil), p.urlReads...)
	if e.typ.Discovery != nil {
		for n := range spec.ReadsOf("input", e.typ.Discovery) {
			reads = append(reads, n)
		}
	}
	err := &Error{Op: c.Op, Class: ClassConfig, Message: "there is no url to send the request to", Err: ErrNoEndpoint}
	if len(reads) > 0 {
		sort.Strings(reads)
		err.Hint = "set one of the inputs that it is made of: " + strings.Join(reads, ", ")
	}
	return err
}

// configError says which part of a request cannot be made. The errors of
// expressions quote no value.
func (e *Endpoint) configError(c *Call, part string, err error) *Error {
	return &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("making %s of the request: %s", part, secret.Scrub(err.Error(), c.secrets(e.provider.Config)...)),
		Hint: fmt.Sprintf("see the provider type: tokend provider show %s", e.typ.Name)}
}

// lacking is configError for a part of a request, with the inputs that it reads and that
// the credential does not give: a function that takes no null says neither.
func (e *Endpoint) lacking(p *requestProgram, c *Call, part string, err error) *Error {
	out := e.configError(c, part, err)
	var absent []string
	for _, name := range p.reads {
		given := c.Inputs.Has(name) && !isNull(c.Inputs.Cty(name))
		if name == "scopes" && c.Scopes != nil {
			given = true
		}
		if !given {
			absent = append(absent, name)
		}
	}
	if len(absent) == 0 {
		return out
	}
	verb := "is"
	if len(absent) > 1 {
		verb = "are"
	}
	names := strings.Join(absent, ", ")
	out.Message += fmt.Sprintf("; of the inputs that it reads, %s %s not given", names, verb)
	out.Hint = fmt.Sprintf("give the credential %s, or have its provider type do without, as by input.%s == null ? null : …", names, absent[0])
	return out
}

func (r *Request) setQuery(p *mapProgram, f *frame) error {
	members, err := p.eval(f)
	if err != nil || len(members) == 0 {
		return err
	}
	b, err := r.appendForm(nil, members)
	if err != nil {
		return err
	}
	u := *r.url
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += string(b)
	r.url = &u
	return nil
}

// appendForm encodes members as application/x-www-form-urlencoded, a space as a
// plus, in the order in which they are written.
func (r *Request) appendForm(b []byte, members []member) ([]byte, error) {
	for _, m := range members {
		if m.v.kind == kindJSON || m.v.kind == kindCty {
			texts, err := m.v.texts()
			if err != nil {
				return nil, &memberError{m.key, err}
			}
			for _, t := range texts {
				r.hide(stringValue(t, m.v.marked))
				b = appendPair(b, m.key, t)
			}
			continue
		}
		r.hide(m.v)
		b = appendPair(b, m.key, m.v.text)
	}
	return b, nil
}

func appendPair(b []byte, key, v string) []byte {
	if len(b) > 0 {
		b = append(b, '&')
	}
	b = append(append(b, url.QueryEscape(key)...), '=')
	return append(b, url.QueryEscape(v)...)
}

func (r *Request) setHeaders(p *mapProgram, f *frame) error {
	members, err := p.eval(f)
	if err != nil {
		return err
	}
	for _, m := range members {
		if !validHeaderName(m.key) {
			return fmt.Errorf("%q cannot be the name of a header", m.key)
		}
		texts, err := m.v.texts()
		if err != nil {
			return &memberError{m.key, err}
		}
		for _, t := range texts {
			if !validHeaderValue(t) {
				return &memberError{m.key, errors.New("the value has a character that a header cannot have")}
			}
			r.hide(stringValue(t, m.v.marked))
			if _, credentials, ok := strings.Cut(t, " "); ok {
				r.hide(stringValue(credentials, m.v.marked)) // what follows Basic or Bearer
			}
		}
		r.header[http.CanonicalHeaderKey(m.key)] = texts
	}
	return nil
}

func (r *Request) setBody(p *requestProgram, f *frame) error {
	var content []string
	switch {
	case p.json != nil:
		b, null, err := p.json.append(make([]byte, 0, 256), f, r)
		if err != nil || null {
			return err
		}
		r.body, content = b, contentJSON
	case p.form != nil:
		members, err := p.form.eval(f)
		if err != nil {
			return err
		}
		if r.body, err = r.appendForm(make([]byte, 0, 256), members); err != nil {
			return err
		}
		content = contentForm
	default:
		return nil
	}
	r.hasBody = true
	if _, ok := r.header["Content-Type"]; !ok {
		r.header["Content-Type"] = content
	}
	return nil
}

// verifyPath asks for a protected path of the origin that the token came from,
// with the header that an API call carries.
func (e *Endpoint) verifyPath(r *Request, f *frame, g *grantProgram) error {
	c := &r.call
	base, err := e.baseURL(f, g)
	if err != nil {
		return e.configError(c, "url", err)
	}
	ref, err := url.Parse(c.Path)
	if err != nil || !strings.HasPrefix(c.Path, "/") || ref.Host != "" || ref.Scheme != "" {
		return &Error{Op: c.Op, Class: ClassConfig, Message: "the path of verify must begin with one slash and name no other host"}
	}
	r.Method, r.url = http.MethodGet, base.ResolveReference(ref)
	name, value := c.Token.HeaderName, c.Token.Header.Reveal()
	if name == "" {
		name = e.headerName
	}
	if value == "" || !validHeaderValue(value) {
		return &Error{Op: c.Op, Class: ClassConfig, Message: "the token has no header that an API call could carry"}
	}
	r.hide(stringValue(value, true))
	r.header[http.CanonicalHeaderKey(name)] = []string{value}
	r.header["Accept"] = []string{"*/*"}
	r.header["User-Agent"] = []string{e.options.UserAgent}
	return nil
}

// address is the request's URL without query, and without the path where that
// has something sensitive in it.
func (r *Request) address() string {
	if r.secretURL {
		return secret.Scrub(r.url.Scheme+"://"+r.url.Host, r.call.secrets(spec.Values{})...) + "/" + secret.Redacted
	}
	return r.url.Scheme + "://" + r.url.Host + r.url.EscapedPath()
}

// secrets are the sensitive texts that were put into the request.
func (r *Request) secrets() []secret.Text {
	out := make([]secret.Text, len(r.hidden))
	for i, h := range r.hidden {
		out[i] = secret.New(h)
	}
	return out
}

// String gives method and address, without query and secrets.
func (r *Request) String() string { return r.Method + " " + r.address() }

// Dump shows the request as it would be sent, every sensitive value replaced.
func (r *Request) Dump() string {
	var b strings.Builder
	hide := append(r.secrets(), r.call.secrets(spec.Values{})...)
	fmt.Fprintf(&b, "%s %s", r.Method, r.address())
	if r.url.RawQuery != "" {
		b.WriteString("?" + r.url.RawQuery)
	}
	b.WriteByte('\n')
	names := make([]string, 0, len(r.header))
	for n := range r.header {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		for _, v := range r.header[n] {
			fmt.Fprintf(&b, "%s: %s\n", n, v)
		}
	}
	if r.hasBody {
		fmt.Fprintf(&b, "\n%s\n", r.body)
	}
	for _, h := range hide {
		if h.Len() < shortSecret && strings.Contains(b.String(), h.Reveal()) {
			// Too short to be told from other text.
			return r.String() + "\n(not shown: a sensitive value of fewer than " + strconv.Itoa(shortSecret) + " characters is in it)\n"
		}
	}
	return secret.Scrub(b.String(), hide...)
}

// shortSecret is the length from which [secret.Scrub] looks for a secret.
const shortSecret = 4
