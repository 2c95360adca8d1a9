package standin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Cryptohopper. Scopes are joined by commas; state is returned. Errors go to the redirect URL with error=1 and,
// as the page does not say where, the page's sentence in `message`; to a URL that is neither registered nor on
// loopback nothing is redirected, which the page does not forbid. redirect_uri may be left out, and is then
// that of the application. The refresh, which the page promises and does not describe, is a JSON call like the
// exchange. /v1/user/get stands for the API calls; they carry the bare token in the header access-token.

func cryptohopperScopes() []string { return []string{"read", "notifications", "manage", "trade"} }

func cryptohopperRoutes() map[string]route {
	return mergeRoutes(consentRoutes(), map[string]route{
		"/oauth2/authorize": {http.MethodGet, inputQuery, cryptohopperAuthorize},
		"/oauth2/token":     {http.MethodPost, inputJSON, cryptohopperToken},
		"/v1/user/get":      {http.MethodGet, inputQuery, cryptohopperUser},
	})
}

// cryptohopperError is the parameters of a redirect with an error.
func cryptohopperError(message, state string) string {
	out := "error=1&message=" + url.QueryEscape(message)
	if state != "" {
		out += "&state=" + url.QueryEscape(state)
	}
	return out
}

func cryptohopperAuthorize(c *call) *reply {
	if problem := c.in.check([]string{"response_type"}, []string{"client_id", "redirect_uri", "state", "scope"}); problem != "" {
		return c.malformed(problem)
	}
	if c.in.get("response_type") != "code" {
		return c.malformed("the field `response_type` must be code")
	}
	id := c.in.get("client_id")
	if id == "" {
		return cryptohopperRefused(c, "App key cannot be empty.")
	}
	client, known := c.client(id)
	if !known {
		return cryptohopperRefused(c, "App key is invalid.")
	}
	a := &authorization{client: client, state: c.in.get("state")}
	if problem := a.resolve(c.in.get("redirect_uri")); problem != "" {
		return c.malformed(problem)
	}
	var asked []string
	if c.in.has("scope") {
		asked = strings.Split(c.in.get("scope"), ",")
	}
	if problem := a.want(asked, cryptohopperScopes()); problem != "" {
		return c.refuse(http.StatusBadRequest, "invalid_scope", problem)
	}
	return c.ask(a)
}

// cryptohopperRefused redirects an error of a request whose client is not known.
func cryptohopperRefused(c *call, message string) *reply {
	uri := c.in.get("redirect_uri")
	if !c.trusted(uri) {
		return c.refuse(http.StatusBadRequest, "invalid_client", message)
	}
	out := c.redirect(&authorization{redirect: uri}, cryptohopperError(message, c.in.get("state")))
	out.code = "invalid_client"
	return out
}

// trusted says whether a URI is registered with any client, or leads to this machine.
func (c *call) trusted(uri string) bool {
	if !anyURI(uri) {
		return false
	}
	if u, err := url.Parse(uri); err == nil && isLoopback(u.Hostname()) {
		return true
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	for _, known := range c.l.clients {
		if slices.Contains(known.RedirectURIs, uri) {
			return true
		}
	}
	return false
}

func cryptohopperToken(c *call) *reply {
	grant := c.in.get("grant_type")
	var own string
	switch grant {
	case "authorization_code":
		own = "code"
	case "refresh_token":
		own = "refresh_token"
	case "":
		return c.malformed("the field `grant_type` is missing")
	default:
		return c.refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant type must be authorization_code or refresh_token")
	}
	if problem := c.in.check([]string{"grant_type", "client_id", "client_secret", own}, []string{"redirect_uri"}); problem != "" {
		return c.malformed(problem)
	}
	client, known := c.client(c.in.get("client_id"))
	if !known {
		return c.refuseClient("App key is invalid.")
	}
	if !client.secretIs(c.in.get("client_secret")) {
		return c.refuseClient("The signature is invalid.")
	}
	if grant == "refresh_token" {
		return c.refresh(c.in.get("refresh_token"), client.ID, c.in.get("redirect_uri"))
	}
	return c.exchange(client, false)
}

func cryptohopperUser(c *call) *reply {
	return c.protected(c.r.Header.Get("access-token"), "")
}
