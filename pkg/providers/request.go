package providers

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// ErrNoEndpoint is what an Error wraps when the provider has no address for
// such a request: a server without a revocation endpoint. Nothing is to be done.
var ErrNoEndpoint = errors.New("the provider has no endpoint for this request")

// errNoURL: a request's url is null.
var errNoURL = errors.New("the url is null")

// requestProgram is a request, compiled.
type requestProgram struct {
	method, url          node
	json                 *jsonProgram
	form, query, headers *mapProgram
	urlReads             []string // inputs that the url is made of
	laterURL             bool     // the url is made of a token's or a flow's parts
	fixed                *url.URL // the url where it is made of settings alone
	fixedErr             error
}

// mapProgram makes the members of a map, in the order in which they are written.
type mapProgram struct{ sources []mapSource }

// mapSource is a run of members written out, or an expression that gives a map.
type mapSource struct {
	members []memberProgram
	whole   node
}

type memberProgram struct {
	key    string
	keyFor node // when the key is an expression
	n      node
}

// member is one evaluated member.
type member struct {
	key string
	v   value
}

// jsonProgram makes a JSON document.
type jsonProgram struct {
	object []jsonMember
	isObj  bool
	array  []*jsonProgram
	isArr  bool
	n      node
}

type jsonMember struct {
	key  string
	expr memberProgram
	sub  *jsonProgram
}

func (c *compiler) request(r *spec.Request) *requestProgram {
	if r == nil {
		return nil
	}
	p := &requestProgram{
		method: c.expr(r.Method), url: c.expr(r.URL), form: c.mapOf(r.Form), query: c.mapOf(r.Query), headers: c.mapOf(r.Headers),
	}
	if r.JSON != nil {
		p.json = c.json(r.JSON)
	}
	for name := range spec.ReadsOf("input", r.URL) {
		p.urlReads = append(p.urlReads, name)
	}
	sort.Strings(p.urlReads)
	p.laterURL = len(spec.ReadsOf("token", r.URL)) > 0 || len(spec.ReadsOf("flow", r.URL)) > 0
	if e, ok := r.URL.(hclsyntax.Expression); ok {
		if v, ok := c.constantOf(e); ok && !v.isNull() {
			if s, err := v.str(); err == nil {
				p.fixed, p.fixedErr = parseRequestURL(s)
			}
		}
	}
	return p
}

func (c *compiler) mapOf(e hcl.Expression) *mapProgram {
	if e == nil {
		return nil
	}
	p := &mapProgram{}
	c.mapSources(p, e)
	return p
}

// mapSources takes merge({…}, x) apart, so that what is written out stays so.
func (c *compiler) mapSources(p *mapProgram, e hcl.Expression) {
	switch x := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		c.mapSources(p, x.Expression)
	case *hclsyntax.ObjectConsExpr:
		p.sources = append(p.sources, mapSource{members: c.members(x)})
	case *hclsyntax.FunctionCallExpr:
		if x.Name == "merge" && !x.ExpandFinal {
			for _, a := range x.Args {
				c.mapSources(p, a)
			}
			return
		}
		p.sources = append(p.sources, mapSource{whole: c.expr(e)})
	default:
		p.sources = append(p.sources, mapSource{whole: c.expr(e)})
	}
}

func (c *compiler) members(x *hclsyntax.ObjectConsExpr) []memberProgram {
	out := make([]memberProgram, 0, len(x.Items))
	for _, item := range x.Items {
		m := memberProgram{n: c.native(item.ValueExpr)}
		if k, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && !k.IsNull() && k.IsKnown() {
			m.key = valueOf(k).text
		} else if key, ok := item.KeyExpr.(*hclsyntax.ObjectConsKeyExpr); ok {
			m.keyFor = c.native(key.Wrapped)
		} else {
			m.keyFor = c.native(item.KeyExpr)
		}
		out = append(out, m)
	}
	return out
}

// eval gives the members that are not null; of equal keys the last counts, in
// the place of the first.
func (p *mapProgram) eval(f *frame) ([]member, error) {
	if p == nil {
		return nil, nil
	}
	var out []member
	put := func(key string, v value) {
		for i := range out {
			if out[i].key == key {
				out[i].v = v
				return
			}
		}
		out = append(out, member{key, v})
	}
	for _, s := range p.sources {
		if s.whole != nil {
			if err := s.eachOf(f, put); err != nil {
				return nil, err
			}
			continue
		}
		if out == nil {
			out = make([]member, 0, len(s.members))
		}
		for i := range s.members {
			m := &s.members[i]
			key, err := m.name(f)
			if err != nil {
				return nil, err
			}
			v, err := m.n(f)
			if err != nil {
				return nil, &memberError{key, err}
			}
			put(key, v)
		}
	}
	kept := out[:0]
	for _, m := range out {
		if !m.v.isNull() {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

func (m *memberProgram) name(f *frame) (string, error) {
	if m.keyFor == nil {
		return m.key, nil
	}
	k, err := m.keyFor(f)
	if err != nil {
		return "", err
	}
	return k.str()
}

// eachOf evaluates an expression that gives a map and hands out its members,
// sorted by key.
func (s mapSource) eachOf(f *frame, put func(string, value)) error {
	v, err := s.whole(f)
	if err != nil || v.isNull() {
		return err
	}
	m, err := v.toCty()
	if err != nil {
		return err
	}
	m, _ = m.Unmark()
	if t := m.Type(); !t.IsObjectType() && !t.IsMapType() || !m.IsKnown() {
		return errNotAMap
	}
	for it := m.ElementIterator(); it.Next(); {
		k, e := it.Element()
		x := valueOf(e)
		x.marked = x.marked || v.marked
		put(k.AsString(), x)
	}
	return nil
}

// memberError says at which member an evaluation failed.
type memberError struct {
	key string
	err error
}

func (e *memberError) Error() string { return e.key + ": " + e.err.Error() }
func (e *memberError) Unwrap() error { return e.err }

func (c *compiler) json(e hcl.Expression) *jsonProgram {
	switch x := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.json(x.Expression)
	case *hclsyntax.ObjectConsExpr:
		p := &jsonProgram{isObj: true}
		for i, m := range c.members(x) {
			p.object = append(p.object, jsonMember{key: m.key, expr: m, sub: c.json(x.Items[i].ValueExpr)})
		}
		return p
	case *hclsyntax.TupleConsExpr:
		p := &jsonProgram{isArr: true}
		for _, e := range x.Exprs {
			p.array = append(p.array, c.json(e))
		}
		return p
	}
	return &jsonProgram{n: c.expr(e)}
}

// append writes the document; null reports a null, of which nothing is written.
func (p *jsonProgram) append(b []byte, f *frame, r *Request) (_ []byte, null bool, err error) {
	switch {
	case p.isObj:
		b, err = p.appendObject(b, f, r)
		return b, false, err
	case p.isArr:
		b = append(b, '[')
		for i, e := range p.array {
			if i > 0 {
				b = append(b, ',')
			}
			if b, null, err = e.append(b, f, r); err != nil {
				return b, false, err
			} else if null {
				b = append(b, "null"...)
			}
		}
		return append(b, ']'), false, nil
	}
	v, err := p.n(f)
	if err != nil || v.isNull() {
		return b, err == nil, err
	}
	r.hide(v)
	b, err = v.appendJSON(b)
	return b, false, err
}

func (p *jsonProgram) appendObject(b []byte, f *frame, r *Request) ([]byte, error) {
	b = append(b, '{')
	first := true
	for i := range p.object {
		m := &p.object[i]
		key, err := m.expr.name(f)
		if err != nil {
			return b, err
		}
		mark := len(b)
		if !first {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, key), ':')
		var null bool
		if b, null, err = m.sub.append(b, f, r); err != nil {
			return b, &memberError{key, err}
		}
		if null {
			b = b[:mark]
			continue
		}
		first = false
	}
	return append(b, '}'), nil
}

// Request is one HTTP request, ready to be sent. It holds secrets; only its
// String and Dump are fit to be shown.
type Request struct {
	Method  string
	Origin  string // scheme://host:port
	url     *url.URL
	header  http.Header
	body    []byte
	hasBody bool
	call    Call
	hidden  []string // sensitive texts that were put in, derived ones too
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
	g, err := e.grant(&c)
	if err != nil {
		return nil, err
	}
	if name := missingInput(g.grant, c.Inputs, g.needs[c.Op]); name != "" {
		return nil, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("input %q has no value", name), Hint: "give the credential a value for " + name}
	}
	f, err := e.frame(&c, g)
	if err != nil {
		return nil, err
	}
	p, err := e.program(&c, g)
	if err != nil {
		return nil, err
	}
	r := &Request{call: c, header: make(http.Header, 4)}
	if p == nil {
		err = e.verifyPath(r, f, g)
	} else {
		err = e.fill(r, p, f)
	}
	if err != nil {
		return nil, err
	}
	r.Origin = originOf(r.url)
	if err := e.checkOrigin(r); err != nil {
		return nil, err
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
		return e.configError(c, "method", err)
	}
	if r.Method = method; !validMethod(method) {
		return e.configError(c, "method", errors.New("it is not a method of HTTP"))
	}
	u, err := e.url(p, f)
	if errors.Is(err, errNoURL) {
		return e.noURL(c, p)
	}
	if err != nil {
		return e.configError(c, "url", err)
	}
	r.url = u
	if err := r.setQuery(p.query, f); err != nil {
		return e.configError(c, "query", err)
	}
	if err := r.setHeaders(p.headers, f); err != nil {
		return e.configError(c, "headers", err)
	}
	if err := r.setBody(p, f); err != nil {
		return e.configError(c, "the body", err)
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
			return e.url(p, f)
		}
	}
	return nil, errNoURL
}

// url evaluates a request's address.
func (e *Endpoint) url(p *requestProgram, f *frame) (*url.URL, error) {
	u, err := p.fixed, p.fixedErr
	if u == nil && err == nil {
		var v value
		if v, err = p.url(f); err != nil {
			return nil, err
		}
		if v.isNull() {
			return nil, errNoURL
		}
		var s string
		if s, err = v.str(); err == nil {
			u, err = parseRequestURL(s)
		}
	}
	if err != nil {
		return nil, err
	}
	return u, e.checkScheme(u)
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
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// checkOrigin refuses a request to another origin than those that the grant is
// bound to.
func (e *Endpoint) checkOrigin(r *Request) error {
	if r.call.Origins == nil {
		return nil
	}
	for _, o := range r.call.Origins {
		if o == r.Origin {
			return nil
		}
	}
	return &Error{Op: r.call.Op, Class: ClassConfig, URL: r.address(),
		Message: fmt.Sprintf("sending to %s is refused: the token was issued by %s", r.Origin, strings.Join(r.call.Origins, ", ")),
		Hint:    "begin a new grant with tokend approve, or set the old address again"}
}

// address is the request's URL without query: a path may still hold a secret.
func (r *Request) address() string {
	u := url.URL{Scheme: r.url.Scheme, Host: r.url.Host, Path: r.url.Path}
	return secret.Scrub(u.String(), r.secrets()...)
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
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.url.String())
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
