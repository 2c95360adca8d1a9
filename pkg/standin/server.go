package standin

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server stands in for all the APIs, each with a ledger of its own. Make one with New.
type Server struct {
	options  Options
	now      func() time.Time
	auto     atomic.Bool
	services map[API]*service
	faults   faultLine
	closed   chan struct{}
	close    sync.Once
}

// New makes a Server. It starts nothing.
func New(o Options) *Server {
	s := &Server{options: o, now: o.Now, services: map[API]*service{}, closed: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	s.auto.Store(o.AutoApprove)
	pick(&o.RequestLog, 4096)
	pick(&o.TokenLog, 200_000)
	for _, api := range APIs() {
		v := &service{server: s, l: newLedger(api, max(o.RequestLog, 0), max(o.TokenLog, 0))}
		rules := o.PerAPI[api].over(o.Rules).over(pageRules(api))
		v.rules.Store(&rules)
		s.services[api] = v
	}
	for _, a := range o.Accounts {
		s.Register(a)
	}
	for _, c := range o.Clients {
		s.RegisterClient(c)
	}
	return s
}

// Close lets every stalled request go, without a reply. The Server refuses nothing after it.
func (s *Server) Close() { s.close.Do(func() { close(s.closed) }) }

// Handler serves an API as its public host does.
func (s *Server) Handler(api API) http.Handler {
	v := s.services[api]
	switch api {
	case Coinify:
		return front{v, coinifyRoutes(), nil}
	case CoinsPh:
		return front{v, coinsPhRoutes(), nil}
	case Cryptohopper:
		return front{v, cryptohopperRoutes(), nil}
	case Apirone:
		return front{v, apironeRoutes(), apironeAccount}
	case OAuth2:
		return front{v, oauth2Routes(), nil}
	}
	return http.NotFoundHandler()
}

// CoinifyUser serves the API at Coinify's second host, user_url: the deactivation of an account.
func (s *Server) CoinifyUser() http.Handler {
	return front{s.services[Coinify], coinifyUserRoutes(), nil}
}

// Register adds an account, or changes the one with its login, say its password.
func (s *Server) Register(a Account) {
	v := s.services[a.API]
	if v == nil {
		return
	}
	v.l.mu.Lock()
	defer v.l.mu.Unlock()
	if old, known := v.l.logins[a.Login]; known {
		delete(v.l.offline, old.OfflineToken)
	}
	v.l.logins[a.Login] = a
	if a.OfflineToken != "" {
		v.l.offline[a.OfflineToken] = a
	}
}

// RegisterClient adds a client, or changes the one with its id.
func (s *Server) RegisterClient(c Client) {
	v := s.services[c.API]
	if v == nil {
		return
	}
	pick(&c.User, "user")
	v.l.mu.Lock()
	defer v.l.mu.Unlock()
	v.l.clients[c.ID] = c
}

// Rules are those in force for an API, defaults filled in.
func (s *Server) Rules(api API) Rules { return *s.services[api].rules.Load() }

// Change alters the rules of an API for the requests that come from now on; tokens that were issued keep
// their ends. A field set to zero goes back to the API's default.
func (s *Server) Change(api API, change func(*Rules)) {
	v := s.services[api]
	for {
		old := v.rules.Load()
		rules := *old
		change(&rules)
		rules = rules.over(pageRules(api))
		if v.rules.CompareAndSwap(old, &rules) {
			return
		}
	}
}

// SetAutoApprove says whether an authorization request is answered at once with the redirect.
func (s *Server) SetAutoApprove(on bool) { s.auto.Store(on) }

// service is one API of a Server.
type service struct {
	server *Server
	rules  atomic.Pointer[Rules]
	l      *ledger
}

// A route is what a path takes and does.
type route struct {
	method string
	input  input
	act    func(*call) *reply
}

// front is a handler: one host of an API.
type front struct {
	*service
	routes map[string]route
	// match finds the routes whose path has a variable part.
	match func(path string) (route, bool)
}

// call is one request on its way through a service.
type call struct {
	*service
	r       *http.Request
	way     route
	rules   *Rules
	now     time.Time
	in      fields
	account string // as far as known
	fault   *Armed
}

// ServeHTTP implements http.Handler.
func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{service: f.service, r: r, rules: f.rules.Load()}
	if c.rules.Latency > 0 {
		f.server.pause(c.rules.Latency, nil)
	}
	c.now = f.server.now()
	if f.server.options.Now != nil { // a Date by the same clock as everything else that it says
		w.Header().Set("Date", c.now.UTC().Format(http.TimeFormat))
	}
	out := f.prepare(c)
	if out == nil {
		out = c.perform()
	}
	// The books are written before the reply: who has read a reply finds its request there.
	c.note(out)
	if c.fault != nil && c.fault.spoil(c, out, w) {
		return
	}
	out.write(c, w)
}

// prepare finds the route and reads the request; a reply means that it is refused.
func (f front) prepare(c *call) *reply {
	if late := c.throttle(); late != nil {
		return late
	}
	way, known := f.routes[c.r.URL.Path]
	if !known && f.match != nil {
		way, known = f.match(c.r.URL.Path)
	}
	c.way = way
	if !known {
		return c.refuse(http.StatusNotFound, "not_found", "there is no such endpoint")
	}
	if c.r.Method != way.method {
		out := c.refuse(http.StatusMethodNotAllowed, "invalid_request", "the method must be "+way.method)
		out.header = http.Header{"Allow": {way.method}}
		return out
	}
	in, problem := readInput(c.r, way.input)
	if problem != "" {
		return c.malformed(problem)
	}
	c.in = in
	c.account = c.guessAccount()
	return nil
}

// perform carries a request out, unless a fault says not to.
func (c *call) perform() *reply {
	if c.fault = c.server.faults.take(c); c.fault == nil {
		return c.way.act(c)
	}
	if !c.fault.acts() {
		return &reply{status: 0, act: actFault}
	}
	out := c.way.act(c)
	if c.fault.hides() {
		c.hide(out)
	}
	return out
}

// hide notes which tokens a client cannot have seen, because a fault spoils the reply that carries them.
func (c *call) hide(out *reply) {
	if out.pair == nil {
		return
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	out.pair.access.unseen = true
	if r := out.pair.refresh; r != nil && r.used.IsZero() { // one that was used is the one that was sent
		r.unseen = true
	}
}

func (c *call) faultKind() FaultKind {
	if c.fault == nil {
		return ""
	}
	return c.fault.f.Kind
}

// guessAccount is whom a request names, before anything is looked up.
func (c *call) guessAccount() string {
	for _, name := range [...]string{"email", "login", "username", "client_id"} {
		if v := c.in.get(name); v != "" {
			return v
		}
	}
	return ""
}

// throttle refuses a request above the rate limit: at most RateRequests within any RatePer.
func (c *call) throttle() *reply {
	n := c.rules.RateRequests
	if n <= 0 {
		return nil
	}
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if cap(l.recent) != n {
		l.recent, l.oldest = make([]time.Time, 0, n), 0
	}
	if len(l.recent) < n {
		l.recent = append(l.recent, c.now)
		return nil
	}
	wait := c.rules.RatePer - c.now.Sub(l.recent[l.oldest])
	if wait > 0 {
		l.counts.Throttled++
		out := c.refuse(http.StatusTooManyRequests, "slow_down", "too many requests")
		out.header = retryAfter(wait)
		return out
	}
	l.recent[l.oldest] = c.now
	l.oldest = (l.oldest + 1) % n
	return nil
}

// pause waits, until the Server closes or done is closed; it says whether it waited to the end.
func (s *Server) pause(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
	case <-s.closed:
	}
	return false
}

// anyURI says whether a redirect URI that nobody registered is one that a client could have: absolute, without
// a fragment (RFC 6749 section 3.1.2).
func anyURI(uri string) bool {
	scheme, rest, found := strings.Cut(uri, "://")
	return found && scheme != "" && rest != "" && !strings.ContainsAny(uri, "# ")
}

// mergeRoutes joins tables of routes.
func mergeRoutes(tables ...map[string]route) map[string]route {
	all := map[string]route{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}
