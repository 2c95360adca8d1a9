package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// simOpener opens endpoints of simulated APIs for one process.
type simOpener struct{ p *simProcess }

func (o simOpener) Open(p *spec.Provider) (reconcile.Endpoint, error) {
	base, err := p.Config.String("base_url")
	return o.endpoint(p.Type.Name, base, p.RateLimit), err
}

func (o simOpener) Restore(b []byte) (reconcile.Endpoint, error) {
	said := strings.Fields(string(b))
	if len(said) != 3 {
		return nil, errors.New("no simulated API has that form")
	}
	limit := spec.RateLimit{Per: simPer, Concurrency: 32}
	limit.Requests, _ = strconv.Atoi(said[2])
	return o.endpoint(said[0], said[1], limit), nil
}

func (o simOpener) endpoint(name, base string, limit spec.RateLimit) *simEndpoint {
	return &simEndpoint{p: o.p, typ: o.p.s.types[name], base: base, limit: limit, prepared: map[*providers.Request]providers.Call{}}
}

// simEndpoint is one simulated API as one process asks it.
type simEndpoint struct {
	p     *simProcess
	typ   *simType
	base  string
	limit spec.RateLimit

	mu       sync.Mutex
	prepared map[*providers.Request]providers.Call
}

func (e *simEndpoint) Encode() ([]byte, error) {
	return fmt.Appendf(nil, "%s %s %d", e.typ.name, e.base, e.limit.Requests), nil
}
func (e *simEndpoint) RateLimit() spec.RateLimit           { return e.limit }
func (e *simEndpoint) Traits(string) providers.Traits      { return e.typ.traits }
func (e *simEndpoint) Needs(providers.Op, string) []string { return []string{"account"} }
func (e *simEndpoint) Close()                              {}

func (e *simEndpoint) Origins(string, spec.Values) ([]string, error) {
	if e.typ.traits.Static {
		return nil, nil
	}
	return []string{e.base}, nil
}

func (e *simEndpoint) Discover(context.Context, string, spec.Values, []string) error { return nil }
func (e *simEndpoint) Undiscovered(string, spec.Values) string                       { return "" }

// Static: a key is there as soon as it is read.
func (e *simEndpoint) Static(c providers.Call) (providers.Token, error) {
	key, err := c.Inputs.Secret("key")
	if err != nil {
		return providers.Token{}, err
	}
	s := e.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.books.taken(e.typ, key.Reveal())
	return providers.Token{AccessToken: key, TokenType: "Bearer"}, nil
}

func (e *simEndpoint) Prepare(c providers.Call) (*providers.Request, error) {
	if len(c.Origins) > 0 && c.Origins[0] != e.base {
		return nil, &providers.Error{Op: c.Op, Class: providers.ClassConfig, Message: "it may not be sent to " + e.base}
	}
	r := &providers.Request{Method: http.MethodPost, Origin: e.base}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prepared[r] = c
	return r, nil
}

// fate is what happens to one request on its way.
type fate int

const (
	fateAnswered   fate = iota
	fateNotSent         // the network is away
	fateLostBefore      // the request is lost, and nobody knows
	fateLostAfter       // the reply is
	fateGarbled         // the reply cannot be read
	fateThrottled
	fateBroken // 503: nothing happened
	fateEnded  // the API has ended the grant, and refuses
	fateWall   // a page with 403: nothing happened
	fateWallAfter
	fatePage // a page with 200: nothing happened
	fatePageAfter
	fateRefused // by a status alone: nothing happened
	fateRefusedAfter
)

// about is what the draws about a call go by: in every run the same, whoever
// else asks the same API.
func (e *simEndpoint) about(c providers.Call) string {
	of := string(c.Op) + e.typ.name
	if account, err := c.Inputs.String("account"); err == nil && account >= letterOfSim(simFew) {
		of += e.p.s.accountAsked(c)[:1]
	}
	return of
}

func (e *simEndpoint) fate(c providers.Call) fate {
	s := e.p.s
	w := s.weatherNow()
	if w.away[e.base] {
		return fateNotSent
	}
	d, of := s.draws, e.about(c)
	if f, walled := w.walls[c.Op]; walled && d.chance("walled", of, 0.9) {
		if f == fateWallAfter && c.Op == providers.OpRefresh && !e.typ.rotates {
			return fateWall // only of what works once is a refusal by a page taken for an answer that was lost
		}
		if f == fateRefusedAfter && c.Op == providers.OpRefresh && !e.typ.rotates {
			return fateRefused // and by a status
		}
		return f
	}
	if !d.chance("fault", of, w.calls) {
		return fateAnswered
	}
	f := one(d, "fate", of, fateNotSent, fateLostBefore, fateLostBefore, fateLostAfter, fateLostAfter, fateLostAfter, fateGarbled, fateThrottled, fateBroken, fateEnded)
	if f == fateGarbled && (c.Op == providers.OpRevoke || c.Op == providers.OpVerify || c.Op == providers.OpAction) || f == fateEnded && c.Op != providers.OpRefresh {
		return fateLostAfter
	}
	return f
}

func (e *simEndpoint) Send(ctx context.Context, r *providers.Request) (*providers.Reply, error) {
	e.mu.Lock()
	c := e.prepared[r]
	delete(e.prepared, r)
	e.mu.Unlock()
	s, of := e.p.s, e.about(c)
	unknown := &providers.Error{Op: c.Op, Class: providers.ClassUnknown, Message: "no reply came", Reached: true}
	if e.p.isDead() {
		return nil, unknown
	}
	f := e.fate(c)
	s.note("send", of, e.base, int(f))
	sent := s.real()
	e.p.paced(e)
	if err := e.connect(ctx, c, f); err != nil {
		return nil, err
	}
	if s.calm.Load() {
		f = fateAnswered // also where it was connecting until now
	}
	if c.Ready != nil && !c.Ready() {
		s.note("not ready", of, e.base, 0)
		return nil, &providers.Error{Op: c.Op, Class: providers.ClassTransient, Message: "the connection came too late"}
	}
	asleep := time.Duration(s.asleep.Load())
	if !e.p.passes("call") || !e.p.sleeps(s.draws.between("there", of, time.Millisecond, 300*time.Millisecond)) {
		return nil, unknown
	}
	switch f {
	case fateNotSent:
		return nil, &providers.Error{Op: c.Op, Class: providers.ClassTransient, Message: "the network is away"}
	case fateThrottled:
		return nil, &providers.Error{Op: c.Op, Class: providers.ClassThrottled, Status: 429, Reached: true, RetryAfter: s.draws.longOrShort("retry after", of, time.Second, 8*time.Minute)}
	case fateBroken:
		if !c.Flow.DeviceCode.Empty() { // the only transient refusal of a question that is no answer to it
			return nil, &providers.Error{Op: c.Op, Class: providers.ClassTransient, Status: http.StatusRequestTimeout, Reached: true}
		}
		return nil, &providers.Error{Op: c.Op, Class: providers.ClassTransient, Status: 503, Reached: true}
	}
	var body string
	var refused *providers.Error
	e.counts(c, f)
	if f != fateLostBefore && f != fateWall && f != fatePage && f != fateRefused {
		body, refused = e.carryOut(c, f, time.Duration(s.asleep.Load())-asleep)
	}
	if f == fateLostBefore || f == fateLostAfter {
		e.p.sleeps(s.draws.between("stall", of, time.Millisecond, 31*time.Second))
		return nil, unknown
	}
	if !e.p.passes("reply") || !e.p.sleeps(s.draws.between("back", of, time.Millisecond, 300*time.Millisecond)) {
		return nil, unknown
	}
	if f >= fateRefused {
		return nil, e.refusedBare(c)
	}
	if f >= fateWall {
		return e.page(c, f)
	}
	if refused != nil {
		e.heard(c, refused)
		e.slows(c, refused)
		return nil, refused
	}
	e.told(c)
	if f == fateGarbled {
		body = "not json: " + body
	}
	reply := &providers.Reply{Status: 200, Body: secret.New(body), At: s.wall()}
	if slept := s.real().Sub(sent); slept > time.Minute {
		reply.At, reply.Slept = reply.At.Add(-slept), slept // as the real one: what was issued may be as old as the request
	}
	return reply, nil
}

// connect takes its time for the connection of a request that may come too late,
// now and then. It can be stopped until it has one.
func (e *simEndpoint) connect(ctx context.Context, c providers.Call, f fate) error {
	s, of := e.p.s, string(c.Op)+e.typ.name
	if ctx.Done() == nil || f == fateNotSent || s.calm.Load() || !s.draws.chance("slow to connect", of, 0.3) {
		return nil
	}
	select {
	case <-time.After(s.draws.longOrShort("connecting", of, 100*time.Millisecond, 30*time.Second)):
		return nil
	case <-ctx.Done():
		s.note("stopped", of, e.base, 0)
		return &providers.Error{Op: c.Op, Class: providers.ClassTransient, Message: "it was stopped before anything was sent"}
	case <-e.p.dead:
		return &providers.Error{Op: c.Op, Class: providers.ClassUnknown, Message: "no reply came", Reached: true}
	}
}

func (e *simEndpoint) carryOut(c providers.Call, f fate, slept time.Duration) (string, *providers.Error) {
	s := e.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == fateEnded {
		if r, ok := s.books.refresh[c.Token.RefreshToken.Reveal()]; ok {
			r.dead = true
		}
	}
	s.books.slept = slept
	return s.books.act(e, c)
}

// heard notes that a refusal reached tokend. It counts from when it is on disk:
// to who comes after a crash before that, the reply never came, and a grant
// whose outcome is unknown is obtained anew.
func (e *simEndpoint) heard(c providers.Call, refused *providers.Error) {
	if c.Op != providers.OpGrant || refused.Class != providers.ClassPermanent {
		return
	}
	s := e.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	account := s.accountAsked(c)
	password, _ := c.Inputs.Secret("password")
	s.books.refusals(account).heard = password.Reveal()
}

func (e *simEndpoint) Read(c providers.Call, r *providers.Reply) (providers.Token, error) {
	if c.Op == providers.OpRevoke || c.Op == providers.OpVerify || c.Op == providers.OpAction {
		return providers.Token{}, nil
	}
	body := r.Body.Reveal()
	if e.p.s.mended() {
		body = strings.TrimPrefix(body, "not json: ")
	}
	if strings.HasPrefix(body, simPage) {
		return providers.Token{}, &providers.Error{Op: c.Op, Class: providers.ClassUnknown, Status: r.Status, Message: "the reply is a web page (HTML)", Reached: true}
	}
	var reply simReply
	if err := json.Unmarshal([]byte(body), &reply); err != nil {
		return providers.Token{}, &providers.Error{Op: c.Op, Class: providers.ClassUnreadable, Status: r.Status, Message: "it is no JSON", Reached: true}
	}
	t := providers.Token{AccessToken: secret.New(reply.Access), TokenType: "Bearer", ExpiresAt: r.At.Add(reply.Life), Late: r.Slept}
	t.RefreshToken, t.RefreshGiven = c.Token.RefreshToken, reply.Refresh != ""
	if t.RefreshGiven {
		t.RefreshToken = secret.New(reply.Refresh)
	}
	if reply.Number != "" {
		t.Outputs = spec.NewValues(map[string]cty.Value{"number": cty.StringVal(reply.Number)})
	}
	return t, nil
}
