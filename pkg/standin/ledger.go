package standin

import (
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// tokenKind tells the two kinds of token apart.
type tokenKind uint8

const (
	accessToken tokenKind = iota
	refreshToken
)

// Why a token is dead, other than by its expiry.
const (
	deadRotated     = "rotated"     // spent by a refresh that brought another
	deadInvalidated = "invalidated" // its session was refreshed
	deadRevoked     = "revoked"
	deadReuse       = "reuse"    // its family was killed because a spent member came again
	deadReplaced    = "replaced" // a newer grant of the account
	deadClosed      = "deactivated"
)

type token struct {
	value   string
	kind    tokenKind
	session *session
	issued  time.Time
	expires time.Time // zero: never
	used    time.Time // a refresh token's first use
	dead    time.Time
	why     string
	unseen  bool  // a fault kept the reply that carried it from the client
	next    *pair // what its spending brought, for a replay
}

func (t *token) alive(now time.Time) bool {
	return t.dead.IsZero() && (t.expires.IsZero() || now.Before(t.expires))
}

// session is one grant: what a person approved or a password opened, and all tokens that came of it.
type session struct {
	id       uint64
	account  *account
	client   string
	redirect string // the redirect URI in force for the grant
	scopes   string // joined by spaces
	tokens   []*token
}

type account struct {
	name     string
	closed   bool
	sessions []*session
	compact  int // len(sessions) at which those without a living token are dropped
	book     AccountBook
	nonces   map[string]struct{}
}

// pair is what a grant or a refresh brings.
type pair struct {
	access, refresh *token // refresh may be nil
	session         *session
}

// ledger holds the tokens of one API. Its methods want mu held, and hold no lock over anything slow.
type ledger struct {
	mu        sync.Mutex
	api       API
	rng       *rand.ChaCha8 // tokens of a stand-in are worth nothing, so a seeded generator is enough
	key       []byte        // signs the JWTs
	tokens    map[string]*token
	order     []*token // as issued
	limit     int      // dead tokens kept
	prune     int      // len(order) at which pruning is tried
	accounts  map[string]*account
	sessions  uint64
	codes     map[string]*code
	pending   map[string]*authorization
	devices   map[string]*deviceLogin
	userCodes map[string]string // the device code of each
	logins    map[string]Account
	offline   map[string]Account // by offline token
	clients   map[string]Client
	counts    Counts
	requests  ring
	second    int64
	inSecond  int
	recent    []time.Time // of the last Rules.RateRequests admitted requests
	oldest    int
}

func newLedger(api API, requestLog, tokenLog int) *ledger {
	l := &ledger{
		api: api, limit: tokenLog, prune: 2 * tokenLog, key: make([]byte, 32),
		tokens: map[string]*token{}, accounts: map[string]*account{}, codes: map[string]*code{},
		pending: map[string]*authorization{}, devices: map[string]*deviceLogin{}, userCodes: map[string]string{}, logins: map[string]Account{}, offline: map[string]Account{}, clients: map[string]Client{},
		requests: ring{limit: requestLog},
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails: it ends the process instead
	_, _ = crand.Read(l.key)
	l.rng = rand.NewChaCha8(seed)
	return l
}

func (l *ledger) account(name string) *account {
	a := l.accounts[name]
	if a == nil {
		a = &account{name: name, compact: 64}
		l.accounts[name] = a
	}
	return a
}

// open begins a session, ending the account's others where the rules say so.
func (l *ledger) open(a *account, client, redirect, scopes string, rules *Rules, now time.Time) *session {
	if rules.Session == OnePerAccount {
		l.killAll(a, now, deadReplaced)
	}
	l.sessions++
	s := &session{id: l.sessions, account: a, client: client, redirect: redirect, scopes: scopes}
	if len(a.sessions) >= a.compact {
		kept := a.sessions[:0]
		for _, old := range a.sessions {
			if old.living(now) {
				kept = append(kept, old)
			}
		}
		clear(a.sessions[len(kept):])
		a.sessions = kept
		a.compact = max(64, 2*len(kept))
	}
	a.sessions = append(a.sessions, s)
	return s
}

func (s *session) living(now time.Time) bool {
	for _, t := range s.tokens {
		if t.alive(now) {
			return true
		}
	}
	return false
}

// issue adds a token to a session; a zero expires means never.
func (l *ledger) issue(s *session, kind tokenKind, expires time.Time, form ExpiryForm, now time.Time) *token {
	t := &token{kind: kind, session: s, issued: now, expires: expires}
	if l.api == Apirone {
		t.value = l.jwt(s, t, form)
	} else {
		t.value = l.random(kind)
	}
	l.tokens[t.value] = t
	l.order = append(l.order, t)
	kept := s.tokens[:0]
	for _, old := range s.tokens {
		if old.alive(now) {
			kept = append(kept, old)
		}
	}
	clear(s.tokens[len(kept):])
	s.tokens = append(kept, t)
	if len(l.order) >= l.prune {
		l.forget(now)
	}
	return t
}

// random makes an opaque token. Refresh tokens and codes keep the + / = of plain base64, legal by RFC 6749
// appendix A, which finds out a client that does not encode its form.
func (l *ledger) random(kind tokenKind) string {
	var raw [31]byte
	var text [44]byte
	_, _ = l.rng.Read(raw[:]) // never fails
	if kind == refreshToken {
		return string(base64.StdEncoding.AppendEncode(text[:0], raw[:]))
	}
	return string(base64.RawURLEncoding.AppendEncode(text[:0], raw[:]))
}

// jwt makes a JWT as in the examples on Apirone's page: an HS256 signature over `l` and `exp`.
func (l *ledger) jwt(s *session, t *token, form ExpiryForm) string {
	const header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9." // {"typ":"JWT","alg":"HS256"}
	if !t.expires.IsZero() {
		t.expires = t.expires.Truncate(time.Second) // the claim is what counts, and it has no fractions
	}
	claims := make([]byte, 0, 128)
	claims = append(claims, `{"l":`...)
	claims = appendString(claims, s.account.name)
	claims = append(claims, `,"jti":"`...)
	claims = strconv.AppendUint(claims, l.rng.Uint64(), 36)
	claims = append(claims, '"')
	if !t.expires.IsZero() {
		if raw := form.render(t.expires.Unix()); raw != "" {
			claims = append(append(claims, `,"exp":`...), raw...)
		}
	}
	claims = append(claims, '}')
	out := make([]byte, 0, 256)
	out = append(out, header...)
	out = base64.RawURLEncoding.AppendEncode(out, claims)
	mac := hmac.New(sha256.New, l.key)
	mac.Write(out)
	out = append(out, '.')
	return string(base64.RawURLEncoding.AppendEncode(out, mac.Sum(nil)))
}

// render is a lifetime or a time as it stands in JSON; "" leaves it out.
func (f ExpiryForm) render(n int64) string {
	switch f {
	case ExpiryString:
		return `"` + strconv.FormatInt(n, 10) + `"`
	case ExpiryWord:
		return `"soon"`
	case ExpiryZero:
		return "0"
	case ExpiryNegative:
		return "-1"
	case ExpiryMissing:
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// forget drops the oldest dead tokens beyond the limit; the living stay.
func (l *ledger) forget(now time.Time) {
	dead := 0
	for _, t := range l.order {
		if !t.alive(now) {
			dead++
		}
	}
	drop := dead - l.limit
	kept := l.order[:0]
	for _, t := range l.order {
		if drop > 0 && !t.alive(now) {
			drop--
			delete(l.tokens, t.value)
			continue
		}
		kept = append(kept, t)
	}
	clear(l.order[len(kept):])
	l.order = kept
	l.prune = len(kept) + max(l.limit, 1024)
}

func (l *ledger) kill(t *token, now time.Time, why string) {
	if t.alive(now) {
		t.dead, t.why = now, why
	}
}

func (l *ledger) killSession(s *session, now time.Time, why string) {
	for _, t := range s.tokens {
		l.kill(t, now, why)
	}
}

func (l *ledger) killAll(a *account, now time.Time, why string) {
	for _, s := range a.sessions {
		l.killSession(s, now, why)
	}
}

// revokeSession ends a session, and with a shared grant all others of the account.
func (l *ledger) revokeSession(s *session, rules *Rules, now time.Time) {
	if rules.Session == SharedGrant {
		l.killAll(s.account, now, deadRevoked)
		return
	}
	l.killSession(s, now, deadRevoked)
}
