package standin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Coins.ph. The page lists client_id, response_type, scope and redirect_uri for an authorization; its own
// example also sends grant_type, and clients send a state, which comes back as the page says: not. Scopes are
// joined by a literal +; an encoded one is refused. Values come back after #. redirect_uri may be left out of
// an authorization, as in the page's examples, but not of the calls to the token endpoint.
//
// A token reply has access_token, token_type and refresh_token; a lifetime only where the rules ask for one.
// An API call needs a nonce, a number used once per user. The page names no endpoint for such calls:
// /api/v3/crypto-accounts takes any token, /api/v2/buyorder and /api/v2/sellorder want the scope of their name.

func coinsPhScopes() []string {
	return []string{"buyorder", "sellorder", "history", "wallet_history", "wallet_transfer", "user_identity"}
}

func coinsPhRoutes() map[string]route {
	return mergeRoutes(consentRoutes(), map[string]route{
		"/user/api/authorize":     {http.MethodGet, inputQuery, coinsPhAuthorize},
		"/user/oauthtoken":        {http.MethodPost, inputForm, coinsPhTokenEndpoint},
		"/api/v3/crypto-accounts": {http.MethodGet, inputQuery, coinsPhAPI("")},
		"/api/v2/buyorder":        {http.MethodGet, inputQuery, coinsPhAPI("buyorder")},
		"/api/v2/sellorder":       {http.MethodGet, inputQuery, coinsPhAPI("sellorder")},
	})
}

func coinsPhAuthorize(c *call) *reply {
	if problem := c.in.check([]string{"client_id", "response_type"}, []string{"scope", "redirect_uri", "state", "grant_type"}); problem != "" {
		return c.malformed(problem)
	}
	client, known := c.client(c.in.get("client_id"))
	if !known {
		return c.refuse(http.StatusBadRequest, "invalid_client", "the client is unknown")
	}
	a := &authorization{client: client}
	if problem := a.resolve(c.in.get("redirect_uri")); problem != "" {
		return c.malformed(problem)
	}
	switch c.in.get("response_type") {
	case "code":
	case "token":
		a.implicit = true
	default:
		return c.redirectError(a, "unsupported_response_type")
	}
	if g := c.in.get("grant_type"); g != "" && g != "authorization_code" {
		return c.malformed("the field `grant_type` must be authorization_code")
	}
	asked, problem := coinsPhScope(c.r.URL.RawQuery)
	if problem == "" {
		problem = a.want(asked, coinsPhScopes())
	}
	if problem != "" {
		return c.refuse(http.StatusBadRequest, "invalid_scope", problem)
	}
	return c.ask(a)
}

// coinsPhScope reads the scopes from the raw query, because only there a literal + can be told from an encoded one.
func coinsPhScope(rawQuery string) ([]string, string) {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		raw, found := strings.CutPrefix(pair, "scope=")
		if !found {
			continue
		}
		if strings.Contains(raw, "%") {
			return nil, "the scopes must be joined by a plain +, without encoding"
		}
		if raw == "" {
			return nil, "the field `scope` is empty"
		}
		return strings.Split(raw, "+"), ""
	}
	return nil, ""
}

// coinsPhToken is the redirect's parameters of an implicit grant, in the order of the page's example.
func coinsPhToken(c *call, a *authorization, t *token) string {
	out := "access_token=" + url.QueryEscape(t.value) + "&token_type=Bearer"
	if c.rules.ScopesInState {
		out += "&state=" + joinScopes(a.scopes)
	} else {
		out += "&state=&scope=" + joinScopes(a.scopes)
	}
	if b := c.appendExpiry(nil, t); len(b) > 0 {
		_, value, _ := strings.Cut(string(b), ":")
		out += "&expires_in=" + url.QueryEscape(strings.Trim(value, `"`))
	}
	return out
}

func coinsPhTokenEndpoint(c *call) *reply {
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
	if problem := c.in.check([]string{"grant_type", "client_id", "client_secret", own, "redirect_uri"}, []string{}); problem != "" {
		return c.malformed(problem)
	}
	client, known := c.client(c.in.get("client_id"))
	if !known || !client.secretIs(c.in.get("client_secret")) {
		return c.refuseClient("client_id or client_secret are wrong")
	}
	redirect := c.in.get("redirect_uri")
	if len(client.RedirectURIs) > 0 && !slices.Contains(client.RedirectURIs, redirect) {
		return c.malformed("the redirect URI is not registered")
	}
	if grant == "refresh_token" {
		return c.refresh(c.in.get("refresh_token"), client.ID, redirect)
	}
	return c.exchange(client, true)
}

// coinsPhAPI is an endpoint that wants a token and a nonce.
func coinsPhAPI(scope string) func(*call) *reply {
	return func(c *call) *reply {
		out := c.protected(bearer(c.r), scope)
		if out.status == http.StatusUnauthorized {
			return out
		}
		nonces := c.r.Header.Values("nonce")
		if len(nonces) != 1 || nonces[0] == "" || len(nonces[0]) > 32 || strings.Trim(nonces[0], "0123456789") != "" {
			return c.malformed("the header `nonce` must be one number")
		}
		c.l.mu.Lock()
		defer c.l.mu.Unlock()
		a := c.l.account(c.account)
		if _, seen := a.nonces[nonces[0]]; seen {
			return c.malformed("the nonce was used already")
		}
		if a.nonces == nil {
			a.nonces = map[string]struct{}{}
		}
		a.nonces[nonces[0]] = struct{}{}
		return out
	}
}
