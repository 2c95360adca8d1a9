package standin

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// authorization is a request for a person's consent that was found good.
type authorization struct {
	client    Client
	redirect  string // where the answer goes
	given     bool   // whether the request named it
	scopes    []string
	state     string
	implicit  bool
	challenge string // PKCE
	method    string
	expires   time.Time
}

// code is an authorization code.
type code struct {
	authorization
	user    string
	used    bool
	session *session
}

// consentPath is where the buttons of a consent page lead.
const consentPath = "/_standin/consent"

func consentRoutes() map[string]route {
	return map[string]route{consentPath: {http.MethodPost, inputForm, decide}}
}

// ask answers a good authorization request: with a page and two buttons, or at once.
func (c *call) ask(a *authorization) *reply {
	pick(&a.client.User, "user")
	a.expires = c.now.Add(c.rules.CodeLifetime)
	if c.server.auto.Load() {
		return c.approve(a, a.client.User)
	}
	c.l.mu.Lock()
	if len(c.l.pending) >= 1024 {
		for id, old := range c.l.pending {
			if !c.now.Before(old.expires) {
				delete(c.l.pending, id)
			}
		}
	}
	id := c.l.random(accessToken)
	c.l.pending[id] = a
	c.l.mu.Unlock()
	scopes := strings.Join(a.scopes, ", ")
	if scopes == "" {
		scopes = "everything it may"
	}
	out := page(http.StatusOK, "Allow "+html.EscapeString(a.client.ID)+"?",
		"<p>It asks for: "+html.EscapeString(scopes)+".</p>"+
			`<form method="post" action="`+consentPath+`"><input type="hidden" name="id" value="`+id+`">`+
			`<p><label>Signed in as <input name="user" value="`+html.EscapeString(a.client.User)+`"></label></p>`+
			`<p><button name="decision" value="approve">Allow</button> <button name="decision" value="deny">Deny</button></p></form>`)
	out.act = actAuthorize
	return out
}

// decide is what the buttons of the consent page do. Each page works once.
func decide(c *call) *reply {
	if problem := c.in.check([]string{"id", "decision"}, []string{"user"}); problem != "" {
		return c.malformed(problem)
	}
	c.l.mu.Lock()
	a := c.l.pending[c.in.get("id")]
	delete(c.l.pending, c.in.get("id"))
	c.l.mu.Unlock()
	if a == nil || !c.now.Before(a.expires) {
		return page(http.StatusBadRequest, "Too late", "<p>This page has been used or is too old. Begin again.</p>")
	}
	switch c.in.get("decision") {
	case "approve":
		user := c.in.get("user")
		pick(&user, a.client.User)
		return c.approve(a, user)
	case "deny":
		return c.deny(a)
	}
	return c.malformed("the field `decision` must be approve or deny")
}

// approve sends the person back with a code, or for the implicit grant with a token.
func (c *call) approve(a *authorization, user string) *reply {
	c.account = user
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if a.implicit {
		out := c.grantLocked(user, a.client.ID, a.redirect, strings.Join(a.scopes, " "), false)
		if out.pair == nil {
			return out
		}
		back := c.redirect(a, coinsPhToken(c, a, out.pair.access))
		back.act = actGrant
		return back
	}
	for value, old := range c.l.codes {
		if len(c.l.codes) < 10_000 {
			break
		}
		if !c.now.Before(old.expires) {
			delete(c.l.codes, value)
		}
	}
	value := c.l.random(refreshToken)
	a.expires = c.now.Add(c.rules.CodeLifetime)
	c.l.codes[value] = &code{authorization: *a, user: user}
	return c.redirect(a, c.answer(a, value))
}

// answer is the parameters that carry a code back.
func (c *call) answer(a *authorization, value string) string {
	out := "code=" + url.QueryEscape(value)
	switch {
	case c.l.api == CoinsPh && c.rules.ScopesInState:
		return out + "&state=" + joinScopes(a.scopes)
	case c.l.api == CoinsPh: // its page's example: #code=somecode, and nothing else
		return out
	case a.state != "":
		return out + "&state=" + url.QueryEscape(a.state)
	}
	return out
}

// deny sends the person back without anything, in each API's words.
func (c *call) deny(a *authorization) *reply {
	c.l.mu.Lock()
	c.l.counts.Denied++
	c.l.mu.Unlock()
	if c.l.api == Cryptohopper {
		return c.redirect(a, cryptohopperError("User did not give permission to the app.", a.state))
	}
	return c.redirectError(a, "access_denied")
}

// redirectError is RFC 6749 section 4.1.2.1.
func (c *call) redirectError(a *authorization, code string) *reply {
	params := "error=" + code
	if a.state != "" && c.l.api != CoinsPh {
		params += "&state=" + url.QueryEscape(a.state)
	}
	out := c.redirect(a, params)
	out.code = code
	return out
}

// redirect adds parameters to the redirect URI, after # for Coins.ph, else in the query that it may have.
func (c *call) redirect(a *authorization, params string) *reply {
	out := &reply{status: http.StatusFound, act: actAuthorize, body: "\n"}
	switch {
	case c.l.api == CoinsPh:
		out.location = a.redirect + "#" + params
	case strings.Contains(a.redirect, "?"):
		out.location = a.redirect + "&" + params
	default:
		out.location = a.redirect + "?" + params
	}
	return out
}

// resolve checks a redirect URI against those of a client, and fills in the first where none was given.
func (a *authorization) resolve(given string) string {
	a.redirect, a.given = given, given != ""
	switch known := a.client.RedirectURIs; {
	case len(known) == 0 && !a.given:
		return "the client has no redirect URI, and the request names none"
	case len(known) == 0 && (a.client.Secret != anySecret || !anyURI(given)):
		return "the redirect URI is not registered"
	case len(known) > 0 && !a.given:
		a.redirect = known[0]
	case len(known) > 0 && !slices.Contains(known, given):
		return "the redirect URI is not registered"
	}
	return ""
}

// want settles the scopes: those asked for, or all of the dashboard.
func (a *authorization) want(asked, page []string) string {
	may := a.client.Scopes
	if len(may) == 0 {
		may = page
	}
	if len(asked) == 0 {
		a.scopes = may
		return ""
	}
	for i, s := range asked {
		if s == "" || slices.Contains(asked[:i], s) {
			return "the scope list has an empty or repeated entry"
		}
		if may != nil && !slices.Contains(may, s) {
			return "the scope " + quoteName(s) + " is not one of the client's"
		}
	}
	a.scopes = asked
	return ""
}

// exchange turns a code into a pair. mustRepeat says that the redirect URI has to be given again even where
// the authorization left it out.
func (c *call) exchange(client Client, mustRepeat bool) *reply {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.codes[c.in.get("code")]
	switch {
	case k == nil:
		return c.refuseToken("the code is unknown")
	case k.client.ID != client.ID:
		return c.refuseToken("the code was issued to another client")
	}
	c.account = k.user
	switch redirect := c.in.get("redirect_uri"); {
	case k.used:
		l.counts.CodeReuses++
		if c.rules.DetectReuse && k.session != nil {
			l.killSession(k.session, c.now, deadReuse)
		}
		return c.refuseToken("the code was used already")
	case !c.now.Before(k.expires):
		return c.refuseToken("the code has expired")
	case redirect != k.redirect && (redirect != "" || k.given || mustRepeat):
		return c.refuseToken("the redirect URI is not that of the authorization")
	}
	if problem := k.verify(c.in.get("code_verifier")); problem != "" {
		return c.refuseToken(problem)
	}
	k.used = true
	out := c.grantLocked(k.user, k.client.ID, k.redirect, strings.Join(k.scopes, " "), true)
	if out.pair != nil {
		k.session = out.pair.session
	}
	return out
}

// verify is RFC 7636 section 4.6; a verifier without a challenge is a downgrade, and refused (RFC 9700 section 4.8.2).
func (k *code) verify(verifier string) string {
	switch {
	case k.challenge == "" && verifier == "":
		return ""
	case k.challenge == "":
		return "there was no code challenge to verify"
	case len(verifier) < 43 || len(verifier) > 128:
		return "the code verifier must have 43 to 128 characters"
	}
	derived := verifier
	if k.method == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		derived = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if !same(derived, k.challenge) {
		return "the code verifier does not match the challenge"
	}
	return ""
}

// joinScopes is a list of scopes as Coins.ph's examples show it.
func joinScopes(scopes []string) string {
	escaped := make([]string, len(scopes))
	for i, s := range scopes {
		escaped[i] = url.QueryEscape(s)
	}
	return strings.Join(escaped, "+")
}
