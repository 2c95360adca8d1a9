package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// checkParts reports what is missing or contradicts itself, and lists the
// places of all expressions for checkScopes.
func (d *typeDecoder) checkParts() {
	t := d.t
	if len(t.Grants) == 0 {
		d.add(problem(t.DeclRange, "Missing grant", "A provider type needs at least one grant block: a way of obtaining a token."))
		return
	}
	for _, g := range t.Grants {
		d.checkGrant(g)
	}
	if t.Refresh != nil && !d.anyGrant(func(g *GrantType) bool { return t.RefreshOf(g) == t.Refresh }) {
		d.add(hinted(problem(d.blocks.refresh, "Refresh without a refresh token", "No grant can use this refresh: it names token.refresh_token, and no response says where a refresh token is."),
			"For most APIs it is refresh_token = body.refresh_token in the response."))
	}
	if t.Revoke != nil && !d.anyGrant(func(g *GrantType) bool { return t.RevokeOf(g) == t.Revoke }) {
		d.add(problem(d.blocks.revoke, "Revocation without a token", "No grant can use this revoke: it names token.refresh_token, and no response says where a refresh token is."))
	}
	if t.Response != nil && !d.anyGrant(func(g *GrantType) bool { return d.usesTypeResponse(g) }) {
		d.add(problem(d.blocks.response, "Unused response", "No grant reads its replies by this response: each is static or has its own."))
	}
	d.typePlaces()
}

func (d *typeDecoder) anyGrant(f func(*GrantType) bool) bool { return len(d.grantsWhere(f)) > 0 }

func (d *typeDecoder) grantsWhere(f func(*GrantType) bool) []*GrantType {
	var out []*GrantType
	for _, g := range d.t.Grants {
		if f(g) {
			out = append(out, g)
		}
	}
	return out
}

func (d *typeDecoder) usesTypeResponse(g *GrantType) bool {
	if d.t.ResponseOf(g) == d.t.Response {
		return true
	}
	return d.t.RefreshOf(g) != nil && d.t.RefreshResponseOf(g) == d.t.Response
}

func (d *typeDecoder) checkGrant(g *GrantType) {
	at := d.grantAt[g]
	if g.Static {
		d.checkStatic(g, at)
		d.grantPlaces(g)
		return
	}
	if g.Authorize != nil && g.Device != nil {
		d.add(problem(at, "Two ways to log in", "Grant %q has both an authorize and a device block; only one is allowed.", g.Name))
	}
	if g.Outputs != nil {
		d.add(hinted(problem(g.Outputs.Range(), "Outputs out of place", "Only a static grant has outputs of its own; those of %q are read from a reply.", g.Name), "Move outputs into the response block."))
	}
	switch {
	case g.Request == nil && g.Device != nil:
		d.add(problem(at, "Missing request", "Grant %q has a device block, and no request that exchanges flow.device_code for a token.", g.Name))
	case g.Request == nil && g.Authorize == nil:
		d.add(hinted(problem(at, "Missing request", "Grant %q does not say how a token is obtained.", g.Name), "Add a request block; or an authorize or device block where a person takes part; or static = true where the inputs are the credential."))
	}
	if d.t.ResponseOf(g) == nil {
		d.add(hinted(problem(at, "Missing response", "Nothing says how a reply to grant %q reads.", g.Name), "Add a response block to the type or to the grant."))
	}
	if g.Request != nil && g.Interactive() {
		d.checkExchange(g, at)
	}
	d.grantPlaces(g)
}

// checkExchange reports a request that does not use what the person brought.
func (d *typeDecoder) checkExchange(g *GrantType, at hcl.Range) {
	reads := readsOf("flow", g.Request.Exprs()...)
	for name := range reads {
		if !contains(flowOf(g), name) {
			return // all of flow, or a slip of the pen that is reported by itself
		}
	}
	switch {
	case g.Device != nil && !reads["device_code"]:
		d.add(problem(g.Request.Range, "Missing device code", "The request of grant %q never names flow.device_code, so it cannot be answered with a token.", g.Name))
	case g.Authorize != nil && !reads["code"] && !reads["params"]:
		d.add(problem(g.Request.Range, "Missing code", "The request of grant %q never names flow.code, so it cannot be answered with a token.", g.Name))
	case g.Authorize != nil && g.Authorize.PKCE && !reads["code_verifier"]:
		d.add(problem(g.Request.Range, "Missing code verifier", "Grant %q says pkce = true, and its request never names flow.code_verifier.", g.Name))
	}
}

func (d *typeDecoder) checkStatic(g *GrantType, at hcl.Range) {
	for _, part := range []struct {
		there bool
		name  string
	}{
		{g.Request != nil, "request"}, {g.Authorize != nil, "authorize"}, {g.Device != nil, "device"}, {g.Refresh != nil, "refresh"}, {g.Revoke != nil, "revoke"},
	} {
		if part.there {
			d.add(problem(at, "Static grant with a "+part.name, "Grant %q is static: its inputs are the credential, so it can have no %s block.", g.Name, part.name))
			return
		}
	}
	if g.Outputs == nil && g.Response == nil {
		d.add(hinted(problem(at, "Missing outputs", "Static grant %q does not say what its credentials give.", g.Name), "Add outputs = { NAME = input.NAME }."))
	}
}

// inResponse is the scope in which a reply to a grant is read.
func inResponse(what string, flow []string, reply bool) typeScope {
	s := typeScope{what: what, config: true, input: true, flow: flow, reply: reply, tokenWhy: "is what this response shall say; only a refresh has a token already"}
	return s
}

func inRequest(what string, token, flow []string) typeScope {
	return typeScope{what: what, config: true, input: true, request: true, token: token, flow: flow, tokenWhy: "is not there yet: this request shall obtain it"}
}

// flowOf is what an interactive grant's request and response may name; nil for
// the others.
func flowOf(g *GrantType) []string {
	switch {
	case g.Device != nil:
		return []string{"device_code"}
	case g.Authorize != nil:
		return []string{"code", "state", "redirect_uri", "code_verifier", "params"}
	}
	return nil
}

// laterFlow is what stays of a flow for refresh and revocation.
func laterFlow(grants ...*GrantType) []string {
	for _, g := range grants {
		if g.Authorize == nil {
			return nil
		}
	}
	return []string{"redirect_uri"}
}

func (d *typeDecoder) place(e hcl.Expression, s typeScope, want cty.Type, wants string, grants ...*GrantType) {
	if e != nil {
		d.places = append(d.places, typePlace{expr: e, scope: s, want: want, wants: wants, grants: grants})
	}
}

// request lists the places of a request.
func (d *typeDecoder) requestPlaces(r *Request, s typeScope, grants ...*GrantType) {
	if r == nil {
		return
	}
	d.place(r.Method, s, cty.String, "a string", grants...)
	d.place(r.URL, s, cty.String, "a string", grants...)
	d.place(r.JSON, s, cty.NilType, "", grants...)
	for _, e := range []hcl.Expression{r.Form, r.Query, r.Headers} {
		d.place(e, s, cty.EmptyObject, "a map", grants...)
	}
	d.checkLiteralMethod(r)
}

// checkLiteralMethod reports a method that no API has.
func (d *typeDecoder) checkLiteralMethod(r *Request) {
	if r.Method == nil {
		return
	}
	v, diags := r.Method.Value(nil)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
		return
	}
	if methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}; !contains(methods, v.AsString()) {
		d.add(problem(r.Method.Range(), "Unknown method", "method must be one of %s.%s", orList(methods), suggest(v.AsString(), methods)))
	}
}

func (d *typeDecoder) responsePlaces(r *Response, s typeScope, grants ...*GrantType) {
	if r == nil {
		return
	}
	str := "a string"
	d.place(r.AccessToken, s, cty.String, str, grants...)
	d.place(r.RefreshToken, s, cty.String, str, grants...)
	d.place(r.TokenType, s, cty.String, str, grants...)
	d.place(r.ExpiresIn, s, cty.Number, "a number of seconds", grants...)
	d.place(r.ExpiresAt, s, cty.String, "Unix seconds or an RFC 3339 time", grants...)
	d.place(r.Scopes, s, cty.NilType, "", grants...)
	d.outputsPlace(r.Outputs, s, grants...)
	for name, e := range map[string]hcl.Expression{"access_token": r.AccessToken, "refresh_token": r.RefreshToken} {
		if e != nil && len(e.Variables()) == 0 {
			d.add(hinted(hideSource(problem(e.Range(), "Constant token", "%s reads nothing, so every credential would have the same.", name)),
				"Read it from the reply: body.%s; in JSON syntax \"${body.%s}\".", name, name))
		}
	}
}

// outputsPlace checks that outputs are written out, so that their names are
// known before there is a reply.
func (d *typeDecoder) outputsPlace(e hcl.Expression, s typeScope, grants ...*GrantType) {
	if e == nil {
		return
	}
	d.place(e, s, cty.EmptyObject, "a map", grants...)
	items := objectItems(e)
	if _, isObject := unwrapParens(e).(*hclsyntax.ObjectConsExpr); !isObject {
		d.add(problem(e.Range(), "Outputs that are not written out", "outputs must be written as { name = expression }, because their names become attributes of the credential."))
		return
	}
	common := []string{"access_token", "refresh_token", "token_type", "header_name", "header", "expires_at", "obtained_at", "scopes", "generation"}
	for _, item := range items {
		name, ok := literalKey(item)
		switch {
		case !ok:
			d.add(problem(item.KeyExpr.Range(), "Outputs that are not written out", "The name of an output must be written out."))
		case contains(common, name):
			d.add(problem(item.KeyExpr.Range(), "Reserved name", "%q is an attribute of every credential, so no output can have that name.", name))
		case !hclsyntax.ValidIdentifier(name):
			d.add(problem(item.KeyExpr.Range(), "Invalid name", "%q cannot be the name of an output: letters, digits, _ and - are allowed, a letter first.", name))
		}
	}
}

func unwrapParens(e hcl.Expression) hcl.Expression {
	for {
		p, ok := e.(*hclsyntax.ParenthesesExpr)
		if !ok {
			return e
		}
		e = p.Expression
	}
}

// grantPlaces lists the places of a grant's own expressions.
func (d *typeDecoder) grantPlaces(g *GrantType) {
	if g.Static {
		static := typeScope{what: "a static grant", config: true, input: true, tokenWhy: "is what this grant shall give"}
		d.outputsPlace(g.Outputs, static, g)
		d.responsePlaces(g.Response, static, g)
		return
	}
	flow := flowOf(g)
	d.requestPlaces(g.Request, inRequest("the request of a grant", nil, flow), g)
	d.responsePlaces(g.Response, inResponse("the response of a grant", flow, g.Request != nil), g)
	if g.Refresh != nil {
		d.refreshPlaces(g.Refresh, g)
	}
	if g.Revoke != nil {
		d.requestPlaces(g.Revoke.Request, inRequest("a revocation", tokenMembers(), laterFlow(g)), g)
	}
	if a := g.Authorize; a != nil {
		s := inRequest("an authorization URL", nil, []string{"state", "redirect_uri"})
		d.place(a.URL, s, cty.String, "a string", g)
		d.place(a.Query, s, cty.EmptyObject, "a map", g)
		back := typeScope{what: "what a redirect is asked", config: true, input: true, flow: []string{"params", "state", "redirect_uri"}}
		d.place(a.ErrorWhen, back, cty.Bool, "true or false", g)
		d.place(a.ErrorMessage, back, cty.String, "a string", g)
	}
	if dev := g.Device; dev != nil {
		d.requestPlaces(dev.Request, inRequest("a device authorization", nil, nil), g)
		for _, e := range dev.Response.Exprs() {
			d.place(e, inResponse("the response of a device authorization", nil, true), cty.String, "a string", g)
		}
	}
}

func (d *typeDecoder) refreshPlaces(r *Refresh, grants ...*GrantType) {
	flow := laterFlow(grants...)
	d.requestPlaces(r.Request, inRequest("a refresh", tokenMembers(), flow), grants...)
	s := inResponse("the response of a refresh", flow, true)
	s.token = tokenMembers()
	d.responsePlaces(r.Response, s, grants...)
}

// typePlaces lists the places of the type's own expressions, each with every
// grant that can reach it.
func (d *typeDecoder) typePlaces() {
	t := d.t
	if t.Response != nil {
		grants := d.grantsWhere(d.usesTypeResponse)
		flow, reply := commonFlow(grants), true
		for _, g := range grants {
			// An authorization without an exchange has no reply of its own, and
			// where its token comes from only its own response can say.
			if t.ResponseOf(g) == t.Response && g.Request == nil && g.Authorize != nil {
				reply = false
			}
		}
		d.responsePlaces(t.Response, inResponse("the response of a type", flow, reply), grants...)
	}
	if t.Refresh != nil {
		d.refreshPlaces(t.Refresh, d.grantsWhere(func(g *GrantType) bool { return t.RefreshOf(g) == t.Refresh })...)
	}
	if t.Revoke != nil {
		grants := d.grantsWhere(func(g *GrantType) bool { return t.RevokeOf(g) == t.Revoke })
		d.requestPlaces(t.Revoke.Request, inRequest("a revocation", tokenMembers(), laterFlow(grants...)), grants...)
	}
	live := d.grantsWhere(t.HasAccessToken)
	if t.Verify != nil {
		d.requestPlaces(t.Verify.Request, inRequest("a verification", tokenMembers(), nil), live...)
		d.checkVerifyOrigin()
	}
	for _, a := range t.Actions {
		d.requestPlaces(a.Request, inRequest("an action", tokenMembers(), nil), live...)
	}
	if e := t.Errors; e != nil {
		s := typeScope{what: "an error block", config: true, input: true, reply: true, operation: true}
		for _, c := range []hcl.Expression{e.Gone, e.Permanent, e.Transient, e.Login} {
			d.place(c, s, cty.Bool, "true or false", t.Grants...)
		}
		d.place(e.Code, s, cty.String, "a string", t.Grants...)
		d.place(e.Message, s, cty.String, "a string", t.Grants...)
	}
	d.place(t.HeaderName, typeScope{what: "header_name", config: true}, cty.String, "a string")
	d.place(t.Header, typeScope{what: "header", config: true, input: true, token: []string{"access_token", "token_type", "scopes", "expires_at", "outputs"}}, cty.String, "a string", live...)
	d.place(t.DefaultLifetime, typeScope{what: "default_lifetime", config: true}, cty.String, "a duration such as \"1h\", or a number of seconds")
	d.place(t.Discovery, typeScope{what: "discovery", config: true, input: true}, cty.String, "an issuer's URL", d.grantsWhere(d.discovers)...)
}

// discovers reports whether the grant's requests name the issuer's metadata.
func (d *typeDecoder) discovers(g *GrantType) bool { return d.t.Discovers(g) }

// Discovers reports whether a request of the grant, or its authorization URL,
// names the issuer's metadata.
func (t *ProviderType) Discovers(g *GrantType) bool {
	exprs := append([]hcl.Expression(nil), g.Request.Exprs()...)
	if g.Authorize != nil {
		exprs = append(exprs, g.Authorize.URL, g.Authorize.Query)
	}
	if g.Device != nil {
		exprs = append(exprs, g.Device.Request.Exprs()...)
	}
	if r := t.RefreshOf(g); r != nil {
		exprs = append(exprs, r.Request.Exprs()...)
	}
	if r := t.RevokeOf(g); r != nil {
		exprs = append(exprs, r.Request.Exprs()...)
	}
	if t.Verify != nil {
		exprs = append(exprs, t.Verify.Request.Exprs()...)
	}
	for _, a := range t.Actions {
		exprs = append(exprs, a.Request.Exprs()...)
	}
	return len(readsOf("discovered", exprs...)) > 0
}

// commonFlow is what of a flow every one of the grants has.
func commonFlow(grants []*GrantType) []string {
	var out []string
	for i, g := range grants {
		flow := flowOf(g)
		if i == 0 {
			out = flow
			continue
		}
		var both []string
		for _, n := range out {
			if contains(flow, n) {
				both = append(both, n)
			}
		}
		out = both
	}
	return out
}

// makeLenient lets null go through the members of replies, tokens and flows;
// a setting or an input that does not exist is a mistake and was reported.
func (d *typeDecoder) makeLenient() {
	strict := func(root string) bool { return root == "config" || root == "input" }
	fix := func(exprs ...*hcl.Expression) {
		for _, p := range exprs {
			if e, ok := (*p).(hclsyntax.Expression); ok {
				*p = lenient(e, strict)
			}
		}
	}
	request := func(r *Request) {
		if r != nil {
			fix(&r.Method, &r.URL, &r.JSON, &r.Form, &r.Query, &r.Headers)
		}
	}
	response := func(r *Response) {
		if r != nil {
			fix(&r.AccessToken, &r.RefreshToken, &r.TokenType, &r.ExpiresIn, &r.ExpiresAt, &r.Scopes, &r.Outputs)
		}
	}
	refresh := func(r *Refresh) {
		if r != nil {
			request(r.Request)
			response(r.Response)
		}
	}
	t := d.t
	for _, g := range t.Grants {
		fix(&g.Outputs)
		request(g.Request)
		response(g.Response)
		refresh(g.Refresh)
		if g.Revoke != nil {
			request(g.Revoke.Request)
		}
		if a := g.Authorize; a != nil {
			fix(&a.URL, &a.Query, &a.ErrorWhen, &a.ErrorMessage)
		}
		if dev := g.Device; dev != nil {
			request(dev.Request)
			if r := dev.Response; r != nil {
				fix(&r.DeviceCode, &r.UserCode, &r.VerificationURI, &r.VerificationURIComplete, &r.ExpiresIn, &r.Interval)
			}
		}
	}
	response(t.Response)
	refresh(t.Refresh)
	if t.Revoke != nil {
		request(t.Revoke.Request)
	}
	if t.Verify != nil {
		request(t.Verify.Request)
	}
	for _, a := range t.Actions {
		request(a.Request)
	}
	if e := t.Errors; e != nil {
		fix(&e.Gone, &e.Permanent, &e.Transient, &e.Login, &e.Code, &e.Message)
	}
	fix(&t.HeaderName, &t.Header, &t.DefaultLifetime, &t.Discovery)
}
