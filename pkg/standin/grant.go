package standin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"time"
)

// grant opens a session for an account and issues its first pair.
func (c *call) grant(accountName, client, redirect, scopes string, withRefresh bool) *reply {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.grantLocked(accountName, client, redirect, scopes, withRefresh)
}

func (c *call) grantLocked(accountName, client, redirect, scopes string, withRefresh bool) *reply {
	c.account = accountName
	a := c.l.account(accountName)
	if a.closed {
		return c.refuseLogin("the account is deactivated")
	}
	s := c.l.open(a, client, redirect, scopes, c.rules, c.now)
	p := c.issuePair(s, withRefresh)
	c.l.counts.Grants++
	a.book.Grants++
	return &reply{status: 200, pair: p, act: actGrant}
}

func (c *call) issuePair(s *session, withRefresh bool) *pair {
	p := &pair{session: s, access: c.l.issue(s, accessToken, c.accessEnd(), c.form(), c.now)}
	if withRefresh {
		p.refresh = c.l.issue(s, refreshToken, end(c.now, c.rules.RefreshLifetime), ExpiryNumber, c.now)
	}
	return p
}

// end is when a lifetime that starts now is over: never for a negative one.
func end(now time.Time, lifetime time.Duration) time.Time {
	if lifetime < 0 {
		return time.Time{}
	}
	return now.Add(lifetime)
}

// accessEnd is the end of a new access token. A fault may have it lie in the past.
func (c *call) accessEnd() time.Time {
	if c.faultKind() == FaultPastExpiry {
		return c.now.Add(-time.Minute)
	}
	return end(c.now, c.rules.AccessLifetime)
}

// form is how the reply shall carry its lifetime.
func (c *call) form() ExpiryForm {
	switch c.faultKind() {
	case FaultExpiryString:
		return ExpiryString
	case FaultExpiryWord:
		return ExpiryWord
	case FaultExpiryMissing:
		return ExpiryMissing
	case FaultExpiryZero:
		return ExpiryZero
	case FaultPastExpiry:
		return ExpiryNumber
	}
	return c.rules.ExpiresIn
}

// refresh spends or uses a refresh token. client is "" where the API has no clients, redirect where the
// request names none.
func (c *call) refresh(value, client, redirect string) *reply {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[value]
	if t == nil || t.kind != refreshToken {
		return c.refuseToken("the refresh token is unknown")
	}
	s := t.session
	c.account = s.account.name
	if s.client != client {
		return c.refuseToken("the refresh token was issued to another client")
	}
	if redirect != "" && redirect != s.redirect {
		return c.refuseToken("the redirect URI is not that of the grant")
	}
	if s.account.closed {
		return c.refuseToken("the account is deactivated")
	}
	if t.why == deadRotated {
		return c.again(t)
	}
	if !t.alive(c.now) {
		return c.refuseToken("the refresh token is no longer valid")
	}
	return c.renew(t)
}

// renew is a refresh with a living token.
func (c *call) renew(t *token) *reply {
	l, s := c.l, t.session
	if t.used.IsZero() {
		t.used = c.now
	}
	if c.rules.InvalidateOnRefresh == On {
		for _, old := range s.tokens {
			if old.kind == accessToken {
				l.kill(old, c.now, deadInvalidated)
			}
		}
	}
	if c.rules.Rotate == RotateSingleUse {
		l.kill(t, c.now, deadRotated) // before issuing, so that it does not stay among the session's living
	}
	p := c.issuePair(s, c.rules.Rotate == RotateSingleUse || c.rules.Rotate == RotateAdd)
	switch c.rules.Rotate {
	case RotateSingleUse:
		t.next = p
	case RotateKeep:
		p.refresh = t
	}
	l.counts.Refreshes++
	s.account.book.Refreshes++
	return &reply{status: 200, pair: p, act: actRefresh}
}

// again answers a spent refresh token: with the same pair inside the replay window, else it is reuse.
func (c *call) again(t *token) *reply {
	l, s := c.l, t.session
	// A request that was read before the one that spent the token, and comes to the ledger after it, is no replay
	// where there is no window.
	if c.rules.ReplayWindow > 0 && t.next != nil && c.now.Sub(t.dead) < c.rules.ReplayWindow && t.next.refresh.alive(c.now) {
		l.counts.Replays++
		t.next.access.unseen, t.next.refresh.unseen = false, false
		return &reply{status: 200, pair: t.next, act: actReplay}
	}
	l.counts.Reuses++
	s.account.book.Reuses++
	if c.rules.DetectReuse {
		l.killSession(s, c.now, deadReuse)
	}
	return c.refuseToken("the refresh token was used already")
}

// living finds a living token of a kind, and refuses with a reason otherwise.
func (l *ledger) living(value string, kind tokenKind, now time.Time) *token {
	t := l.tokens[value]
	if t == nil || t.kind != kind || !t.alive(now) || t.session.account.closed {
		return nil
	}
	return t
}

// login finds the account of a name and a password.
func (c *call) login(name, password string) (Account, bool) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	a, registered := c.l.logins[name]
	if registered {
		return a, same(a.Password, password)
	}
	return Account{API: c.l.api, Login: name}, c.server.options.AnyAccount
}

// client finds a registered client, or makes one up where any is accepted.
func (c *call) client(id string) (Client, bool) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.l.client(id, c.server.options.AnyAccount)
}

func (l *ledger) client(id string, anyClient bool) (Client, bool) {
	known, registered := l.clients[id]
	if registered {
		return known, true
	}
	return Client{API: l.api, ID: id, Secret: anySecret}, anyClient
}

// anySecret marks a client that was made up, whose secret is whatever is presented.
const anySecret = "\x00any"

func (c Client) secretIs(secret string) bool {
	if c.Secret == anySecret {
		return secret != ""
	}
	return same(c.Secret, secret)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// TokenID is what the books call a token: the first 16 hex digits of its SHA-256.
func TokenID(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:8])
}
