package standin

import (
	"net/http"
	"strings"
)

// Apirone. Tokens are JWTs; their exp is the only lifetime there is. A refresh and a logout carry their token in
// the header and nothing else. A logout ends the session, and needs a living access token. The page gives 400
// and 500 for errors: malformed requests get 400, refused logins and tokens the status of Rules.RefusedStatus.
// The callback info of an account stands for the protected endpoints, with token or transfer key, not both; the
// page's errors for it are not given, so 401 and 403.

func apironeRoutes() map[string]route {
	return map[string]route{
		"/api/v2/auth/login":         {http.MethodPost, inputJSON, apironeLogin},
		"/api/v2/auth/refresh-token": {http.MethodPost, inputNone, apironeRefresh},
		"/api/v2/auth/logout":        {http.MethodPost, inputNone, apironeLogout},
	}
}

// apironeAccount matches /api/v2/accounts/{account}/callback.
func apironeAccount(path string) (route, bool) {
	if _, ok := apironeAccountName(path); !ok {
		return route{}, false
	}
	return route{http.MethodGet, inputQuery, apironeCallback}, true
}

func apironeAccountName(path string) (string, bool) {
	rest, found := strings.CutPrefix(path, "/api/v2/accounts/")
	name, rest, _ := strings.Cut(rest, "/")
	return name, found && name != "" && rest == "callback"
}

func apironeLogin(c *call) *reply {
	if problem := c.in.check([]string{"login", "password"}, []string{}); problem != "" {
		return c.malformed(problem)
	}
	login := c.in.get("login")
	currency, id, _ := strings.Cut(login, "-")
	if id == "" || len(currency) < 3 || strings.Trim(currency, "abcdefghijklmnopqrstuvwxyz") != "" || strings.ContainsAny(id, " /?#%") {
		return c.malformed("the field `login` is not an account or wallet")
	}
	a, ok := c.login(login, c.in.get("password"))
	if !ok {
		return c.refuseLogin("login or password are wrong")
	}
	return c.grant(a.Login, "", "", "", true)
}

func apironeRefresh(c *call) *reply {
	value := bearer(c.r)
	if value == "" {
		return c.malformed("the header `Authorization` must be Bearer and the refresh token")
	}
	return c.refresh(value, "", "")
}

func apironeLogout(c *call) *reply {
	value := bearer(c.r)
	if value == "" {
		return c.malformed("the header `Authorization` must be Bearer and the access token")
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	t := c.l.living(value, accessToken, c.now)
	if t == nil {
		return c.refuseToken("the access token is unknown or no longer valid")
	}
	c.account = t.session.account.name
	c.l.revokeSession(t.session, c.rules, c.now)
	return allowed(actRevoke, "{}")
}

func apironeCallback(c *call) *reply {
	name, _ := apironeAccountName(c.r.URL.Path)
	if problem := c.in.check(nil, []string{"currency", "transfer-key"}); problem != "" {
		return c.malformed(problem)
	}
	if !c.in.has("transfer-key") {
		out := c.protected(bearer(c.r), "")
		if out.code == "" && c.account != name {
			out = c.refuse(http.StatusForbidden, "forbidden", "the token is another account's")
			out.act = actProtected
		}
		return out
	}
	c.account = name
	if c.r.Header.Get("Authorization") != "" {
		return c.malformed("the request has a token and a transfer key")
	}
	a, ok := c.login(name, c.in.get("transfer-key"))
	if !ok {
		out := c.refuse(http.StatusUnauthorized, "unauthorized", "the transfer key is wrong")
		out.act = actProtected
		return out
	}
	if a.Forbidden {
		out := c.refuse(http.StatusForbidden, "forbidden", "no access to this resource")
		out.act = actProtected
		return out
	}
	body := appendString([]byte(`{"account":`), name)
	return allowed(actProtected, string(append(body, '}')))
}
