package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// grant reads a `grant` block.
func (d *typeDecoder) grant(b *hcl.Block) {
	d.label(b, "grant")
	g := &GrantType{Name: b.Labels[0], Inputs: append([]Field(nil), d.shared...)}
	for _, other := range d.t.Grants {
		if other.Name == g.Name {
			d.add(problem(b.DefRange, "Duplicate grant", "There is a grant %q already.", g.Name))
		}
	}
	d.grantAt[g] = b.DefRange
	c := d.content(b.Body, b.DefRange, b.Type, typeGrantSchema())
	d.text(c, "summary", &g.Summary)
	d.flag(c, "static", &g.Static)
	g.NoRefresh = d.unset(c, "refreshable")
	g.NoRevoke = d.unset(c, "revocable")
	g.Outputs = d.expr(c, "outputs")
	for _, in := range c.Blocks.OfType("input") {
		g.Inputs = d.field(g.Inputs, in, "input", reservedInputs())
	}
	if d.has(c, "request") {
		g.Request = d.request(c, b)
	}
	if r := d.single(c, "response"); r != nil {
		g.Response = d.response(r)
	}
	if r := d.single(c, "refresh"); r != nil {
		g.Refresh = d.refresh(r)
	}
	if r := d.single(c, "revoke"); r != nil {
		g.Revoke = d.revoke(r)
	}
	if a := d.single(c, "authorize"); a != nil {
		g.Authorize = d.authorize(a)
	}
	if dev := d.single(c, "device"); dev != nil {
		g.Device = d.device(dev)
	}
	if !d.flag(c, "lockout", &g.Lockout) {
		g.Lockout = countsAgainstAccount(g)
	}
	d.t.Grants = append(d.t.Grants, g)
}

// unset reports whether a flag is given as false.
func (d *typeDecoder) unset(c *hcl.BodyContent, name string) bool {
	on := true
	d.flag(c, name, &on)
	return !on
}

func (d *typeDecoder) has(c *hcl.BodyContent, block string) bool {
	return len(c.Blocks.OfType(block)) > 0
}

// countsAgainstAccount is the default of `lockout`: what a request proves with
// a secret of an account can lock the account; a client's secret cannot.
func countsAgainstAccount(g *GrantType) bool {
	if g.Request == nil {
		return false
	}
	for name := range readsOf("input", g.Request.Exprs()...) {
		for _, in := range g.Inputs {
			if in.Sensitive && in.Name != "client_secret" && (name == in.Name || name == "") {
				return true
			}
		}
	}
	return false
}

// request reads the `request` block in content, which it must have.
func (d *typeDecoder) request(content *hcl.BodyContent, in *hcl.Block) *Request {
	b := d.single(content, "request")
	if b == nil {
		d.add(problem(in.DefRange, "Missing request", "The %s block needs a request block.", in.Type))
		return nil
	}
	c := d.content(b.Body, b.DefRange, b.Type, typeRequestSchema(""))
	r := &Request{
		Method: d.expr(c, "method"), URL: d.expr(c, "url"), JSON: d.expr(c, "json"), Form: d.expr(c, "form"),
		Query: d.expr(c, "query"), Headers: d.expr(c, "headers"), Range: b.DefRange,
	}
	if r.JSON != nil && r.Form != nil {
		d.add(problem(c.Attributes["form"].NameRange, "Two bodies", "A request has either json or form, not both."))
	}
	return r
}

// Exprs lists the request's expressions; some may be nil. A nil Request has none.
func (r *Request) Exprs() []hcl.Expression {
	if r == nil {
		return nil
	}
	return []hcl.Expression{r.Method, r.URL, r.JSON, r.Form, r.Query, r.Headers}
}

func (d *typeDecoder) response(b *hcl.Block) *Response {
	c := d.content(b.Body, b.DefRange, b.Type, typeResponseSchema())
	if c.Attributes["access_token"] == nil {
		d.add(hinted(problem(b.DefRange, "Missing access_token", "A response must say where the access token is."),
			"For most APIs it is access_token = body.access_token."))
	}
	return &Response{
		AccessToken: d.expr(c, "access_token"), RefreshToken: d.expr(c, "refresh_token"), TokenType: d.expr(c, "token_type"),
		ExpiresIn: d.expr(c, "expires_in"), ExpiresAt: d.expr(c, "expires_at"), Scopes: d.expr(c, "scopes"),
		Outputs: d.expr(c, "outputs"), Range: b.DefRange,
	}
}

// Exprs lists the response's expressions; some may be nil. A nil Response has none.
func (r *Response) Exprs() []hcl.Expression {
	if r == nil {
		return nil
	}
	return []hcl.Expression{r.AccessToken, r.RefreshToken, r.TokenType, r.ExpiresIn, r.ExpiresAt, r.Scopes, r.Outputs}
}

func (d *typeDecoder) refresh(b *hcl.Block) *Refresh {
	c := d.content(b.Body, b.DefRange, b.Type, typeRefreshSchema())
	r := &Refresh{Rotates: RotatesObserve}
	if a := c.Attributes["rotates"]; a != nil {
		if v, ok := d.constant(a); ok {
			s, err := convert.Convert(v, cty.String)
			if err != nil || s.IsNull() || !contains([]string{RotatesAlways, RotatesNever, RotatesObserve}, s.AsString()) {
				d.add(problem(a.Expr.Range(), "Unknown value", "rotates must be true, false or \"observe\"."))
			} else {
				r.Rotates = s.AsString()
			}
		}
	}
	d.duration(c, "replay_window", &r.ReplayWindow)
	if r.ReplayWindow > 0 && r.ReplayWindow <= ReplayMargin {
		w := problem(c.Attributes["replay_window"].Expr.Range(), "Too short to repeat a refresh",
			"A refresh is repeated %s before the end of its replay_window at the latest, so that none comes too late: within %s there is no time for that.", ReplayMargin, r.ReplayWindow)
		w.Severity = hcl.DiagWarning
		d.add(hinted(w, "leave it out, or give it the time that the API documents"))
	}
	d.duration(c, "token_lifetime", &r.TokenLifetime)
	d.flag(c, "invalidates_access_token", &r.InvalidatesAccessToken)
	r.Request = d.request(c, b)
	if rb := d.single(c, "response"); rb != nil {
		r.Response = d.response(rb)
	}
	return r
}

func (d *typeDecoder) revoke(b *hcl.Block) *Revoke {
	c := d.content(b.Body, b.DefRange, b.Type, typeRevokeSchema())
	r := &Revoke{On: []string{RevokeOnRemove, RevokeOnReplace}}
	if a := c.Attributes["on"]; a != nil {
		r.On = d.strings(a)
		allowed := []string{RevokeOnRemove, RevokeOnReplace, RevokeOnRefresh}
		for _, on := range r.On {
			if !contains(allowed, on) {
				d.add(problem(a.Expr.Range(), "Unknown value", "on lists %s; %q is none of them.%s", orList(allowed), on, suggest(on, allowed)))
			}
		}
	}
	d.oneOf(c, "needs", &r.Needs, "access_token", "refresh_token")
	r.Request = d.request(c, b)
	return r
}

// What `state` and `code_from` of an authorization may say.
const (
	StateRequired       = "required"
	StateIfReturned     = "if_returned"
	FromQuery           = "query"
	FromFragment        = "fragment"
	FromQueryOrFragment = "query_or_fragment"
)

func (d *typeDecoder) authorize(b *hcl.Block) *Authorize {
	c := d.content(b.Body, b.DefRange, b.Type, typeAuthorizeSchema())
	a := &Authorize{
		URL: d.expr(c, "url"), Query: d.expr(c, "query"), ErrorWhen: d.expr(c, "error_when"), ErrorMessage: d.expr(c, "error_message"),
		ScopeSeparator: " ", State: StateRequired, CodeFrom: FromQuery,
	}
	d.text(c, "scope_separator", &a.ScopeSeparator)
	d.flag(c, "pkce", &a.PKCE)
	d.oneOf(c, "state", &a.State, StateRequired, StateIfReturned)
	d.oneOf(c, "code_from", &a.CodeFrom, FromQuery, FromFragment, FromQueryOrFragment)
	return a
}

func (d *typeDecoder) device(b *hcl.Block) *Device {
	schema := typeDeviceSchema()
	c := d.content(b.Body, b.DefRange, b.Type, schema)
	dev := &Device{Request: d.request(c, b)}
	r := d.single(c, "response")
	if r == nil {
		d.add(problem(b.DefRange, "Missing response", "The device block needs a response block that says where device_code, user_code and verification_uri are."))
		return dev
	}
	rc := d.content(r.Body, r.DefRange, r.Type, schema.nested("response").Schema)
	dev.Response = &DeviceResponse{
		DeviceCode: d.expr(rc, "device_code"), UserCode: d.expr(rc, "user_code"), VerificationURI: d.expr(rc, "verification_uri"),
		VerificationURIComplete: d.expr(rc, "verification_uri_complete"), ExpiresIn: d.expr(rc, "expires_in"), Interval: d.expr(rc, "interval"),
	}
	return dev
}

// Exprs lists the expressions; some may be nil.
func (r *DeviceResponse) Exprs() []hcl.Expression {
	if r == nil {
		return nil
	}
	return []hcl.Expression{r.DeviceCode, r.UserCode, r.VerificationURI, r.VerificationURIComplete, r.ExpiresIn, r.Interval}
}

func (d *typeDecoder) errors(b *hcl.Block) *Errors {
	c := d.content(b.Body, b.DefRange, b.Type, typeErrorSchema())
	return &Errors{
		Gone: d.expr(c, "gone"), Permanent: d.expr(c, "permanent"), Transient: d.expr(c, "transient"), Login: d.expr(c, "login"),
		Code: d.expr(c, "code"), Message: d.expr(c, "message"),
	}
}

func (d *typeDecoder) action(b *hcl.Block) {
	d.label(b, "action")
	a := &Action{Name: b.Labels[0]}
	for _, other := range d.t.Actions {
		if other.Name == a.Name {
			d.add(problem(b.DefRange, "Duplicate action", "There is an action %q already.", a.Name))
		}
	}
	c := d.content(b.Body, b.DefRange, b.Type, typeActionSchema())
	d.text(c, "summary", &a.Summary)
	d.flag(c, "destructive", &a.Destructive)
	d.flag(c, "ends_account", &a.EndsAccount)
	a.Request = d.request(c, b)
	d.t.Actions = append(d.t.Actions, a)
}
