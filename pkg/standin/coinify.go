package standin

import (
	"net/http"
	"strings"
)

// Coinify. Read strictly: only the fields of each grant, as strings; the revocation of a token that is not a
// living refresh token is an error (400), so that a repeated one is refused; a refresh token does not take the
// access token with it ("forget" it). The page names the deactivation's header Authentication once, so both
// names are taken there. /traders/me stands for the endpoints that need authentication.

func coinifyRoutes() map[string]route {
	return map[string]route{
		"/auth":        {http.MethodPost, inputJSON, coinifyAuth},
		"/auth/revoke": {http.MethodPost, inputJSON, coinifyRevoke},
		"/traders/me":  {http.MethodGet, inputQuery, coinifyTrader},
	}
}

func coinifyUserRoutes() map[string]route {
	return map[string]route{"/me/deactivate": {http.MethodPut, inputNone, coinifyDeactivate}}
}

func coinifyAuth(c *call) *reply {
	grant := c.in.get("grant_type")
	var problem string
	switch grant {
	case "password":
		problem = c.in.check([]string{"grant_type", "email", "partnerId", "password"}, []string{})
	case "offline_token":
		problem = c.in.check([]string{"grant_type", "offline_token"}, []string{})
	case "refresh_token":
		problem = c.in.check([]string{"grant_type", "refresh_token"}, []string{})
	case "":
		return c.malformed("the field `grant_type` is missing")
	default:
		return c.refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant type must be password, offline_token or refresh_token")
	}
	if problem != "" {
		return c.malformed(problem)
	}
	switch grant {
	case "password":
		return coinifyPassword(c)
	case "offline_token":
		return coinifyOffline(c)
	}
	return c.refresh(c.in.get("refresh_token"), "", "")
}

func coinifyPassword(c *call) *reply {
	email := c.in.get("email")
	if at := strings.Index(email, "@"); at < 1 || at == len(email)-1 || strings.ContainsAny(email, " \t\r\n") {
		return c.malformed("the field `email` is not an email address")
	}
	a, ok := c.login(email, c.in.get("password"))
	if !ok || a.Partner != "" && a.Partner != c.in.get("partnerId") {
		return c.refuseLogin("email, password or partner are wrong")
	}
	return c.grant(a.Login, "", "", "", true)
}

func coinifyOffline(c *call) *reply {
	value := c.in.get("offline_token")
	c.l.mu.Lock()
	a, known := c.l.offline[value]
	c.l.mu.Unlock()
	switch {
	case known:
		return c.grant(a.Login, "", "", "", true)
	case c.server.options.AnyAccount:
		return c.grant("offline:"+TokenID(value), "", "", "", true)
	}
	return c.refuseLogin("the offline token is unknown")
}

func coinifyRevoke(c *call) *reply {
	if problem := c.in.check([]string{"token_type_hint", "token"}, []string{}); problem != "" {
		return c.malformed(problem)
	}
	if c.in.get("token_type_hint") != "refresh_token" {
		return c.refuse(http.StatusBadRequest, "unsupported_token_type", "the token type hint must be refresh_token")
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	t := c.l.living(c.in.get("token"), refreshToken, c.now)
	if t == nil {
		return c.refuseToken("the token is not a living refresh token")
	}
	c.account = t.session.account.name
	if c.rules.Session == SharedGrant {
		c.l.revokeSession(t.session, c.rules, c.now)
	}
	c.l.kill(t, c.now, deadRevoked)
	return &reply{status: http.StatusNoContent, act: actRevoke}
}

func coinifyTrader(c *call) *reply {
	return c.protected(bearer(c.r), "")
}

func coinifyDeactivate(c *call) *reply {
	value := bearer(c.r)
	if value == "" {
		value, _ = strings.CutPrefix(c.r.Header.Get("Authentication"), "Bearer ")
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	t := c.l.living(value, accessToken, c.now)
	if t == nil {
		return c.unauthorized()
	}
	a := t.session.account
	c.account, a.closed = a.name, true
	c.l.killAll(a, c.now, deadClosed)
	return &reply{status: http.StatusNoContent, act: actDeactivate}
}

// protected stands for any endpoint that needs a living access token, with a scope where one is named.
func (c *call) protected(value, scope string) *reply {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	t := c.l.living(value, accessToken, c.now)
	if t == nil {
		return c.unauthorized()
	}
	name := t.session.account.name
	c.account = name
	if c.l.logins[name].Forbidden || scope != "" && !strings.Contains(" "+t.session.scopes+" ", " "+scope+" ") {
		out := c.refuse(http.StatusForbidden, "insufficient_scope", "no access to this resource")
		out.act = actProtected
		return out
	}
	body := appendString([]byte(`{"account":`), name)
	return allowed(actProtected, string(append(body, '}')))
}

// unauthorized is the answer to a missing, unknown or dead token.
func (c *call) unauthorized() *reply {
	out := c.refuse(http.StatusUnauthorized, "invalid_token", "the access token is missing, unknown or no longer valid")
	out.act = actProtected
	out.header = http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}
	return out
}
