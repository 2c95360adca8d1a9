// Package login goes with a person through an interactive grant: it makes the
// URL that the person opens, and reads what the redirect brings back.
//
//	pending, err := login.Start(endpoint, call)   // show pending.URL, keep pending
//	flow, err := pending.Finish(endpoint, call, redirected)
//
// Between the two lies a person, who may take an hour; so a [Pending] is data
// that can be sealed and opened again ([Pending.Seal], [Open]), and nothing here
// does I/O. What follows is an ordinary call: Op OpExchange with the Flow, or
// for an implicit grant providers.Endpoint.Read with a nil reply.
//
// The redirect is taken as people paste it: the whole URL, or its query or
// fragment alone. Its state is compared in constant time with the one that was
// sent, as strictly as the provider type says.
package login

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// What a caller may ask of an error of [Pending.Finish].
var (
	// ErrState: the redirect answers another login than this one.
	ErrState = errors.New("the redirect's state is not the one of this login")
	// ErrIncomplete: what was given is not a whole redirect. Asking again helps.
	ErrIncomplete = errors.New("this is not the redirected URL")
)

// Pending is a login that waits for a person. It holds secrets, which its
// String does not show.
type Pending struct {
	Grant       string
	URL         string // what the person opens; worthless to others without a session at the provider
	RedirectURI string // empty: left out
	Scopes      []string
	state       secret.Text
	verifier    secret.Text
}

// Start begins a login by a redirect. The call's Grant, Inputs, Scopes and
// Flow.RedirectURI are used. There is no I/O; where the type discovers its
// endpoints, providers.Endpoint.Discover must have succeeded before.
func Start(e *providers.Endpoint, c providers.Call) (Pending, error) {
	p := Pending{Grant: c.Grant, RedirectURI: c.Flow.RedirectURI, Scopes: slices.Clone(c.Scopes), state: random(), verifier: random()}
	c.Op = providers.OpExchange
	c.Flow.State, c.Flow.CodeVerifier = p.state.Reveal(), p.verifier
	u, err := e.AuthorizeURL(c)
	if err != nil {
		return Pending{}, err
	}
	p.URL = u
	return p, nil
}

// random is 32 random bytes in base64url: a state, or a code verifier of the
// length that RFC 7636 section 4.1 recommends.
func random() secret.Text {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return secret.New(base64.RawURLEncoding.EncodeToString(b[:]))
}

// State is what the redirect is recognized by among several pending logins.
func (p Pending) State() string { return p.state.Reveal() }

// String names the grant and nothing else.
func (p Pending) String() string { return "pending login by " + p.Grant }

// Format prints String for every verb.
func (p Pending) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// sealed is the form of [Pending.Seal].
type sealed struct {
	Grant       string   `json:"grant"`
	URL         string   `json:"url"`
	RedirectURI string   `json:"redirect_uri,omitempty"`
	Scopes      []string `json:"scopes"`
	State       string   `json:"state"`
	Verifier    string   `json:"verifier"`
}

// Seal encodes the login with its secrets in clear: the caller seals the bytes.
func (p Pending) Seal() ([]byte, error) {
	return json.Marshal(sealed{p.Grant, p.URL, p.RedirectURI, p.Scopes, p.state.Reveal(), p.verifier.Reveal()})
}

// Open reads what [Pending.Seal] wrote.
func Open(b []byte) (Pending, error) {
	var s sealed
	if err := json.Unmarshal(b, &s); err != nil {
		return Pending{}, errors.New("decoding a pending login: it is damaged")
	}
	if s.State == "" || s.Grant == "" {
		return Pending{}, errors.New("decoding a pending login: it is not complete")
	}
	return Pending{Grant: s.Grant, URL: s.URL, RedirectURI: s.RedirectURI, Scopes: s.Scopes, state: secret.New(s.State), verifier: secret.New(s.Verifier)}, nil
}

// Finish reads a redirect: the whole URL, or its query or fragment. An error
// that the provider reports there is a *providers.Error of ClassLogin; an error
// that is ErrIncomplete leaves the login pending.
func (p Pending) Finish(e *providers.Endpoint, c providers.Call, redirected string) (providers.Flow, error) {
	grant := e.Type().Grant(p.Grant)
	if grant == nil || grant.Authorize == nil {
		return providers.Flow{}, fmt.Errorf("finishing the login: provider type %s has no authorization by a redirect in grant %q", e.Type().Name, p.Grant)
	}
	if redirected = strings.TrimSpace(redirected); p.URL != "" && redirected == p.URL {
		return providers.Flow{}, fmt.Errorf("finishing the login: %w: it is the one to open; paste the one that the browser shows afterwards", ErrIncomplete)
	}
	params, err := parse(redirected, grant.Authorize.CodeFrom)
	if err != nil {
		return providers.Flow{}, fmt.Errorf("finishing the login: %w", err)
	}
	flow := providers.Flow{State: p.state.Reveal(), RedirectURI: p.RedirectURI, CodeVerifier: p.verifier, Params: make(map[string]secret.Text, len(params))}
	for name, v := range params {
		flow.Params[name] = secret.New(v)
	}
	flow.Code = flow.Params["code"]
	c.Op, c.Grant, c.Flow = providers.OpExchange, p.Grant, flow
	refused := e.RedirectError(c)
	// An error that a redirect of another login reports is none of this one's
	// business; one without any state is told, because APIs leave it out there.
	if _, there := params["state"]; there || refused == nil {
		if err := p.checkState(grant.Authorize, params); err != nil {
			return providers.Flow{}, fmt.Errorf("finishing the login: %w", err)
		}
	}
	if refused != nil {
		return providers.Flow{}, refused
	}
	if grant.Request != nil && flow.Code.Empty() {
		return providers.Flow{}, fmt.Errorf("finishing the login: %w: it has no code", ErrIncomplete)
	}
	return flow, nil
}

// parse takes the parameters out of what was pasted, from where the type says
// that they are.
func parse(redirected, from string) (map[string]string, error) {
	if redirected == "" {
		return nil, fmt.Errorf("%w: nothing was given", ErrIncomplete)
	}
	query, fragment, alone := split(redirected)
	var parts []string
	if from != spec.FromFragment || alone {
		parts = append(parts, query)
	}
	if from != spec.FromQuery {
		parts = append(parts, fragment)
	}
	out := map[string]string{}
	for _, part := range parts {
		values, err := url.ParseQuery(part)
		if err != nil {
			return nil, fmt.Errorf("%w: its parameters cannot be read", ErrIncomplete)
		}
		for name, v := range values {
			if _, twice := out[name]; twice || len(v) > 1 {
				return nil, fmt.Errorf("%w: the parameter %s is there twice", ErrIncomplete, safeName(name))
			}
			out[name] = v[0]
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: it has no parameters in its %s", ErrIncomplete, strings.ReplaceAll(from, "_", " "))
	}
	return out, nil
}

// split finds query and fragment. Parameters alone, without ? or #, are given as
// the query, and count wherever the type reads.
func split(s string) (query, fragment string, alone bool) {
	head, fragment, hasFragment := strings.Cut(s, "#")
	before, query, hasQuery := strings.Cut(head, "?")
	if !hasFragment && !hasQuery && !strings.Contains(before, "://") && strings.Contains(before, "=") {
		return before, "", true
	}
	return query, fragment, false
}

// safeName is a parameter's name when it looks like one.
func safeName(name string) string {
	if len(name) > 24 || strings.IndexFunc(name, func(r rune) bool { return r != '_' && r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) >= 0 {
		return "of a strange name"
	}
	return name
}

// checkState compares the redirect's state with ours. Where the type says
// if_returned, an API may leave it out, leave it empty, or put the granted
// scopes there; anything else is refused there too.
func (p Pending) checkState(a *spec.Authorize, params map[string]string) error {
	got, there := params["state"]
	if secret.New(got).Equal(p.state) && got != "" {
		return nil
	}
	if a.State == spec.StateIfReturned && (!there || got == "" || p.grantedScopes(a, got, params["scope"])) {
		return nil
	}
	if !there {
		return fmt.Errorf("%w: it has none", ErrState)
	}
	return ErrState
}

// grantedScopes reports whether the state is a list of scopes: those that the
// redirect says were granted, or some of those asked for. Where neither is
// known, it must at least look like scopes.
func (p Pending) grantedScopes(a *spec.Authorize, state, granted string) bool {
	list := scopeList(a, state)
	if len(list) == 0 {
		return false
	}
	if granted != "" {
		return slices.Equal(list, scopeList(a, granted))
	}
	for _, s := range list {
		if len(p.Scopes) > 0 && !slices.Contains(p.Scopes, s) || !looksLikeScope(s) {
			return false
		}
	}
	return true
}

// scopeList splits scopes at spaces, pluses, commas and the type's separator,
// sorted.
func scopeList(a *spec.Authorize, s string) []string {
	list := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" +,"+a.ScopeSeparator, r) })
	sort.Strings(list)
	return list
}

// looksLikeScope is true for words of small letters, as scopes are named; a
// state of ours, or of another client, is not of this kind.
func looksLikeScope(s string) bool {
	return len(s) <= 40 && strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' && r != ':' && r != '.' }) < 0
}
