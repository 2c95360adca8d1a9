package standin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The generic server: RFC 6749 with PKCE (RFC 7636), device codes (RFC 8628), revocation (RFC 7009) and metadata (RFC 8414, also below the
// path of OpenID discovery). Unknown parameters are ignored, as the RFCs demand; repeated ones are refused.
// client_credentials brings no refresh token (RFC 6749 section 4.4.3). /api/me takes any living token.

func oauth2Routes() map[string]route {
	return mergeRoutes(consentRoutes(), deviceRoutes(), map[string]route{
		"/authorize": {http.MethodGet, inputQuery, oauth2Authorize},
		"/token":     {http.MethodPost, inputForm, oauth2Token},
		"/revoke":    {http.MethodPost, inputForm, oauth2Revoke},
		"/api/me":    {http.MethodGet, inputQuery, func(c *call) *reply { return c.protected(bearer(c.r), "") }},
		"/.well-known/oauth-authorization-server": {http.MethodGet, inputNone, oauth2Metadata},
		"/.well-known/openid-configuration":       {http.MethodGet, inputNone, oauth2Metadata},
	})
}

func oauth2Metadata(c *call) *reply {
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	at := func(path string) string { return string(appendString(nil, scheme+c.r.Host+path)) }
	return allowed(actNone, `{"issuer":`+at("")+`,"authorization_endpoint":`+at("/authorize")+`,"token_endpoint":`+at("/token")+
		`,"revocation_endpoint":`+at("/revoke")+`,"device_authorization_endpoint":`+at("/device_authorization")+`,"response_types_supported":["code"]`+
		`,"grant_types_supported":["authorization_code","client_credentials","password","refresh_token","`+deviceGrant+`"]`+
		`,"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","none"]`+
		`,"code_challenge_methods_supported":["S256","plain"]}`)
}

func oauth2Authorize(c *call) *reply {
	client, known := c.client(c.in.get("client_id"))
	if c.in.get("client_id") == "" || !known {
		return c.refuse(http.StatusBadRequest, "invalid_client", "the client is unknown")
	}
	a := &authorization{client: client, state: c.in.get("state"), challenge: c.in.get("code_challenge"), method: c.in.get("code_challenge_method")}
	if problem := a.resolve(c.in.get("redirect_uri")); problem != "" {
		return c.malformed(problem) // never redirected (RFC 6749 section 4.1.2.1)
	}
	if c.in.get("response_type") != "code" {
		return c.redirectError(a, "unsupported_response_type")
	}
	if a.challenge != "" {
		pick(&a.method, "plain")
	}
	switch {
	case a.method != "" && a.method != "S256" && a.method != "plain",
		a.method != "" && a.challenge == "",
		a.challenge != "" && (len(a.challenge) < 43 || len(a.challenge) > 128),
		c.rules.RequirePKCE && a.method != "S256",
		client.Secret == "" && a.challenge == "":
		return c.redirectError(a, "invalid_request")
	}
	if a.want(strings.Fields(c.in.get("scope")), nil) != "" {
		return c.redirectError(a, "invalid_scope")
	}
	return c.ask(a)
}

// oauth2Client authenticates a client, by one method only (RFC 6749 section 2.3).
func oauth2Client(c *call) (Client, *reply) {
	id, secret, method := c.in.get("client_id"), c.in.get("client_secret"), "client_secret_post"
	rawID, rawSecret, basic := c.r.BasicAuth()
	if basic {
		method = "client_secret_basic"
		userID, err := url.QueryUnescape(rawID) // RFC 6749 section 2.3.1 encodes both as in a form
		password, err2 := url.QueryUnescape(rawSecret)
		if err != nil || err2 != nil || c.in.has("client_secret") || id != "" && id != userID {
			return Client{}, c.malformed("the client authenticates in more than one way")
		}
		id, secret = userID, password
	} else if c.r.Header.Get("Authorization") != "" {
		return Client{}, oauth2Unknown(c)
	}
	client, known := c.client(id)
	switch {
	case id == "" || !known:
		return Client{}, oauth2Unknown(c)
	case client.Secret == "": // public
		if secret != "" {
			return Client{}, oauth2Unknown(c)
		}
	case client.Auth != "" && client.Auth != method, !client.secretIs(secret):
		return Client{}, oauth2Unknown(c)
	}
	c.account = id
	return client, nil
}

func oauth2Unknown(c *call) *reply {
	out := c.refuseClient("the client is unknown, or its authentication failed")
	if c.r.Header.Get("Authorization") != "" {
		out.header = http.Header{"Www-Authenticate": {`Basic realm="standin"`}}
	}
	return out
}

func oauth2Token(c *call) *reply {
	client, refused := oauth2Client(c)
	if refused != nil {
		return refused
	}
	switch grant := c.in.get("grant_type"); grant {
	case "client_credentials":
		return oauth2ClientCredentials(c, client)
	case "password":
		return oauth2Password(c, client)
	case "refresh_token":
		return oauth2Refresh(c, client)
	case "authorization_code":
		if problem := c.in.check([]string{"code"}, nil); problem != "" {
			return c.malformed(problem)
		}
		return c.exchange(client, false)
	case deviceGrant:
		return c.exchangeDevice(client)
	case "":
		return c.malformed("the field `grant_type` is missing")
	}
	return c.refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant type is not supported")
}

func oauth2ClientCredentials(c *call, client Client) *reply {
	if client.Secret == "" {
		return c.refuse(http.StatusBadRequest, "unauthorized_client", "a public client cannot use client_credentials")
	}
	scopes, refused := oauth2Scopes(c, client)
	if refused != nil {
		return refused
	}
	return c.grant(client.ID, client.ID, "", scopes, false)
}

func oauth2Password(c *call, client Client) *reply {
	if problem := c.in.check([]string{"username", "password"}, nil); problem != "" {
		return c.malformed(problem)
	}
	scopes, refused := oauth2Scopes(c, client)
	if refused != nil {
		return refused
	}
	c.account = c.in.get("username")
	a, ok := c.login(c.in.get("username"), c.in.get("password"))
	if !ok {
		return c.refuseLogin("username or password are wrong")
	}
	return c.grant(a.Login, client.ID, "", scopes, true)
}

func oauth2Scopes(c *call, client Client) (string, *reply) {
	a := &authorization{client: client}
	if problem := a.want(strings.Fields(c.in.get("scope")), nil); problem != "" {
		return "", c.refuse(http.StatusBadRequest, "invalid_scope", problem)
	}
	return strings.Join(a.scopes, " "), nil
}

// oauth2Refresh refuses more scopes than were granted (RFC 6749 section 6), before the token is spent.
func oauth2Refresh(c *call, client Client) *reply {
	if problem := c.in.check([]string{"refresh_token"}, nil); problem != "" {
		return c.malformed(problem)
	}
	c.l.mu.Lock()
	var granted []string
	t := c.l.tokens[c.in.get("refresh_token")]
	if t != nil {
		granted = strings.Fields(t.session.scopes)
	}
	c.l.mu.Unlock()
	for _, s := range strings.Fields(c.in.get("scope")) {
		if t != nil && !slices.Contains(granted, s) {
			return c.refuse(http.StatusBadRequest, "invalid_scope", "the scope "+quoteName(s)+" was not granted")
		}
	}
	return c.refresh(c.in.get("refresh_token"), client.ID, "")
}

// oauth2Revoke is RFC 7009: an unknown or dead token is a success; a refresh token takes its session along.
func oauth2Revoke(c *call) *reply {
	client, refused := oauth2Client(c)
	if refused != nil {
		return refused
	}
	if problem := c.in.check([]string{"token"}, nil); problem != "" {
		return c.malformed(problem)
	}
	done := &reply{status: http.StatusOK}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	t := c.l.tokens[c.in.get("token")]
	if t == nil || !t.alive(c.now) {
		return done
	}
	if t.session.client != client.ID {
		return c.refuseToken("the token was issued to another client")
	}
	c.account, done.act = t.session.account.name, actRevoke
	if t.kind == refreshToken {
		c.l.revokeSession(t.session, c.rules, c.now)
	} else {
		c.l.kill(t, c.now, deadRevoked)
	}
	return done
}
