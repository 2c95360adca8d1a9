package standin

import (
	"time"
)

// Books are what the APIs know of their side, at one moment for each API.
type Books map[API]Ledger

// Ledger is the books of one API.
type Ledger struct {
	Counts   Counts                 `json:"counts"`
	Accounts map[string]AccountBook `json:"accounts"`
	Tokens   []Token                `json:"tokens"`   // in the order of issuing
	Requests []Request              `json:"requests"` // the last Options.RequestLog, oldest first
}

// Counts are the totals of an API since it was made, or since its books were cleared.
type Counts struct {
	Requests      int `json:"requests"`       // all, the refused and throttled and spoilt ones too
	Refused       int `json:"refused"`        // answered with an error, by the API's own rules
	RefusedLogins int `json:"refused_logins"` // of these, wrong passwords and client secrets
	Faulted       int `json:"faulted"`        // befallen by a fault
	Throttled     int `json:"throttled"`
	PeakPerSecond int `json:"peak_per_second"` // most requests within one second of the clock

	Grants        int `json:"grants"` // logins, code exchanges, implicit tokens
	Refreshes     int `json:"refreshes"`
	Replays       int `json:"replays"` // spent refresh tokens answered inside the replay window
	Reuses        int `json:"reuses"`  // spent refresh tokens refused
	CodeReuses    int `json:"code_reuses"`
	Revocations   int `json:"revocations"`
	Deactivations int `json:"deactivations"`
	Denied        int `json:"denied"` // consent pages answered with no
	Polls         int `json:"polls"`  // questions whether a device code was approved
	SlowDowns     int `json:"slow_downs"`

	LiveAccess  int `json:"live_access"` // when the books were read
	LiveRefresh int `json:"live_refresh"`
	Unseen      int `json:"unseen"` // living access tokens whose reply a fault kept from the client
}

// AccountBook is what happened to one account.
type AccountBook struct {
	Grants      int  `json:"grants"`
	Refreshes   int  `json:"refreshes"`
	Reuses      int  `json:"reuses"`
	Refusals    int  `json:"refusals"` // logins refused
	Revocations int  `json:"revocations"`
	LiveAccess  int  `json:"live_access"`
	LiveRefresh int  `json:"live_refresh"`
	Deactivated bool `json:"deactivated"`
}

// Token is a token in the books.
type Token struct {
	ID      string    `json:"id"`              // see TokenID
	Value   string    `json:"value,omitempty"` // over HTTP only when asked for
	Kind    string    `json:"kind"`            // access or refresh
	Account string    `json:"account"`
	Client  string    `json:"client,omitempty"`
	Scopes  string    `json:"scopes,omitempty"` // joined by spaces
	Session uint64    `json:"session"`          // tokens of one grant share it
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Used    time.Time `json:"used,omitzero"`    // first use of a refresh token
	Dead    time.Time `json:"dead,omitzero"`    // when something else than its expiry ended it
	Why     string    `json:"why,omitempty"`    // rotated, invalidated, revoked, reuse, replaced, deactivated
	Alive   bool      `json:"alive"`
	// Unseen tokens were in a reply that a fault kept from the client.
	Unseen bool `json:"unseen,omitempty"`
}

// Request is a request in the books.
type Request struct {
	At      time.Time `json:"at"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Grant   string    `json:"grant,omitempty"` // its grant_type
	Account string    `json:"account,omitempty"`
	Status  int       `json:"status"`          // 0: none was sent
	Error   string    `json:"error,omitempty"` // by the API's own rules: an error code
	Reason  string    `json:"reason,omitempty"`
	Did     string    `json:"did,omitempty"` // grant, refresh, replay, revoke, deactivate, authorize, protected; fault: not carried out
	Fault   FaultKind `json:"fault,omitempty"`
}

// ring keeps the last requests.
type ring struct {
	limit int
	kept  []Request
	next  int
}

func (r *ring) add(q Request) {
	if len(r.kept) < r.limit {
		r.kept = append(r.kept, q)
		return
	}
	r.kept[r.next] = q
	r.next = (r.next + 1) % r.limit
}

func (r *ring) list() []Request {
	out := make([]Request, 0, len(r.kept))
	return append(append(out, r.kept[r.next:]...), r.kept[:r.next]...)
}

// note writes a request into the books.
func (c *call) note(out *reply) {
	status, fault := out.status, FaultKind("")
	if c.fault != nil {
		status, fault = c.fault.faultStatus(c, out), c.fault.f.Kind
	}
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Requests++
	if second := c.now.Unix(); second != l.second {
		l.second, l.inSecond = second, 0
	}
	l.inSecond++
	l.counts.PeakPerSecond = max(l.counts.PeakPerSecond, l.inSecond)
	if out.code != "" {
		l.counts.Refused++
	}
	if fault != "" {
		l.counts.Faulted++
	}
	if out.login {
		l.counts.RefusedLogins++
		l.account(c.account).book.Refusals++
	}
	switch out.act {
	case actRevoke:
		l.counts.Revocations++
		l.account(c.account).book.Revocations++
	case actDeactivate:
		l.counts.Deactivations++
	}
	if l.requests.limit > 0 {
		l.requests.add(Request{
			At: c.now, Method: c.r.Method, Path: c.r.URL.Path, Grant: c.in.get("grant_type"), Account: c.account,
			Status: status, Error: out.code, Reason: out.text, Did: string(out.act), Fault: fault,
		})
	}
}

// Books copies the books of every API.
func (s *Server) Books() Books {
	b := Books{}
	for _, api := range APIs() {
		b[api] = s.Ledger(api)
	}
	return b
}

// Ledger copies the books of one API.
func (s *Server) Ledger(api API) Ledger {
	l, now := s.services[api].l, s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	tokens := make([]Token, 0, len(l.order))
	for _, t := range l.order {
		tokens = append(tokens, t.entry(now))
	}
	return Ledger{Counts: l.totals(now), Accounts: l.accountBooks(now), Tokens: tokens, Requests: l.requests.list()}
}

// Counts are the totals of one API, without copying its books.
func (s *Server) Counts(api API) Counts {
	l, now := s.services[api].l, s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals(now)
}

// Live lists the living tokens of an account.
func (s *Server) Live(api API, account string) []Token {
	l, now := s.services[api].l, s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Token
	for _, t := range l.order {
		if t.session.account.name == account && t.alive(now) {
			out = append(out, t.entry(now))
		}
	}
	return out
}

// Lookup finds a token by its value.
func (s *Server) Lookup(api API, value string) (Token, bool) {
	l, now := s.services[api].l, s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[value]
	if t == nil {
		return Token{}, false
	}
	return t.entry(now), true
}

// ClearBooks sets the counts of an API to zero and forgets its requests. Tokens stay.
func (s *Server) ClearBooks(api API) {
	l := s.services[api].l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts, l.requests.kept, l.requests.next = Counts{}, nil, 0
	for _, a := range l.accounts {
		a.book = AccountBook{}
	}
}

// totals adds up the living of all accounts; mu is held. Requests wait for it, so
// that it looks nothing up: who asks often makes a ledger of many tokens no slower.
func (l *ledger) totals(now time.Time) Counts {
	counts := l.counts
	for _, t := range l.order {
		switch {
		case !t.alive(now):
		case t.kind == refreshToken:
			counts.LiveRefresh++
		default:
			counts.LiveAccess++
			if t.unseen {
				counts.Unseen++
			}
		}
	}
	return counts
}

// accountBooks adds up the living of each account; mu is held.
func (l *ledger) accountBooks(now time.Time) map[string]AccountBook {
	accounts := make(map[string]AccountBook, len(l.accounts))
	for name, a := range l.accounts {
		book := a.book
		book.Deactivated = a.closed
		for _, s := range a.sessions {
			for _, t := range s.tokens {
				switch {
				case !t.alive(now):
				case t.kind == refreshToken:
					book.LiveRefresh++
				default:
					book.LiveAccess++
				}
			}
		}
		accounts[name] = book
	}
	return accounts
}

func (t *token) entry(now time.Time) Token {
	kind := "access"
	if t.kind == refreshToken {
		kind = "refresh"
	}
	return Token{
		ID: TokenID(t.value), Value: t.value, Kind: kind, Account: t.session.account.name, Client: t.session.client,
		Scopes: t.session.scopes, Session: t.session.id, Issued: t.issued, Expires: t.expires, Used: t.used,
		Dead: t.dead, Why: t.why, Alive: t.alive(now), Unseen: t.unseen,
	}
}
