package providers

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"tokend/pkg/spec"
)

// authorizeProgram is an authorization URL, compiled.
type authorizeProgram struct {
	spec                    *spec.Authorize
	url                     node
	query                   *mapProgram
	errorWhen, errorMessage node
}

func (c *compiler) authorize(a *spec.Authorize) *authorizeProgram {
	return &authorizeProgram{spec: a, url: c.expr(a.URL), query: c.mapOf(a.Query), errorWhen: c.expr(a.ErrorWhen), errorMessage: c.expr(a.ErrorMessage)}
}

// AuthorizeURL makes the URL that a person opens, from the call's Scopes and
// Flow (State, RedirectURI, CodeVerifier). What the type's query does not name
// itself is added: redirect_uri, scope, state, and the code challenge (S256)
// where the type has PKCE. There is no I/O.
func (e *Endpoint) AuthorizeURL(c Call) (string, error) {
	g, err := e.grant(&c)
	if err != nil {
		return "", err
	}
	p := g.authorize
	if p == nil {
		return "", &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("grant %q of provider type %s needs no authorization by a redirect", c.Grant, e.typ.Name)}
	}
	f, err := e.frame(&c, g)
	if err != nil {
		return "", err
	}
	v, err := p.url(f)
	if err == nil && v.isNull() {
		return "", e.noURL(&c, &requestProgram{urlReads: inputNames(p.spec)})
	}
	var s string
	if err == nil {
		s, err = v.str()
	}
	if err != nil {
		return "", e.configError(&c, "the authorization URL", err)
	}
	u, err := e.parseURL(s)
	if err != nil {
		return "", e.configError(&c, "the authorization URL", err)
	}
	members, err := p.query.eval(f)
	if err != nil {
		return "", e.configError(&c, "the authorization URL's query", err)
	}
	r := &Request{url: u, call: c}
	b, err := r.appendForm(nil, p.complete(members, &c))
	if err != nil {
		return "", e.configError(&c, "the authorization URL's query", err)
	}
	full := *u
	if full.RawQuery != "" && len(b) > 0 {
		full.RawQuery += "&"
	}
	full.RawQuery += string(b)
	return full.String(), nil
}

func inputNames(a *spec.Authorize) []string {
	var out []string
	for n := range spec.ReadsOf("input", a.URL) {
		out = append(out, n)
	}
	return out
}

// complete adds the parameters that every authorization has and the type's
// query does not name. A list of scopes is joined by the type's separator.
func (p *authorizeProgram) complete(members []member, c *Call) []member {
	named := map[string]bool{}
	for _, s := range p.query.written() {
		named[s] = true
	}
	for i, m := range members {
		named[m.key] = true
		if m.key == "scope" && (m.v.kind == kindCty || m.v.kind == kindJSON) {
			if texts, err := m.v.texts(); err == nil {
				members[i].v = stringValue(strings.Join(texts, p.spec.ScopeSeparator), false)
			}
		}
	}
	add := func(key, v string) {
		if v != "" && !named[key] {
			members = append(members, member{key, stringValue(v, false)})
		}
	}
	add("redirect_uri", c.Flow.RedirectURI)
	add("scope", strings.Join(c.Scopes, p.spec.ScopeSeparator))
	add("state", c.Flow.State)
	if p.spec.PKCE && !c.Flow.CodeVerifier.Empty() {
		sum := sha256.Sum256([]byte(c.Flow.CodeVerifier.Reveal()))
		add("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		add("code_challenge_method", "S256")
	}
	return members
}

// written lists the keys that are written out, also of members that are null
// and so left out: what a type leaves out on purpose is not added again.
func (p *mapProgram) written() []string {
	if p == nil {
		return nil
	}
	var out []string
	for _, s := range p.sources {
		for _, m := range s.members {
			if m.keyFor == nil {
				out = append(out, m.key)
			}
		}
	}
	return out
}

// RedirectError asks the type whether what a redirect brought (the call's
// Flow.Params) is an error, and returns it as an *Error of ClassLogin.
func (e *Endpoint) RedirectError(c Call) error {
	g, err := e.grant(&c)
	if err != nil {
		return err
	}
	p := g.authorize
	if p == nil {
		return nil
	}
	f := &frame{call: &c, config: e.provider.Config, functions: e.functions}
	if err := e.otherIssuer(f, g); err != nil {
		return err
	}
	code := c.Flow.Params["error"].Reveal()
	failed := code != ""
	if p.errorWhen != nil {
		v, err := p.errorWhen(f)
		if err == nil {
			failed, err = v.bool()
		}
		if err != nil {
			return e.configError(&c, "error_when", err)
		}
	}
	if !failed {
		return nil
	}
	said := ""
	if p.errorMessage != nil {
		if v, err := p.errorMessage(f); err == nil && v.kind == kindString {
			said = v.text
		}
	}
	if said == "" {
		said = c.Flow.Params["error_description"].Reveal()
	}
	out := &Error{Op: OpExchange, Class: ClassLogin, Code: codeText(code), Hint: "begin the login again"}
	if out.Code == "1" || out.Code == "true" {
		out.Code = "" // error=1 says that there is one, and not which
	}
	out.Message = clean(scrubbed(said, e.knownSecrets(&c)), 300)
	if out.Message == "" && out.Code == "" {
		out.Message = "the provider says that the authorization failed, and not why"
	}
	out.Err = ErrRefused
	return out
}

// ErrRefused is what an Error wraps when the redirect of a login brought an
// error instead of a code.
var ErrRefused = errors.New("the authorization was refused")
