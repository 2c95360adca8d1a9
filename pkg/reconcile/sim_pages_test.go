package reconcile_test

import (
	"context"
	"net/http"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
)

// simPage is how a web page begins.
const simPage = "<html>"

// drawPages has web pages answer instead of APIs for a while: those of something on
// the way to them, or of what puts a page in the place of their answers.
func (s *simRun) drawPages() {
	d := s.draws
	if d.chance("wall of refreshes", "", 0.3) {
		s.wallOff()
		return
	}
	w := weather{away: map[string]bool{}, walls: map[providers.Op]fate{}}
	for _, op := range []providers.Op{providers.OpGrant, providers.OpExchange, providers.OpRefresh, providers.OpRevoke, providers.OpVerify, providers.OpAction} {
		if d.chance("wall", string(op), 0.6) {
			w.walls[op] = one(d, "page", string(op), fateWall, fateWallAfter, fateWallAfter, fatePage, fatePageAfter)
			if issues := op == providers.OpGrant || op == providers.OpExchange; issues && w.walls[op] == fateWallAfter {
				w.walls[op] = fateWall // a login that is refused has brought nothing
			}
		}
	}
	w.calls = one(d, "how rough", "pages", 0, 0, 0.2)
	s.note("pages", "", "", len(w.walls))
	s.becomes(&w)
	if _, walled := w.walls[providers.OpRefresh]; walled {
		s.orderOf(one(d, "ordered", "pages", simCredentials[:simFew]...), reconcile.Order{Kind: reconcile.OrderRefresh})
	}
}

// wallOff has pages refuse refreshes, and nothing else, for so long that tokens end.
// Where they can be obtained anew without a risk, none ends in its place.
func (s *simRun) wallOff() {
	s.note("wall", "", "", 0)
	w := &weather{walls: map[providers.Op]fate{providers.OpRefresh: fateWall}}
	s.becomes(w)
	s.wait(s.draws.longOrShort("wall stands", "", 10*time.Minute, 20*time.Hour))
	if s.failed() || s.p.isDead() || s.w.Load() != w {
		return
	}
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil || v.Held != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.skewed || s.inForce.IsZero() || s.real().Sub(s.inForce) < 10*time.Minute {
		return
	}
	for _, l := range v.Credentials {
		r := s.record(firstName(l.Address))
		a := s.books.access[r.access]
		if a == nil || a.grant.typ.traits.Interactive || a.grant.typ.traits.Lockout || r.raw != "" {
			continue
		}
		if over := s.real().Sub(a.expires); over > 3*time.Minute && (l.State == reconcile.Failing || l.State == reconcile.Ready || l.State == reconcile.Pending) {
			s.fail("%s waits behind web pages with %s, which expired %s ago: %s", l.Address, a.token, over, l.Why)
		}
	}
}

// page is what becomes of a call that a page answers, as tokend's HTTP client sees
// it.
func (e *simEndpoint) page(c providers.Call, f fate) (*providers.Reply, error) {
	forbidden := f == fateWall || f == fateWallAfter
	err := &providers.Error{Op: c.Op, Class: providers.ClassTransient, Status: http.StatusForbidden, Walled: true, Reached: true, Message: "the reply is a web page (HTML)"}
	switch {
	case c.Op == providers.OpVerify:
		return &providers.Reply{Status: http.StatusForbidden, Body: secret.New(simPage), At: e.p.s.wall()}, nil
	case forbidden && (c.Op == providers.OpExchange || c.Op == providers.OpAction):
		err.Class, err.Walled = providers.ClassPermanent, false
	case forbidden && c.Op == providers.OpGrant && e.typ.traits.Lockout:
		err.Class = providers.ClassPermanent
	case forbidden:
	case c.Op == providers.OpRevoke || c.Op == providers.OpAction:
		err.Class, err.Status = providers.ClassUnknown, http.StatusOK
	default:
		return &providers.Reply{Status: http.StatusOK, Body: secret.New(strings.Repeat(simPage, 2)), At: e.p.s.wall()}, nil
	}
	return nil, err
}
