package reconcile_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/state"
)

// simGrant is what one login brought: a family of tokens, in the books of the
// API that issued it.
type simGrant struct {
	id      int
	came    int // the how manyth came to tokend: what an import brings, when it is taken over
	typ     *simType
	addr    string // of the credential that it was issued for
	account string
	origin  string
	access  []*simAccess
	refresh []*simRefresh

	forgiven string   // why tokend may forget it although it lives
	spared   bool     // a removed block says that it is left alone
	rich     bool     // its tokens come with a number
	password string   // it was obtained with
	unread   bool     // its reply was kept
	also     []string // who else got it
}

// simAccess is an access token.
type simAccess struct {
	token   string
	grant   *simGrant
	expires time.Time
	asked   time.Time // when the step was recorded that brought it: tokend counts its life from before the reply, which a suspend may have held up
	dead    bool
	number  string // that came with it, or with one before it
	// disowned: the API ended it, and told nobody.
	disowned bool
}

// simRefresh is a refresh token.
type simRefresh struct {
	token   string
	grant   *simGrant
	expires time.Time // zero: never
	dead    bool
	spent   time.Time // when it was used first
	used    int
	unsure  int                           // how often it was sent with nobody knowing what became of it
	reply   string                        // what its first use brought, while the window is open
	heldAs  map[string]state.RefreshState // as the records say of it, by credential
	tried   bool                          // the one last try was made
}

func (a *simAccess) lives(now time.Time) bool { return !a.dead && now.Before(a.expires) }

func (r *simRefresh) lives(now time.Time) bool {
	return !r.dead && (r.expires.IsZero() || now.Before(r.expires))
}

func (g *simGrant) lives(now time.Time) bool {
	for _, a := range g.access {
		if a.lives(now) {
			return true
		}
	}
	for _, r := range g.refresh {
		if r.lives(now) && (r.spent.IsZero() || !g.typ.rotates) {
			return true
		}
	}
	return false
}

func (g *simGrant) end() {
	for _, a := range g.access {
		a.dead = true
	}
	for _, r := range g.refresh {
		r.dead = true
	}
}

// simBooks are what the simulated APIs know: every token that was ever issued.
type simBooks struct {
	s        *simRun
	grants   []*simGrant
	came     int // how many grants came to tokend
	access   map[string]*simAccess
	refresh  map[string]*simRefresh
	keys     []*simAccess   // that were taken over, the newest last
	codes    map[string]int // how often each was used
	password map[string]string
	refused  map[string]*simRefusals
	begun    map[string]simCode // the codes of logins that take a while
	devices  map[string]*simDevice
	ended    map[string]bool // accounts that get no token any more
	reopened map[string]bool // that did not for a while
	slept    time.Duration   // how long the machine slept after the call that is being carried out had its connection
}

func newBooks(s *simRun) *simBooks {
	return &simBooks{s: s, access: map[string]*simAccess{}, refresh: map[string]*simRefresh{}, codes: map[string]int{}, password: map[string]string{}, refused: map[string]*simRefusals{}, begun: map[string]simCode{}, devices: map[string]*simDevice{}, ended: map[string]bool{}, reopened: map[string]bool{}}
}

// simReply is the body of a reply.
type simReply struct {
	Access  string
	Refresh string `json:",omitempty"`
	Life    time.Duration
	Number  string `json:",omitempty"`
}

func addressOf(account string) string { return simCredentials[account[0]-'a'] }

// issue begins a grant.
func (b *simBooks) issue(t *simType, account, origin, grant string) string {
	if again, ok := b.repeated(t, account, origin, grant); ok {
		return again
	}
	if t.traits.Session == "one_per_account" {
		for _, g := range b.grants {
			if g.typ == t && b.s.person(g.account) == b.s.person(account) && g.origin == origin {
				g.end()
			}
		}
	}
	g := &simGrant{id: len(b.grants) + 1, typ: t, addr: addressOf(account), account: account, origin: origin, rich: grant == richGrantName, password: b.password[b.s.person(account)]}
	b.grants = append(b.grants, g)
	b.comes(g)
	return b.extend(g, nil)
}

// comes says that what a grant brings is newer than all before it.
func (b *simBooks) comes(g *simGrant) {
	b.came++
	g.came = b.came
}

// taken is a key that tokend took over: it ends with nothing, and nobody has to
// remember it.
func (b *simBooks) taken(t *simType, key string) {
	const account = "f"
	if n := len(b.keys); n > 0 && b.keys[n-1].token == key {
		return
	}
	g := &simGrant{id: len(b.grants) + 1, typ: t, addr: addressOf(account), account: account, forgiven: "a key is nobody's to end"}
	a := &simAccess{token: key, grant: g, expires: b.s.real().Add(t.life)}
	g.access = []*simAccess{a}
	b.comes(g)
	b.grants, b.keys, b.access[key] = append(b.grants, g), append(b.keys, a), a
}

// extend issues a grant's next tokens, after an old refresh token was used.
func (b *simBooks) extend(g *simGrant, old *simRefresh) string {
	now, t := b.s.real(), g.typ
	n := len(g.access) + 1
	a := &simAccess{token: fmt.Sprintf("at%d.%d", g.id, n), grant: g, expires: now.Add(t.life), asked: b.s.intended[g.addr]}
	if old != nil && t.traits.InvalidatesAccessToken {
		for _, x := range g.access {
			x.dead = true
		}
	}
	reply := simReply{Access: a.token, Life: t.life}
	b.number(g, a, &reply)
	g.access = append(g.access, a)
	b.access[a.token] = a
	if t.traits.HasRefresh && (old == nil || t.rotates) {
		r := &simRefresh{token: fmt.Sprintf("rt%d.%d", g.id, n), grant: g}
		if t.longLife > 0 {
			r.expires = now.Add(t.longLife)
		}
		g.refresh = append(g.refresh, r)
		b.refresh[r.token] = r
		reply.Refresh = r.token
	}
	body, err := json.Marshal(reply)
	if err != nil {
		panic(err)
	}
	return string(body)
}

// act is what an API makes of a call. It returns the body of its reply.
func (b *simBooks) act(e *simEndpoint, c providers.Call) (string, *providers.Error) {
	switch c.Op {
	case providers.OpGrant, providers.OpExchange:
		return b.login(e, c)
	case providers.OpDevice:
		return b.giveDevice(e, c)
	case providers.OpRefresh:
		return b.spend(e, c)
	case providers.OpRevoke:
		return "{}", b.revoke(e, c)
	case providers.OpVerify:
		return "{}", b.verify(e, c)
	case providers.OpAction:
		return "{}", b.perform(e, c)
	}
	return "", refusedCall(c.Op, providers.ClassPermanent, "no such call")
}

func refusedCall(op providers.Op, class providers.Class, why string) *providers.Error {
	return &providers.Error{Op: op, Class: class, Status: 400, Message: why, Reached: true}
}

func (b *simBooks) login(e *simEndpoint, c providers.Call) (string, *providers.Error) {
	account := b.s.accountAsked(c)
	if !c.Flow.DeviceCode.Empty() {
		return b.poll(e, c, account)
	}
	if c.Op == providers.OpExchange {
		code := c.Flow.Code.Reveal()
		b.codes[code]++
		if b.codes[code] > 1 {
			b.s.fail("a code was exchanged twice")
		}
		if b.checkCode(e, account, code); b.ended[account] {
			return "", refusedCall(c.Op, providers.ClassPermanent, "the account was ended")
		}
		return b.issue(e.typ, account, e.base, c.Grant), nil
	}
	password, _ := c.Inputs.Secret("password")
	b.checkTry(e, account, password.Reveal())
	if e.typ.traits.Interactive {
		b.s.fail("%s is asked for a token, for which a person has to log in", account)
	}
	if b.ended[account] || password.Reveal() != b.password[b.s.person(account)] {
		return "", refusedCall(c.Op, providers.ClassPermanent, "wrong password")
	}
	b.s.loggedIn(e.typ, account)
	return b.issue(e.typ, account, e.base, c.Grant), nil
}

func (b *simBooks) spend(e *simEndpoint, c providers.Call) (string, *providers.Error) {
	r, ok := b.refresh[c.Token.RefreshToken.Reveal()]
	if !ok {
		return "", refusedCall(c.Op, providers.ClassPermanent, "unknown refresh token")
	}
	g, now := r.grant, b.s.real()
	b.checkOrigin(e, g)
	b.checkSpend(r, now, b.s.asks(c, g))
	r.used++
	switch {
	case !r.lives(now):
		return "", refusedCall(c.Op, providers.ClassPermanent, "invalid_grant")
	case !g.typ.rotates || r.spent.IsZero():
		r.spent = now
		r.reply = b.extend(g, r)
		return r.reply, nil
	case now.Sub(r.spent) <= g.typ.traits.ReplayWindow:
		return r.reply, nil
	}
	if g.typ.reuseKills {
		g.end()
	}
	return "", refusedCall(c.Op, providers.ClassPermanent, "invalid_grant: it was used before")
}

func (b *simBooks) revoke(e *simEndpoint, c providers.Call) *providers.Error {
	a, r := b.access[c.Token.AccessToken.Reveal()], b.refresh[c.Token.RefreshToken.Reveal()]
	tr, now := e.typ.traits, b.s.real()
	if !tr.RevokeNamesAccess {
		a = nil
	}
	if !tr.RevokeNamesRefresh {
		r = nil
	}
	if tr.RevokeNeeds == "access_token" && (a == nil || !a.lives(now)) {
		if a != nil && a.disowned {
			a.grant.forgiven = "its API says that there is no such token"
		}
		return refusedCall(c.Op, providers.ClassGone, "unknown token")
	}
	for _, dies := range b.dying(a, r) {
		b.checkOrigin(e, dies)
	}
	b.checkRevocation(a, r, c)
	for _, g := range b.dying(a, r) {
		g.end()
	}
	if a != nil {
		a.dead = true
	}
	return nil
}

// verify says whether a token is honoured.
func (b *simBooks) verify(e *simEndpoint, c providers.Call) *providers.Error {
	a := b.access[c.Token.AccessToken.Reveal()]
	if a == nil {
		b.s.fail("the API is asked for a token that nobody issued")
		return nil
	}
	b.checkOrigin(e, a.grant)
	if r := b.s.record(b.s.asks(c, a.grant)); r.access != a.token {
		b.s.fail("the API is asked whether it honours %s, and %s is in force", a.token, r.access)
	}
	if a.lives(b.s.real()) {
		return nil
	}
	return &providers.Error{Op: c.Op, Class: providers.ClassPermanent, Status: http.StatusUnauthorized, Message: "it is not honoured", Reached: true}
}

// dying are the grants that a revocation ends as a whole.
func (b *simBooks) dying(a *simAccess, r *simRefresh) []*simGrant {
	var g *simGrant
	switch {
	case r != nil:
		g = r.grant
	case a != nil:
		g = a.grant
	}
	switch {
	case g == nil:
		return nil
	case g.typ.traits.Session == "shared_grant" && g.lives(b.s.real()):
		var all []*simGrant
		for _, x := range b.grants {
			if b.oneAccount(x, g) {
				all = append(all, x)
			}
		}
		return all
	case r != nil || g.typ.endsGrant || a == g.access[len(g.access)-1]:
		return []*simGrant{g}
	}
	return nil
}

// holders are the places that hold an access token.
func (b *simBooks) holders(token string) []string {
	var names []string
	for place, p := range b.s.places {
		for _, t := range strings.Fields(p.content) {
			if t == token {
				names = append(names, place)
			}
		}
	}
	return names
}
