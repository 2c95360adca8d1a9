package providers

import (
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// responseProgram reads a token from a reply.
type responseProgram struct {
	accessToken, refreshToken, tokenType, expiresIn, expiresAt, scopes field
	outputs                                                            *mapProgram
}

// field is one part of a response, with the words by which to name it.
type field struct {
	name  string // access_token
	shown string // body["access-token"]; empty when it is no plain access
	n     node
}

// String names the field as a person finds it in the type and in the reply.
func (f field) String() string {
	if f.shown == "" {
		return f.name
	}
	return f.name + " (" + f.shown + ")"
}

func (f field) eval(fr *frame) (value, error) {
	if f.n == nil {
		return value{}, nil
	}
	return f.n(fr)
}

func (c *compiler) field(name string, e hcl.Expression) field {
	return field{name: name, shown: showAccess(e), n: c.expr(e)}
}

func (c *compiler) response(r *spec.Response) *responseProgram {
	if r == nil {
		return nil
	}
	return &responseProgram{
		accessToken: c.field("access_token", r.AccessToken), refreshToken: c.field("refresh_token", r.RefreshToken),
		tokenType: c.field("token_type", r.TokenType), expiresIn: c.field("expires_in", r.ExpiresIn),
		expiresAt: c.field("expires_at", r.ExpiresAt), scopes: c.field("scopes", r.Scopes), outputs: c.mapOf(r.Outputs),
	}
}

// showAccess writes a plain access as the type has it; "" for anything else.
func showAccess(e hcl.Expression) string {
	if l, ok := e.(*spec.Lenient); ok {
		e = l.Unwrap()
	}
	t, ok := e.(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return ""
	}
	var b strings.Builder
	b.WriteString(t.Traversal.RootName())
	for _, step := range t.Traversal[1:] {
		name, ok := stepName(step)
		_, attr := step.(hcl.TraverseAttr)
		switch {
		case !ok:
			return ""
		case attr:
			b.WriteString("." + name)
		default:
			fmt.Fprintf(&b, "[%q]", name)
		}
	}
	return b.String()
}

// Read reads the reply to a call. It is pure: the same call and reply give the
// same token, now or after a restart. A nil reply is that of an implicit grant,
// whose token is in the call's Flow. Operations that give no token give the zero
// Token. The error is an *Error; of ClassUnreadable where the provider carried
// the call out and its reply cannot be read, and for a revocation of ClassGone
// where the token was not known any more.
func (e *Endpoint) Read(c Call, r *Reply) (Token, error) {
	g, err := e.grant(&c)
	if err != nil {
		return Token{}, err
	}
	f, err := e.readFrame(&c, g, r)
	if err != nil {
		return Token{}, err
	}
	p := g.response
	if c.Op == OpRefresh {
		p = g.refreshResponse
	}
	if r != nil {
		var token field
		if p != nil {
			token = p.accessToken
		}
		if err := e.judge(f, r, token); err != nil {
			return Token{}, err
		}
	}
	switch c.Op {
	case OpRevoke, OpVerify, OpAction:
		return Token{}, nil
	}
	if p == nil || r == nil && c.Op == OpRefresh {
		return Token{}, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("grant %q of provider type %s reads no token from a reply", c.Grant, e.typ.Name)}
	}
	return e.token(f, g, p, r)
}

// Static gives the token of a static grant, which is made of its inputs.
func (e *Endpoint) Static(c Call) (Token, error) {
	g, err := e.grant(&c)
	if err != nil {
		return Token{}, err
	}
	if !g.grant.Static {
		return Token{}, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("grant %q of provider type %s is not static", c.Grant, e.typ.Name)}
	}
	names := make([]string, 0, len(g.grant.Inputs))
	for _, in := range g.grant.Inputs {
		names = append(names, in.Name)
	}
	if name := missingInput(g.grant, c.Inputs, names); name != "" {
		return Token{}, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("input %q has no value", name)}
	}
	f := &frame{call: &c, config: e.provider.Config, functions: e.functions}
	t := Token{Scopes: c.Scopes}
	if g.response != nil {
		if t, err = e.token(f, g, g.response, nil); err != nil {
			return Token{}, err
		}
	}
	own, err := readOutputs(g.outputs, f, spec.Values{})
	if err != nil {
		return Token{}, e.unreadable(f, nil, "outputs", err)
	}
	for _, n := range own.Names() {
		t.Outputs = t.Outputs.With(n, own.Cty(n))
	}
	return t, nil
}

// readFrame puts a reply where expressions find it.
func (e *Endpoint) readFrame(c *Call, g *grantProgram, r *Reply) (*frame, error) {
	f := &frame{call: c, config: e.provider.Config, functions: e.functions}
	if r == nil {
		return f, nil
	}
	f.status, f.header = r.Status, r.Header
	if !r.TooLarge {
		f.body = bodyOf(r)
	}
	return f, nil
}

// bodyOf is the reply as JSON; a form, which a few servers answer with, is read
// as an object of strings. "" is a body that is neither.
func bodyOf(r *Reply) jsonValue {
	text := r.Body.Reveal()
	if doc, ok := scanJSON(text); ok {
		return doc
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return ""
	}
	form, err := url.ParseQuery(strings.TrimSpace(text))
	if err != nil || len(form) == 0 {
		return ""
	}
	names := make([]string, 0, len(form))
	for n := range form {
		names = append(names, n)
	}
	sort.Strings(names)
	b := []byte{'{'}
	for i, n := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, n), ':')
		b = appendJSONString(b, form[n][len(form[n])-1])
	}
	doc, _ := scanJSON(string(append(b, '}')))
	return doc
}

// token reads the parts of a token.
func (e *Endpoint) token(f *frame, g *grantProgram, p *responseProgram, r *Reply) (Token, error) {
	if r == nil || f.body != "" {
		return e.tokenIn(f, g, p, r)
	}
	// What is no JSON may still bring its token in a header.
	if t, err := e.tokenIn(f, g, p, r); err == nil {
		return t, nil
	}
	if NoAnswer(r) {
		return Token{}, e.noAnswer(f, r)
	}
	return Token{}, e.notJSON(f, r)
}

func (e *Endpoint) tokenIn(f *frame, g *grantProgram, p *responseProgram, r *Reply) (Token, error) {
	held := &f.call.Token
	t := Token{TokenType: "Bearer", Scopes: f.call.Scopes}
	if f.call.Op == OpRefresh {
		t.RefreshToken, t.RefreshUntil, t.TokenType, t.Scopes = held.RefreshToken, held.RefreshUntil, held.TokenType, held.Scopes
	}
	at := f.call.Now
	if r != nil {
		at, t.Late = r.At, r.Slept
	}
	var err error
	if t.AccessToken, err = e.tokenText(f, r, p.accessToken); err != nil {
		return Token{}, err
	}
	if t.AccessToken.Empty() {
		return Token{}, e.noToken(f, r, p)
	}
	refresh, err := e.tokenText(f, r, p.refreshToken)
	if err != nil {
		return Token{}, err
	}
	if !refresh.Empty() {
		t.RefreshToken, t.RefreshGiven, t.RefreshUntil = refresh, true, time.Time{}
		if l := g.traits.RefreshTokenLifetime; l > 0 {
			t.RefreshUntil = at.Add(l)
		}
	}
	kind, err := p.tokenType.eval(f)
	if err == nil && !kind.isNull() {
		t.TokenType, err = kind.str()
		if err == nil && (len(t.TokenType) > 64 || !validHeaderValue(t.TokenType)) {
			err = errors.New("it is not the name of a type")
		}
	}
	if err != nil {
		return Token{}, e.unreadable(f, r, p.tokenType.String(), err)
	}
	if t.ExpiresAt, err = e.expiry(f, r, p, at); err != nil {
		return Token{}, err
	}
	if scopes, err := e.scopes(f, g, p); err != nil {
		return Token{}, e.unreadable(f, r, p.scopes.String(), err)
	} else if scopes != nil {
		t.Scopes = scopes
	}
	if t.Outputs, err = readOutputs(p.outputs, f, held.Outputs); err != nil {
		return Token{}, e.unreadable(f, r, "outputs", err)
	}
	if err := e.carry(f, &t); err != nil {
		return Token{}, err
	}
	return t, nil
}

// tokenText reads a token: a string that can stand in a header.
func (e *Endpoint) tokenText(f *frame, r *Reply, part field) (secret.Text, error) {
	v, err := part.eval(f)
	switch {
	case err != nil:
	case v.isNull():
		return secret.Text{}, nil
	case v.kind != kindString:
		err = fmt.Errorf("a string is required, and it is %s", kindWord(v))
	case v.halved:
		err = errHalved
	case !validHeaderValue(v.text):
		err = errors.New("it has a control character in it")
	}
	if err != nil {
		return secret.Text{}, e.unreadable(f, r, part.String(), err)
	}
	return secret.New(strings.Clone(v.text)), nil
}

func kindWord(v value) string {
	switch v.kind {
	case kindNumber:
		return "a number"
	case kindBool:
		return "true or false"
	case kindString:
		return "a string"
	case kindJSON:
		if jsonValue(v.text).isObject() {
			return "an object"
		}
		return "a list"
	}
	return "something else"
}

// scopes reads what was granted: a list, or a string with separators.
func (e *Endpoint) scopes(f *frame, g *grantProgram, p *responseProgram) ([]string, error) {
	v, err := p.scopes.eval(f)
	if err != nil || v.isNull() {
		return nil, err
	}
	if v.kind != kindString {
		return v.texts()
	}
	split := func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }
	if a := g.grant.Authorize; a != nil && strings.TrimSpace(a.ScopeSeparator) != "" {
		sep := a.ScopeSeparator
		split = func(r rune) bool { return r == ' ' || strings.ContainsRune(sep, r) }
	}
	out := strings.FieldsFunc(v.text, split)
	for i := range out {
		out[i] = strings.Clone(out[i])
	}
	if len(out) == 0 {
		return nil, nil // an empty string says nothing
	}
	return out, nil
}

// readOutputs reads a token's further attributes. What a refresh's reply does
// not repeat stays as it was.
func readOutputs(p *mapProgram, f *frame, held spec.Values) (spec.Values, error) {
	if p == nil {
		return spec.Values{}, nil
	}
	out := map[string]cty.Value{}
	for _, s := range p.sources {
		for i := range s.members {
			m := &s.members[i]
			v, err := m.n(f)
			if err != nil {
				return spec.Values{}, &memberError{m.key, err}
			}
			if v.isNull() && held.Has(m.key) {
				out[m.key] = held.Cty(m.key)
				continue
			}
			if out[m.key], err = v.toCty(); err != nil {
				return spec.Values{}, &memberError{m.key, err}
			}
		}
	}
	return spec.NewValues(out), nil
}

// carry makes the header that an API call carries.
func (e *Endpoint) carry(f *frame, t *Token) error {
	t.HeaderName = e.headerName
	if e.header == nil {
		t.Header = t.AccessToken
		if strings.EqualFold(e.headerName, "Authorization") {
			t.Header = secret.New("Bearer " + t.AccessToken.Reveal())
		}
		return nil
	}
	c := *f.call
	c.Token = *t
	v, err := e.header(&frame{call: &c, config: f.config, functions: f.functions})
	var s string
	if err == nil {
		s, err = v.str()
	}
	if err == nil && !validHeaderValue(s) {
		err = errors.New("it has a character that a header cannot have")
	}
	if err != nil {
		return e.unreadable(f, nil, "header", err)
	}
	t.Header = secret.New(s)
	return nil
}
