package standin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FaultKind is a way to fail.
type FaultKind string

// The kinds of fault. Those marked (acts) always carry the request out first; the others do so only when
// Fault.Acts says so.
const (
	FaultRefuse   FaultKind = "refuse"   // an error in the API's own form: Status (400), Code (invalid_grant), Body as its description
	FaultStall    FaultKind = "stall"    // no reply until the client goes away, the fault is released, or the Server closes; then the connection is closed
	FaultDelay    FaultKind = "delay"    // (acts) the right reply, after Delay or the fault's release
	FaultCut      FaultKind = "cut"      // (acts) half of the body under the length of the whole, then the connection is closed
	FaultLost     FaultKind = "lost"     // (acts) the connection is closed without a reply
	FaultClose    FaultKind = "close"    // the connection is closed without a reply
	FaultThrottle FaultKind = "throttle" // Status (429) with Retry-After: RetryAfter, as a date with RetryAfterDate; none when it is 0
	FaultStatus   FaultKind = "status"   // Status (500) with Body, or a short error
	FaultHTML     FaultKind = "html"     // Status (200) with a page of HTML
	FaultEmpty    FaultKind = "empty"    // Status (200) without a body
	FaultHuge     FaultKind = "huge"     // Status (200) with Bytes (100 MiB) of a JSON string
	FaultOKError  FaultKind = "ok_error" // 200 with the error that FaultRefuse sends
	FaultGarbage  FaultKind = "garbage"  // Status (200) with JSON that ends too soon, though its length is right
	FaultEcho     FaultKind = "echo"     // Status (400) with an error that repeats every value the request had, its secrets too
	FaultRedirect FaultKind = "redirect" // Status (307) to Location (another path of the same host)
	FaultHeaders  FaultKind = "headers"  // (acts) the right reply, with Header on top: a wrong Date, say

	FaultMissingToken  FaultKind = "missing_token"  // (acts) 200 without any token
	FaultWrongTypes    FaultKind = "wrong_types"    // (acts) objects where strings and numbers belong
	FaultPastExpiry    FaultKind = "past_expiry"    // (acts) a token that ended a minute ago, and says so
	FaultExpiryString  FaultKind = "expiry_string"  // (acts) the lifetime as a string of digits; for Apirone exp, here and below
	FaultExpiryWord    FaultKind = "expiry_word"    // (acts) the lifetime is "soon"
	FaultExpiryMissing FaultKind = "expiry_missing" // (acts) no lifetime
	FaultExpiryZero    FaultKind = "expiry_zero"    // (acts) a lifetime of 0
)

// Fault is one way to fail and the requests that it befalls. A request with the wrong method, path, content type
// or syntax is refused as ever and uses up no fault.
type Fault struct {
	Kind FaultKind `json:"kind"`

	// The request must match all that is set. Path is exact, or a prefix that ends in *. Grant is the
	// grant_type, Account whom the request names by login, client or token.
	API     API    `json:"api"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Grant   string `json:"grant"`
	Account string `json:"account"`

	// After lets that many matching requests pass first.
	After int `json:"after"`
	// Times is how many requests it befalls: 0 means one, negative means all until it is cleared.
	Times int `json:"times"`
	// Acts carries the request out and throws its reply away. See the kinds.
	Acts bool `json:"acts"`

	Status         int               `json:"status"`
	Code           string            `json:"code"`
	Body           string            `json:"body"`
	Header         map[string]string `json:"header"` // put on the reply, for every kind that sends one
	RetryAfter     time.Duration     `json:"retry_after"`
	RetryAfterDate bool              `json:"retry_after_date"`
	Delay          time.Duration     `json:"delay"`
	Bytes          int64             `json:"bytes"`
	Location       string            `json:"location"`
}

// FaultKinds lists all kinds of fault.
func FaultKinds() []FaultKind {
	return []FaultKind{
		FaultRefuse, FaultStall, FaultDelay, FaultCut, FaultLost, FaultClose, FaultThrottle, FaultStatus, FaultHTML, FaultEmpty, FaultHuge,
		FaultOKError, FaultGarbage, FaultEcho, FaultRedirect, FaultHeaders, FaultMissingToken, FaultWrongTypes, FaultPastExpiry,
		FaultExpiryString, FaultExpiryWord, FaultExpiryMissing, FaultExpiryZero,
	}
}

// Armed is a Fault in line.
type Armed struct {
	id       int
	f        Fault
	line     *faultLine
	passed   int
	left     int // negative: no end
	hits     int
	hit      chan struct{} // closed at the first hit
	released chan struct{}
	release  sync.Once
}

// ID names the fault over HTTP.
func (a *Armed) ID() int { return a.id }

// Hit is closed as soon as the fault befell a request: after it was carried out when the fault acts.
func (a *Armed) Hit() <-chan struct{} { return a.hit }

// Hits is how many requests it has befallen.
func (a *Armed) Hits() int {
	a.line.mu.Lock()
	defer a.line.mu.Unlock()
	return a.hits
}

// Release lets the requests go that the fault stalls or delays, now and later: the delayed get their reply,
// the stalled lose their connection.
func (a *Armed) Release() { a.release.Do(func() { close(a.released) }) }

// Clear takes the fault out of line, and releases it.
func (a *Armed) Clear() {
	a.line.mu.Lock()
	a.left = 0
	a.line.drop()
	a.line.mu.Unlock()
	a.Release()
}

// faultLine is the faults of a Server, in the order in which they were armed.
type faultLine struct {
	count atomic.Int32 // of those that can still hit, so that a Server without faults pays one load
	mu    sync.Mutex
	armed []*Armed
	all   []*Armed // the spent ones too, for who asks about their hits
}

// Fail puts a fault in line: the first armed one that matches a request befalls it. It panics when the kind is
// unknown, as a test that misspells it would prove nothing.
func (s *Server) Fail(f Fault) *Armed {
	a, err := s.arm(f)
	if err != nil {
		panic(err)
	}
	return a
}

func (s *Server) arm(f Fault) (*Armed, error) {
	if !slices.Contains(FaultKinds(), f.Kind) {
		return nil, fmt.Errorf("arming a fault: unknown kind %q", f.Kind)
	}
	if f.API != "" && !slices.Contains(APIs(), f.API) {
		return nil, fmt.Errorf("arming a fault: unknown API %q", f.API)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return nil, errors.New("arming a fault: the status must be between 200 and 599")
	}
	a := &Armed{f: f, line: &s.faults, left: cmp.Or(f.Times, 1), hit: make(chan struct{}), released: make(chan struct{})}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.all = append(s.faults.all, a)
	a.id = len(s.faults.all)
	s.faults.armed = append(s.faults.armed, a)
	s.faults.count.Store(int32(len(s.faults.armed)))
	return a, nil
}

// ClearFaults takes every fault out of line, and releases it.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	cleared := s.faults.all
	for _, a := range cleared {
		a.left = 0
	}
	s.faults.drop()
	s.faults.mu.Unlock()
	for _, a := range cleared {
		a.Release()
	}
}

// drop removes the spent from line; mu is held.
func (l *faultLine) drop() {
	l.armed = slices.DeleteFunc(l.armed, func(a *Armed) bool { return a.left == 0 })
	l.count.Store(int32(len(l.armed)))
}

// take finds the fault that befalls a request, if any.
func (l *faultLine) take(c *call) *Armed {
	if l.count.Load() == 0 {
		return nil
	}
	c.identify()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.armed {
		if !a.f.matches(c) {
			continue
		}
		if a.passed < a.f.After {
			a.passed++
			continue
		}
		if a.left > 0 {
			a.left--
			l.drop()
		}
		a.hits++
		return a
	}
	return nil
}

func (f *Fault) matches(c *call) bool {
	if f.Path != "" {
		if prefix, open := strings.CutSuffix(f.Path, "*"); open && !strings.HasPrefix(c.r.URL.Path, prefix) || !open && f.Path != c.r.URL.Path {
			return false
		}
	}
	return (f.API == "" || f.API == c.l.api) && (f.Method == "" || f.Method == c.r.Method) &&
		(f.Grant == "" || f.Grant == c.in.get("grant_type")) && (f.Account == "" || f.Account == c.account)
}

// identify finds the account behind the token or code that a request carries, so that a fault can name it.
func (c *call) identify() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	for _, value := range [...]string{c.in.get("refresh_token"), c.in.get("token"), bearer(c.r), c.r.Header.Get("access-token")} {
		if t := c.l.tokens[value]; t != nil {
			c.account = t.session.account.name
		}
	}
	if code := c.l.codes[c.in.get("code")]; code != nil {
		c.account = code.user
	}
}

func (a *Armed) acts() bool {
	switch a.f.Kind {
	case FaultDelay, FaultCut, FaultLost, FaultHeaders, FaultMissingToken, FaultWrongTypes, FaultPastExpiry,
		FaultExpiryString, FaultExpiryWord, FaultExpiryMissing, FaultExpiryZero:
		return true
	}
	return a.f.Acts
}

// hides says whether the client gets to see the tokens of a request that was carried out.
func (a *Armed) hides() bool {
	switch a.f.Kind {
	case FaultDelay, FaultHeaders, FaultPastExpiry, FaultExpiryString, FaultExpiryWord, FaultExpiryMissing, FaultExpiryZero:
		return false
	}
	return true
}

// announce tells who waits for the fault that it has hit.
func (a *Armed) announce() {
	a.line.mu.Lock()
	defer a.line.mu.Unlock()
	select {
	case <-a.hit:
	default:
		close(a.hit)
	}
}

// abort closes the connection, or resets the stream of HTTP/2, without another byte.
func abort() { panic(http.ErrAbortHandler) }
