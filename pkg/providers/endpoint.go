package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"tokend/pkg/spec"
)

// Options are what an Endpoint has from its surroundings.
type Options struct {
	// Logger gets debug lines about requests, without any secret; nil: none.
	Logger *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// DialContext replaces the dialler, for tests without a network.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// AllowOrigin, when set, says why nothing may be sent to an origin
	// (scheme://host:port) for a provider type, in a sentence; nil: it may.
	AllowOrigin func(typ, origin string) error
	// UserAgent of every request; empty: "tokend".
	UserAgent string
	// MadeUpKeys has jwt_sign sign by a key of its own where the one that it is given
	// is no private key: for requests that are shown and never made.
	MadeUpKeys bool
}

// Endpoint is a provider type with the settings of one provider block, compiled
// and with an HTTP client of its own. It is immutable and safe for concurrent
// use; [Endpoint.Close] it when nothing uses it any more.
type Endpoint struct {
	provider        spec.Provider
	typ             *spec.ProviderType
	options         Options
	transport       *http.Transport
	unpooled        *http.Transport
	kept            *keptConns // nil: every request goes the standard way
	timeout         time.Duration
	functions       map[string]function.Function
	grants          map[string]*grantProgram
	actions         map[string]*requestProgram
	errors          *errorProgram
	verify          *requestProgram
	header          node
	headerName      string
	defaultLifetime time.Duration
	discovery       node
	issuers         sync.Map // issuer -> *metadata
}

// grantProgram is a grant with its effective parts, compiled.
type grantProgram struct {
	grant           *spec.GrantType
	request         *requestProgram
	response        *responseProgram
	refresh         *requestProgram
	refreshResponse *responseProgram
	revoke          *requestProgram
	device          *requestProgram
	deviceResponse  *deviceProgram
	authorize       *authorizeProgram
	outputs         *mapProgram
	traits          Traits
	needs           map[Op][]string
}

// NewEndpoint compiles p. It reads the CA file, and finds out mistakes in the
// HTTP settings and in what the type makes of its settings.
func NewEndpoint(p *spec.Provider, o Options) (*Endpoint, error) {
	// The type is read again from its text: closures then refer to a tree that
	// belongs to this endpoint alone, whatever the configuration drops.
	typ, diags := spec.ParseProviderType(p.Type.Source, p.Type.Builtin)
	if diags.HasErrors() {
		return nil, fmt.Errorf("reading the provider type %s of %s: %w", p.Type.Name, p.Addr, diags)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.UserAgent == "" {
		o.UserAgent = "tokend"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Endpoint{provider: *p, typ: typ, options: o, timeout: p.HTTP.Timeout, grants: map[string]*grantProgram{}, actions: map[string]*requestProgram{}}
	e.provider.Type = typ
	if e.timeout <= 0 {
		e.timeout = defaultTimeout
	}
	e.functions = spec.TypeFunctions()
	e.functions["jwt_sign"] = spec.JWTSignFunction(signJWT)
	if o.MadeUpKeys {
		e.functions["jwt_sign"] = spec.JWTSignFunction(signMadeUp)
	}
	if err := e.newTransports(); err != nil {
		return nil, fmt.Errorf("preparing the HTTP client of %s: %w", p.Addr, err)
	}
	if err := e.compile(); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", p.Addr, err)
	}
	return e, nil
}

// Close ends idle connections. Calls that are under way go on.
func (e *Endpoint) Close() {
	e.kept.closeIdle()
	e.transport.CloseIdleConnections()
	e.unpooled.CloseIdleConnections()
}

// Type is the provider type of this endpoint, which must not be changed.
func (e *Endpoint) Type() *spec.ProviderType { return e.typ }

// Provider is the provider block that this endpoint was made from.
func (e *Endpoint) Provider() spec.Provider { return e.provider }

func (e *Endpoint) compile() error {
	c := &compiler{config: e.provider.Config, functions: e.functions}
	f := &frame{config: e.provider.Config, functions: e.functions, call: &Call{}}
	t := e.typ
	var err error
	if e.headerName, err = constantText(c.expr(t.HeaderName), f, "Authorization"); err != nil || !validHeaderName(e.headerName) {
		return fmt.Errorf("header_name is not the name of a header")
	}
	lifetime, err := constantText(c.expr(t.DefaultLifetime), f, "")
	if err != nil {
		return fmt.Errorf("reading default_lifetime: %w", err)
	}
	if e.defaultLifetime, err = parseLifetime(lifetime); err != nil {
		return fmt.Errorf("reading default_lifetime: %w", err)
	}
	e.header = c.expr(t.Header)
	e.discovery = c.expr(t.Discovery)
	e.errors = c.errors(t.Errors)
	if t.Verify != nil {
		e.verify = c.request(t.Verify.Request)
	}
	for _, a := range t.Actions {
		e.actions[a.Name] = c.request(a.Request)
	}
	for _, g := range t.Grants {
		e.grants[g.Name] = e.compileGrant(c, g)
	}
	return nil
}

func constantText(n node, f *frame, def string) (string, error) {
	if n == nil {
		return def, nil
	}
	v, err := n(f)
	if err != nil {
		return "", err
	}
	if v.isNull() {
		return def, nil
	}
	return v.str()
}

// parseLifetime reads a duration, or a number of seconds.
func parseLifetime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if n, ok := parseNumber(s); ok {
		secs, _ := n.Int64()
		if secs > 0 && secs < maxLifetimeSeconds {
			return time.Duration(secs) * time.Second, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is neither a duration like \"1h\" nor a number of seconds", s)
}

func (e *Endpoint) compileGrant(c *compiler, g *spec.GrantType) *grantProgram {
	t := e.typ
	p := &grantProgram{
		grant: g, request: c.request(g.Request), response: c.response(t.ResponseOf(g)), outputs: c.mapOf(g.Outputs),
		traits: Traits{
			Static: g.Static, Interactive: g.Interactive(), Device: g.Device != nil, Implicit: g.Authorize != nil && g.Request == nil,
			Lockout: g.Lockout, Session: t.Session, HasVerify: t.Verify != nil, HeaderName: e.headerName, DefaultLifetime: e.defaultLifetime,
			Discovers: t.Discovery != nil && t.Discovers(g),
		},
	}
	for i := range g.Inputs {
		if g.Inputs[i].Sensitive {
			p.traits.Secrets = append(p.traits.Secrets, g.Inputs[i].Name)
		}
	}
	if r := t.RefreshOf(g); r != nil {
		p.refresh, p.refreshResponse = c.request(r.Request), c.response(t.RefreshResponseOf(g))
		p.traits.HasRefresh, p.traits.Rotates, p.traits.ReplayWindow = true, r.Rotates, r.ReplayWindow
		p.traits.RefreshTokenLifetime, p.traits.InvalidatesAccessToken = r.TokenLifetime, r.InvalidatesAccessToken
	}
	if r := t.RevokeOf(g); r != nil {
		p.revoke = c.request(r.Request)
		names := spec.ReadsOf("token", r.Request.Exprs()...)
		p.traits.HasRevoke, p.traits.RevokeOn, p.traits.RevokeNeeds = true, r.On, r.Needs
		p.traits.RevokeNamesAccess = names["access_token"] || names["header"] || names[""]
		p.traits.RevokeNamesRefresh = names["refresh_token"] || names[""]
	}
	if a := g.Authorize; a != nil {
		p.authorize = c.authorize(a)
	}
	if d := g.Device; d != nil {
		p.device, p.deviceResponse = c.request(d.Request), c.device(d.Response)
	}
	p.needs = e.needs(g)
	return p
}

// needs lists the inputs that each operation reads, with those that finding the
// issuer's metadata, judging an error and making the header read.
func (e *Endpoint) needs(g *spec.GrantType) map[Op][]string {
	t := e.typ
	always := []hcl.Expression{t.Header}
	if r := t.Errors; r != nil {
		always = append(always, r.Gone, r.Permanent, r.Transient, r.Login, r.Code, r.Message)
	}
	list := func(exprs ...hcl.Expression) []string {
		exprs = append(exprs, always...)
		if len(spec.ReadsOf("discovered", exprs...)) > 0 {
			exprs = append(exprs, t.Discovery)
		}
		reads := spec.ReadsOf("input", exprs...)
		names := []string{}
		for _, in := range g.Inputs {
			if reads[in.Name] || reads[""] {
				names = append(names, in.Name)
			}
		}
		sort.Strings(names)
		return names
	}
	out := map[Op][]string{}
	grant := append(g.Request.Exprs(), t.ResponseOf(g).Exprs()...)
	if g.Authorize != nil {
		grant = append(grant, g.Authorize.URL, g.Authorize.Query, g.Authorize.ErrorWhen, g.Authorize.ErrorMessage)
	}
	if g.Device != nil {
		grant = append(grant, g.Device.Request.Exprs()...)
	}
	grant = append(grant, g.Outputs)
	for _, op := range []Op{OpGrant, OpExchange, OpDevice} {
		out[op] = list(grant...)
	}
	if r := t.RefreshOf(g); r != nil {
		out[OpRefresh] = list(append(r.Request.Exprs(), t.RefreshResponseOf(g).Exprs()...)...)
	}
	if r := t.RevokeOf(g); r != nil {
		out[OpRevoke] = list(r.Request.Exprs()...)
	}
	// A verification without a request of its own goes where the grant went.
	verify := []hcl.Expression{}
	if g.Request != nil {
		verify = append(verify, g.Request.URL)
	}
	if t.Verify != nil {
		verify = append(verify, t.Verify.Request.Exprs()...)
	}
	out[OpVerify] = list(verify...)
	var actions []hcl.Expression
	for _, a := range t.Actions {
		actions = append(actions, a.Request.Exprs()...)
	}
	out[OpAction] = list(actions...)
	return out
}

// Needs lists, sorted, the inputs that the requests of an operation, the reading
// of its replies and the header that an API call carries are made of; of
// OpAction those of all actions. `scopes` is none of them: [Call] has it.
func (e *Endpoint) Needs(op Op, grant string) []string {
	g := e.grants[grant]
	if g == nil {
		return nil
	}
	return slices.Clip(g.needs[op])
}

// Traits says what a grant is like, in lists that are not to be changed; the zero Traits for a grant that the type
// does not have.
func (e *Endpoint) Traits(grant string) Traits {
	g := e.grants[grant]
	if g == nil {
		return Traits{}
	}
	t := g.traits
	t.RevokeOn, t.Secrets = slices.Clip(t.RevokeOn), slices.Clip(t.Secrets)
	return t
}

// Action returns an action of the type, or nil.
func (e *Endpoint) Action(name string) *spec.Action { return e.typ.Action(name) }

// grant finds the program of a call's grant.
func (e *Endpoint) grant(c *Call) (*grantProgram, error) {
	if g := e.grants[c.Grant]; g != nil {
		return g, nil
	}
	names := make([]string, 0, len(e.grants))
	for n := range e.grants {
		names = append(names, n)
	}
	sort.Strings(names)
	return nil, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("provider type %s has no grant %q", e.typ.Name, c.Grant),
		Hint: "its grants are " + strings.Join(names, ", ")}
}

// RateLimit is how often the provider may be asked, as its block says it.
func (e *Endpoint) RateLimit() spec.RateLimit { return e.provider.RateLimit }

// encoded is the form of [Endpoint.Encode].
type encoded struct {
	Version       int               `json:"version"`
	Addr          spec.Address      `json:"addr"`
	Builtin       bool              `json:"builtin,omitempty"`
	Source        string            `json:"source"`
	Config        json.RawMessage   `json:"config"`
	HTTP          spec.HTTPSettings `json:"http"`
	RateLimit     spec.RateLimit    `json:"rate_limit"`
	AllowInsecure bool              `json:"allow_insecure_http,omitempty"`
}

// Encode gives everything that [DecodeEndpoint] needs to make this endpoint
// again after its block is gone. Sensitive settings are in it in clear: the
// caller seals it.
func (e *Endpoint) Encode() ([]byte, error) {
	config, err := e.provider.Config.Seal(nil)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", e.provider.Addr, err)
	}
	return json.Marshal(encoded{
		Version: 1, Addr: e.provider.Addr, Builtin: e.typ.Builtin, Source: string(e.typ.Source), Config: config,
		HTTP: e.provider.HTTP, RateLimit: e.provider.RateLimit, AllowInsecure: e.provider.AllowInsecureHTTP,
	})
}

// DecodeEndpoint makes an endpoint from what [Endpoint.Encode] wrote.
func DecodeEndpoint(b []byte, o Options) (*Endpoint, error) {
	var in encoded
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, errors.New("decoding a recorded provider: it is damaged")
	}
	if in.Version < 1 {
		return nil, errors.New("decoding a recorded provider: it is damaged: it does not say its format")
	}
	if in.Version > 1 {
		return nil, fmt.Errorf("decoding the recorded provider %s: it was written by a newer tokend (format %d)", in.Addr, in.Version)
	}
	config, err := spec.OpenValues(in.Config)
	if err != nil {
		return nil, fmt.Errorf("decoding the recorded provider %s: its settings are damaged", in.Addr)
	}
	typ, diags := spec.ParseProviderType([]byte(in.Source), in.Builtin)
	if diags.HasErrors() {
		return nil, fmt.Errorf("decoding the recorded provider %s: reading its type: %w", in.Addr, diags)
	}
	return NewEndpoint(&spec.Provider{
		Addr: in.Addr, Type: typ, Config: config, HTTP: in.HTTP, RateLimit: in.RateLimit, AllowInsecureHTTP: in.AllowInsecure,
	}, o)
}

// values of a field that is required can never be null; a caller that forgot
// one would otherwise send a request that lacks it.
func missingInput(g *spec.GrantType, in spec.Values, names []string) string {
	for _, f := range g.Inputs {
		if f.Default != nil {
			continue
		}
		for _, n := range names {
			if v := in.Cty(n); n == f.Name && isNull(v) {
				return n
			}
		}
	}
	return ""
}

func isNull(v cty.Value) bool {
	v, _ = v.Unmark()
	return v.IsNull()
}
